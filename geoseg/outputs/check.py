"""Check: re-read a finished output folder, believing nothing of what was written, and say what is sound."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import product, starmap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zipfile import BadZipFile

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from geoseg.disk.files import sha256_of, write_errors
from geoseg.disk.places import STYLE, VECTOR_DRIVERS
from geoseg.errors import GeosegError, InputError
from geoseg.outputs.check_objects import check_objects
from geoseg.outputs.check_report import CHECKS as REPORTED
from geoseg.outputs.cog.cog import strips
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.geopackage import instances
from geoseg.outputs.geopackage.footprints import LAYER
from geoseg.outputs.geopackage.side_files import SIDECARS
from geoseg.outputs.pam import pam_path
from geoseg.outputs.run_json import RUN_FILE, NoMapError, RunJson
from geoseg.scenes.vectors import OGR_ERRORS, open_vectors
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer, Pixels
from geoseg.vector.ground import geodesic_area_m2

PROVENANCE_KEYS = ("software", "version", "model", "input")
AREA_TOLERANCE = 1e-3  # of the area
ROUNDING = 1e-6  # of means of floats, relative
FAULTS = (*write_errors(), *OGR_ERRORS, GeosegError, sqlite3.Error, ET.ParseError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its name ("FILE: what holds"), whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str = ""


def check_outputs(folder: Path) -> list[Finding]:
    """Return everything that was looked at in a finished output folder; an unreadable file is a finding, not an error.

    Looks at run.json, digests, leftovers, the COG layout, class names, counts, areas, overviews, the grid, confidence,
    and all of the GeoPackage. Rasters are read in strips of blocks, polygons in batches. Raises InputError where the
    folder holds no map.
    """
    try:
        run = RunJson.read(folder)
        findings = [Finding(f"{RUN_FILE}: present and complete", ok=True), *_files(folder, run)]
    except NoMapError as error:
        raise InputError(f"{folder}: {error}") from error
    except FAULTS as error:
        return [Finding(f"{RUN_FILE}: present and complete", ok=False, detail=_said(error))]
    checks: dict[str, Callable[[Path, RunJson], Iterator[Finding]]] = dict.fromkeys(run.files, _raster)
    if run.polygons is not None:
        whole = partial(_geopackage, layer=LAYER, stated=run.facts["polygons"])
        checks[run.polygons] = whole if run.polygons.endswith(".gpkg") else _vector_file
    if run.instances is not None:
        checks[run.instances] = _instances
    for name, check in checks.items():
        try:
            for found in check(folder / name, run):
                findings.append(Finding(f"{name}: {found.name}", found.ok, found.detail))
        except FAULTS as error:
            findings.append(Finding(f"{name}: readable", ok=False, detail=_said(error)))
    for name in (name for name in REPORTED if (folder / name).exists()):
        try:
            findings += [Finding(f"{name}: {what}", ok, told) for what, ok, told in REPORTED[name](folder / name, run)]
        except (*FAULTS, BadZipFile) as error:
            findings.append(Finding(f"{name}: readable", ok=False, detail=_said(error)))
    return findings


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _files(folder: Path, run: RunJson) -> Iterator[Finding]:
    """Every listed file is there with its digest, layers and polygons are what is listed, and nothing lies beside."""
    listed, expected = set(run.facts["outputs"]), set(run.expected)
    odd = [*(f"{name} is not listed" for name in sorted(expected - listed)),
           *(f"{name} is of no layer" for name in sorted(listed - expected))]  # fmt: skip
    yield Finding(f"{RUN_FILE}: outputs are those of its layers and polygons", not odd, ", ".join(odd))
    for name, stated in run.facts["outputs"].items():
        path = folder / name
        if not path.is_file():
            yield Finding(f"{name}: present", ok=False)
            continue
        found = sha256_of(path)
        yield Finding(f"{name}: sha256 as in {RUN_FILE}", found == stated["sha256"], found[:16])
    names = (*run.facts["outputs"], RUN_FILE)
    beside = {name + suffix for name in names for suffix in (*SIDECARS, ".ovr", ".msk")}
    unfinished = tuple(f".{name}." for name in names)  # as ``atomic`` calls them; a job folder may have been kept
    left = sorted(p.name for p in folder.iterdir() if p.name in beside or p.name.startswith(unfinished))
    yield Finding("folder: no leftovers", not left, ", ".join(left))


def cog_faults(path: Path) -> list[str]:
    """Return what makes ``path`` no cloud-optimised GeoTIFF; [] where it is one.

    The rules of the COG specification that GDAL's and rio-cogeo's validators check: tiles, overviews, all directories
    before all pixels, the small overviews' pixels before the large ones'.
    """
    with rasterio.open(path) as src:
        shapes = [src.shape, *_overview_shapes(path, len(src.overviews(1)))]
        levels = [None, *range(len(shapes) - 1)]
        directories = [_tiff_number(src, "IFD_OFFSET", level) for level in levels]
        first_tiles = (_first_tile(src, level, shape) for level, shape in zip(levels, shapes, strict=True))
        pixels = [at for at in first_tiles if at]
        rules = {
            "is not a GeoTIFF": src.driver == "GTiff",
            "carries no COG mark, or was edited": src.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG",
            f"has no {TILE_PX} px tiles": set(src.block_shapes) == {(TILE_PX, TILE_PX)},
            "lacks overviews": max(shapes[-1]) <= TILE_PX,
            "has directories out of order": directories == sorted(directories),
            "has overview pixels out of order": pixels == sorted(pixels, reverse=True),
            "has pixels before directories": not pixels or directories[-1] < pixels[-1],
        }
    return [fault for fault, fine in rules.items() if not fine]


def _overview_shapes(path: Path, count: int) -> Iterator[tuple[int, int]]:
    for level in range(count):
        with rasterio.open(path, overview_level=level) as overview:
            yield overview.shape


def _first_tile(src: DatasetReader, level: int | None, shape: tuple[int, int]) -> int:
    """Return where the first tile that is stored stands; 0 where a level is nodata alone, so that it has none."""
    rows, cols = (range(-(-size // TILE_PX)) for size in shape)
    return next(filter(None, (_tiff_number(src, f"BLOCK_OFFSET_{c}_{r}", level) for r in rows for c in cols)), 0)


def _tiff_number(src: DatasetReader, key: str, level: int | None) -> int:
    """Return a number from the TIFF structure of the full image (None) or of an overview; 0 where there is none."""
    return int(src.get_tag_item(key, "TIFF", bidx=1, ovr=level) or 0)


def _raster(path: Path, run: RunJson) -> Iterator[Finding]:
    """Say what holds for a raster of the run, by its layers."""
    layers = run.files[path.name]
    faults = cog_faults(path)
    yield Finding("valid COG", not faults, "; ".join(faults))
    with rasterio.open(path) as src:
        crs = run.grid.found_in(src.crs)
        same = crs is not None and Grid(crs, src.transform, src.shape).same_as(run.grid)
        yield Finding(f"grid as in {RUN_FILE}", same, f"{src.height} x {src.width} px, {src.crs}")
        yield from _bands(src, layers)
        tags = src.tags()
        yield Finding("software tag", tags.get("TIFFTAG_SOFTWARE", "").startswith("geoseg"))
        if run.grid.has_place:  # GDAL has it beside a place
            yield Finding("pixels are areas", tags.get("AREA_OR_POINT") == "Area")
    yield from _pixels(path, run, layers)
    if run.first in layers and run.first.classes is not None:
        yield from _counted(path, run)


def _bands(src: DatasetReader, layers: Sequence[Layer]) -> Iterator[Finding]:
    """Say whether the bands are described as their layers."""
    types = f"{', '.join(sorted({*src.dtypes}))}, nodata {src.nodatavals[0]}"
    stated, found = [layer.nodata for layer in layers], [np.nan if n is None else n for n in src.nodatavals]
    same = src.dtypes == tuple(layer.dtype for layer in layers) and np.array_equal(stated, found, equal_nan=True)
    yield Finding(f"type and nodata as in {RUN_FILE}", same and None not in src.nodatavals, types)
    named = src.descriptions == tuple(layer.name for layer in layers)
    yield Finding(f"bands are named as in {RUN_FILE}", named, ", ".join(map(str, src.descriptions)))
    scaled = np.allclose((src.scales, src.offsets), [[x.scale for x in layers], [x.offset for x in layers]], atol=0)
    yield Finding(f"values scaled as in {RUN_FILE}", scaled, f"scale {src.scales[0]}, offset {src.offsets[0]}")
    for band, layer in enumerate(layers, 1):
        if layer.classes is not None:
            palette = src.colormap(band)
            right = all(palette[c.id] == (*c.color, 255) for c in layer.classes)
            yield Finding("palette as the table", right)


def _pixels(path: Path, run: RunJson, layers: Sequence[Layer]) -> Iterator[Finding]:
    """Say whether pixels are what their layers may hold, at every level.

    Where the first layer says nothing, no layer does; only ids of objects may say nothing elsewhere.
    """
    held = [np.empty(0, layer.dtype) for layer in layers]
    differ, (first, first_band) = 0, run.band(run.first.name)
    with rasterio.open(path) as src, rasterio.open(path.with_name(first)) as known:
        levels = len(src.overviews(1))
        for window in strips(src):
            unknown = run.first.is_nodata(known.read(first_band, window=window))
            for i, layer in enumerate(layers):
                pixels = src.read(i + 1, window=window)
                silent = layer.is_nodata(pixels)
                differ += int((unknown & ~silent if layer.kind == "ids" else unknown ^ silent).sum())
                held[i] = _joined(layer, held[i], pixels[~silent])
    if run.first not in layers:
        yield Finding(f"nodata exactly where {first} has it", differ == 0, f"{differ} pixels differ")
    for layer, present in zip(layers, held, strict=True):
        if layer.classes is not None:
            only = {*present.tolist()} <= {c.id for c in layer.classes}
            yield Finding("only classes of the table", only, f"values {_some(present)}")
    for level in range(levels):
        seen = [np.empty(0, layer.dtype) for layer in layers]
        with rasterio.open(path, overview_level=level) as overview:
            for window, (i, layer) in product(strips(overview), enumerate(layers)):
                pixels = overview.read(i + 1, window=window)
                seen[i] = _joined(layer, seen[i], pixels[~layer.is_nodata(pixels)])
        real = all(_within(layer, *pair) for layer, *pair in zip(layers, seen, held, strict=True))
        yield Finding(f"overview {level} shows only what the raster holds", real, f"values {_some(seen[0])}")


def _joined(layer: Layer, held: Pixels, known: Pixels) -> Pixels:
    """Return which values there are in both, ascending; of what is averaged, the least and the greatest."""
    if layer.treatment.overview == "mode":
        return np.union1d(held, known)
    both = np.concatenate([held, known.ravel()])
    return np.array([both.min(), both.max()]) if len(both) else both


def _within(layer: Layer, seen: Pixels, held: Pixels) -> bool:
    """Whether an overview's values are some that the raster has, or lie between its least and its greatest."""
    if layer.treatment.overview == "mode" or not (len(seen) and len(held)):
        return bool(np.isin(seen, held).all())
    least, greatest = held.astype(np.float64)
    rounding = ROUNDING * max(abs(least), abs(greatest))
    return bool(least - rounding <= seen[0] and seen[1] <= greatest + rounding)


