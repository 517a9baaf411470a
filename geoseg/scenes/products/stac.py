"""STAC items, by path or address, alone or in a collection: bands by common name, scales of the raster extension."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from geoseg.disk.files import refuse_special
from geoseg.disk.places import located
from geoseg.errors import InputError
from geoseg.scenes import remote
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.lists import ITEM, raster_assets
from geoseg.scenes.local_only import is_elsewhere
from geoseg.scenes.products.bands import on_finest
from geoseg.scenes.recipe import Described, Given

SUFFIXES = (".json", ".geojson")
SHIFTED = "earthsearch:boa_offset_applied"  # the offset is in the numbers already, whatever the raster extension says


def scenes(path: str, given: Given) -> list[Described]:
    """Return the scene of each item, of FILE#ID that of one; none for what is no STAC.

    Raises InputError for an item without rasters, and what is no JSON.
    """
    return [_scene(item, path, given) for item in _items(path, given)]


def _items(path: str, given: Given) -> list[dict[str, Any]]:
    path, _, wanted = path.rpartition(ITEM) if ITEM in path and not Path(path).exists() else (path, "", "")
    address = urlsplit(path)
    away = address.scheme in ("http", "https")
    if PurePosixPath(address.path if away else path).suffix.lower() not in SUFFIXES and "/items/" not in path:
        return []
    if away:
        if given.local_only:
            return []
        text = remote.text_of(path)
    elif Path(path).is_file():
        refuse_special(path)
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    else:
        return []
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error}); fetch it again") from error
    try:
        items = content["features"] if content.get("type") == "FeatureCollection" else [content]
        return [item for item in items if isinstance(item["assets"], dict) and wanted in ("", item.get("id"))]
    except (KeyError, TypeError, AttributeError):
        return []


def _scene(item: Mapping[str, Any], path: str, given: Given) -> Described:
    properties, assets = item.get("properties") or {}, item["assets"]
    keys = [key for key in raster_assets(assets) if "visual" not in (assets[key].get("roles") or ())]
    named = [key for key in keys if any(_name(band) for band in _bands(assets[key]))]
    keys = named or keys
    if not keys:
        raise InputError(
            f"{path}: item {item.get('id')} has no raster among its assets ({', '.join(assets) or 'none'})"
        )
    parts = [_part(assets[key], _file(assets[key]["href"], path), properties, given) for key in keys]
    if given.local_only and any(is_elsewhere(s.file) for part in parts for s in part.sources):
        raise InputError(f"{path}: its assets are not files of this machine, and --local-only is given")
    note = f"{path}: item {item.get('id')}, {', '.join(keys)}"
    scene = on_finest(parts, given, notes=[note])
    clouds, date = properties.get("eo:cloud_cover"), properties.get("datetime") or properties.get("start_datetime")
    return scene.dated(date, None if clouds is None else float(clouds))


def _part(asset: Mapping[str, Any], file: str, properties: Mapping[str, Any], given: Given) -> Described:
    part, bands = describe_file(file, given), _bands(asset)
    if len(bands) != len(part.sources):
        return part
    labels = tuple(_name(band) or own for band, own in zip(bands, part.labels, strict=True))
    sources = tuple(
        replace(s, **_numbers(band, shifted=bool(properties.get(SHIFTED))))  # type: ignore[arg-type]  # of three fields
        for s, band in zip(part.sources, bands, strict=True)
    )
    return replace(part, labels=labels, sources=sources)


def _bands(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what an asset says of each band, of all the lists that versions of STAC have for it."""
    lists = [found for key in ("bands", "eo:bands", "raster:bands") if (found := asset.get(key))]
    count = max(map(len, lists), default=0)
    return [{k: v for one in lists if i < len(one) for k, v in one[i].items()} for i in range(count)]


def _name(band: Mapping[str, Any]) -> str | None:
    return band.get("eo:common_name") or band.get("common_name") or band.get("name")


def _numbers(band: Mapping[str, Any], *, shifted: bool) -> dict[str, float]:
    """Return scale, offset and nodata as far as a band says them."""
    found = {key: band.get(key, band.get(f"raster:{key}")) for key in ("scale", "offset", "nodata")}
    known = {key: float(value) for key, value in found.items() if value is not None}
    return known | ({"offset": 0.0} if shifted and "offset" in known else {})


def _file(href: str, path: str) -> str:
    if urlsplit(path).scheme in ("http", "https"):
        return urljoin(path, href)
    return located(href.removeprefix("file://"), Path(path).parent)