def _some(values: Pixels) -> str:
    return ", ".join(map(str, values[:10].tolist())) + (", …" if len(values) > 10 else "")


def _counted(path: Path, run: RunJson) -> Iterator[Finding]:
    """Say whether the classes cover as many pixels, and as much ground, as run.json and the table beside say."""
    ids, band = {c.id for c in run.classes}, run.band(run.first.name)[1]
    with rasterio.open(path) as src:
        total, area_m2 = np.zeros(256, np.int64), np.zeros(256)
        for window in strips(src):
            counts = np.array([np.bincount(row, minlength=256) for row in src.read(band, window=window)])
            total += counts.sum(0)
            rows = Box(window.row_off, 0, window.row_off + window.height, run.grid.width)
            area_m2 += run.grid.crop(rows).row_areas_m2() @ counts
    yield Finding(f"pixel counts as in {RUN_FILE}", all(total[i] == run.pixels[i] for i in ids))
    totals, area_ha = {i: int(total[i]) for i in ids}, {i: area_m2[i] / 1e4 for i in ids}
    yield from _names(pam_path(path), run, total=totals, area_ha=area_ha)


def _names(path: Path, run: RunJson, *, total: Mapping[int, int], area_ha: Mapping[int, float]) -> Iterator[Finding]:
    """Say whether the names, colours, counts and areas beside the class raster are right."""
    root = ET.fromstring(path.read_bytes())
    entries = root.findall("PAMRasterBand/ColorTable/Entry")
    colors = [tuple(int(e.attrib[f"c{i}"]) for i in (1, 2, 3, 4)) for e in entries]
    names = [category.text or "" for category in root.findall("PAMRasterBand/CategoryNames/Category")]
    short = len(colors) == len(names) == run.classes.max_id + 1
    yield Finding("names and colours for exactly the classes", short, f"{len(names)} names, {len(colors)} colours")
    named = short and all(names[c.id] == c.name for c in run.classes)
    yield Finding("every class is named", named, ", ".join(names[:10]))
    yield Finding("legend colours as the table", short and all(colors[c.id] == (*c.color, 255) for c in run.classes))
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    columns = [] if table is None else [field.findtext("Name") or "" for field in table.findall("FieldDefn")]
    rows = [] if table is None else [[f.text or "" for f in row.findall("F")] for row in table.findall("Row")]
    cells = {int(row[columns.index("Value")]): dict(zip(columns, row, strict=True)) for row in rows}
    complete = set(cells) == set(total)
    yield Finding("attribute table has every class", complete, f"classes {sorted(cells)}")
    if complete:
        counted = all(float(cells[i]["Count"]) == n for i, n in total.items())
        measured = all(
            np.isclose(float(cells[i]["Area_ha"]), a, rtol=AREA_TOLERANCE, atol=1e-6) for i, a in area_ha.items()
        )
        yield Finding("attribute table counts true pixels", counted)
        yield Finding("attribute table areas are true hectares", measured)


def _instances(path: Path, run: RunJson) -> Iterator[Finding]:
    stated, (file, band) = run.facts["instances"], run.band(run.first.name)
    yield from _geopackage(path, run, layer=instances.LAYER, stated=stated)
    things = tuple(run.classes.by_name(name).id for name in stated["of"])
    yield from starmap(
        Finding, check_objects(path.with_name(stated["raster"]), path.with_name(file), band, path, things)
    )


def _geopackage(path: Path, run: RunJson, *, layer: str, stated: Mapping[str, Any]) -> Iterator[Finding]:
    with path.open("rb") as file:
        header = file.read(100)
    fine = header[:16] == b"SQLite format 3\0" and header[68:72] == b"GPKG" and header[18:20] == b"\1\1"
    yield Finding("GeoPackage with a rollback journal", fine)
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        yield Finding("SQLite integrity", _all(db, "PRAGMA integrity_check") == [("ok",)])
        yield Finding("foreign keys", _all(db, "PRAGMA foreign_key_check") == [])
        queries = {
            "features": f'SELECT count(*) FROM "{layer}"',
            "index": f'SELECT count(*) FROM "rtree_{layer}_geom"',
            "declared": f"SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = '{layer}'",
        }
        counts = {name: _all(db, query)[0][0] for name, query in queries.items()}
        counts[RUN_FILE] = stated["count"]
        yield Finding("all counts agree", len(set(counts.values())) == 1, str(counts))
        yield from _description(db, run, layer)
    yield from _features(path, run, stated, layer)


def _vector_file(path: Path, run: RunJson) -> Iterator[Finding]:
    """Say what holds for polygons in another format, and for the style beside them."""
    categories = [*ET.fromstring(path.with_suffix(STYLE).read_bytes()).iter("category")]
    table = {str(c.id): c.name for c in run.classes}
    right = bool(categories) and all(table.get(c.attrib["value"]) == c.attrib["label"] for c in categories)
    yield Finding("style as the table", right, ", ".join(c.attrib["label"] for c in categories))
    yield from _features(path, run, run.facts["polygons"])


def _all(db: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


def _description(db: sqlite3.Connection, run: RunJson, layer: str) -> Iterator[Finding]:
    """Say whether style, class domain and provenance are right."""
    styles = _all(db, f"SELECT styleQML FROM layer_styles WHERE f_table_name = '{layer}' AND useAsDefault = 1")
    yield Finding("one default style", len(styles) == 1, f"{len(styles)} styles")
    categories = [c for (qml,) in styles for c in ET.fromstring(qml).iter("category")]
    labels = {int(c.attrib["value"]): c.attrib["label"] for c in categories}
    used = {int(value) for (value,) in _all(db, f'SELECT DISTINCT class_id FROM "{layer}"')}
    table = {c.id: c.name for c in run.classes}
    right = bool(labels) and used <= set(labels) and all(table.get(i) == label for i, label in labels.items())
    yield Finding("every value is styled and named", right, str(labels))
    domain = {
        int(value): name for value, name in _all(db, "SELECT value, description FROM gpkg_data_column_constraints")
    }
    yield Finding("class domain as the table", domain == table, str(domain))
    texts = _all(db, "SELECT metadata FROM gpkg_metadata WHERE mime_type = 'application/json'")
    stated = json.loads(texts[0][0]) if texts else {}
    same = all(stated.get(key) == run.facts[key] for key in PROVENANCE_KEYS)
    yield Finding(f"provenance as in {RUN_FILE}", same, ", ".join(stated))


def _features(path: Path, run: RunJson, stated: Mapping[str, Any], name: str | None = None) -> Iterator[Finding]:
    """Read all features in batches and say whether geometries and areas are right."""
    layer = open_vectors(path, layer=name, crs=None if run.grid.has_place else run.grid.crs)
    driver = VECTOR_DRIVERS[path.suffix.lower()]
    wanted = CRS.from_epsg(4326) if driver == "GeoJSON" and run.grid.has_place else run.grid.crs
    yield Finding(f"CRS as in {RUN_FILE}", layer.crs == wanted, str(layer.crs))
    count = invalid = other_types = wrong_areas = 0
    for geometries, rows in layer.batches():
        count += len(rows)
        invalid += int((~shapely.is_valid(geometries) | shapely.is_empty(geometries)).sum())
        other_types += int((shapely.get_type_id(geometries) != shapely.GeometryType.MULTIPOLYGON).sum())
        true = geodesic_area_m2(geometries, layer.crs)
        off = np.abs(rows["area_m2"].to_numpy(zero_copy_only=False) - true)  # a missing area is NaN
        wrong_areas += int((~(off <= AREA_TOLERANCE * true)).sum())
    yield Finding(f"as many features as in {RUN_FILE}", count == stated["count"], f"{count} features")
    yield Finding("geometries are valid", invalid == 0, f"{invalid} are not")
    if driver != "ESRI Shapefile":  # which knows one type of polygons
        yield Finding("geometries are MultiPolygons", other_types == 0, f"{other_types} are not")
    yield Finding("areas are geodesic", wrong_areas == 0, f"{wrong_areas} are off by more than {AREA_TOLERANCE:.1%}")
