"""Check: re-read a finished output folder, believing nothing of what was written, and say what is sound."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from geoseg.disk.files import refuse_special, write_errors
from geoseg.errors import GeosegError
from geoseg.outputs.cog.cog import strips
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.geopackage.footprints import LAYER
from geoseg.outputs.geopackage.layer import OGR_ERRORS
from geoseg.outputs.geopackage.side_files import SIDECARS
from geoseg.outputs.pam import pam_path
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid
from geoseg.values.layers import PROBABILITY_OFFSET, PROBABILITY_SCALE
from geoseg.vector.ground import geodesic_area_m2

RUN_FILE = "run.json"
RUN_KEYS = ("software", "version", "model", "input", "grid", "classes", "outputs")
PROVENANCE_KEYS = ("software", "version", "model", "input")
AREA_TOLERANCE = 1e-3  # of the area
FAULTS = (*write_errors(), *OGR_ERRORS, GeosegError, sqlite3.Error, ET.ParseError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its name ("FILE: what holds"), whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Run:
    """What run.json says."""

    facts: Mapping[str, Any]
    grid: Grid
    classes: ClassMap
    pixels: Mapping[int, int]


def check_outputs(folder: Path) -> list[Finding]:
    """Return everything that was looked at in a finished output folder; an unreadable file is a finding, not an error.

    Looks at run.json, digests, leftovers, the COG layout, class names, counts, areas, overviews, the grid, confidence,
    and all of the GeoPackage. Rasters are read in strips of blocks, polygons in batches.
    """
    try:
        run = _read_run(folder / RUN_FILE)
    except FAULTS as error:
        return [Finding(f"{RUN_FILE}: present and complete", ok=False, detail=_said(error))]
    findings = [Finding(f"{RUN_FILE}: present and complete", ok=True)]
    findings += _files(folder, run)
    others = {name: _probabilities for name in run.facts["outputs"] if name.endswith(".tif")}
    for name, check in {**others, **_CHECKS}.items():
        path = folder / name
        if name not in run.facts["outputs"] and name not in _ALWAYS:
            continue
        try:
            for found in check(path, run):
                findings.append(Finding(f"{name}: {found.name}", found.ok, found.detail))
        except FAULTS as error:
            findings.append(Finding(f"{name}: readable", ok=False, detail=_said(error)))
    return findings


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _read_run(path: Path) -> _Run:
    refuse_special(path)
    facts = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in RUN_KEYS if key not in facts]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    height, width = facts["grid"]["shape"]
    return _Run(
        facts=facts,
        grid=Grid(CRS.from_string(facts["grid"]["crs"]), Affine(*facts["grid"]["transform"]), (height, width)),
        classes=ClassMap.from_json(facts["classes"]),
        pixels={row["id"]: row["pixels"] for row in facts["classes"]},
    )


def _files(folder: Path, run: _Run) -> Iterator[Finding]:
    """Every listed file is there with its digest, and nothing unfinished lies beside."""
    for name, stated in run.facts["outputs"].items():
        path = folder / name
        if not path.is_file():
            yield Finding(f"{name}: present", ok=False)
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
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


def _raster(path: Path, run: _Run) -> Iterator[Finding]:
    """Say what holds for every output raster."""
    faults = cog_faults(path)
    yield Finding("valid COG", not faults, "; ".join(faults))
    with rasterio.open(path) as src:
        same = src.crs is not None and Grid(src.crs, src.transform, src.shape).same_as(run.grid)
        yield Finding(f"grid as in {RUN_FILE}", same, f"{src.height} x {src.width} px, {src.crs}")
        yield Finding("uint8, 0 is nodata", set(src.dtypes) == {"uint8"} and set(src.nodatavals) == {NODATA})
        yield Finding("bands are named", all(src.descriptions), ", ".join(map(str, src.descriptions)))
        tags = src.tags()
        yield Finding("software tag", tags.get("TIFFTAG_SOFTWARE", "").startswith("geoseg"))
        yield Finding("pixels are areas", tags.get("AREA_OR_POINT") == "Area")


def _classes(path: Path, run: _Run) -> Iterator[Finding]:
    yield from _raster(path, run)
    ids = {c.id for c in run.classes}
    with rasterio.open(path) as src:
        palette = src.colormap(1)
        total, area_m2 = np.zeros(256, np.int64), np.zeros(256)
        for window in strips(src):
            counts = np.array([np.bincount(row, minlength=256) for row in src.read(1, window=window)])
            total += counts.sum(0)
            rows = Box(window.row_off, 0, window.row_off + window.height, run.grid.width)
            area_m2 += run.grid.crop(rows).row_areas_m2() @ counts
        levels = len(src.overviews(1))
    present = set(np.flatnonzero(total).tolist())
    yield Finding("only classes of the table", present <= ids | {NODATA}, f"values {sorted(present)}")
    yield Finding(f"pixel counts as in {RUN_FILE}", all(total[i] == run.pixels[i] for i in ids))
    yield Finding("palette as the table", all(palette[c.id] == (*c.color, 255) for c in run.classes))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            seen = {int(v) for w in strips(overview) for v in np.unique(overview.read(1, window=w))}
        yield Finding(f"overview {level} shows only real classes", seen <= present, f"values {sorted(seen)}")
    totals, area_ha = {i: int(total[i]) for i in ids}, {i: area_m2[i] / 1e4 for i in ids}
    yield from _names(pam_path(path), run, total=totals, area_ha=area_ha)


def _names(path: Path, run: _Run, *, total: Mapping[int, int], area_ha: Mapping[int, float]) -> Iterator[Finding]:
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


def _probabilities(path: Path, run: _Run) -> Iterator[Finding]:
    yield from _raster(path, run)
    with rasterio.open(path) as src, rasterio.open(path.with_name("classes.tif")) as classes:
        scaled = np.allclose(src.scales, PROBABILITY_SCALE) and np.allclose(src.offsets, PROBABILITY_OFFSET)
        yield Finding("bytes are scaled to probabilities", scaled, f"scale {src.scales[0]}, offset {src.offsets[0]}")
        differ = 0
        for window in strips(src):
            nodata = classes.read(1, window=window) == NODATA
            differ += sum(int(((src.read(band, window=window) == NODATA) != nodata).sum()) for band in src.indexes)
        yield Finding("nodata exactly where classes.tif has it", differ == 0, f"{differ} pixels differ")


def _geopackage(path: Path, run: _Run) -> Iterator[Finding]:
    with path.open("rb") as file:
        header = file.read(100)
    fine = header[:16] == b"SQLite format 3\0" and header[68:72] == b"GPKG" and header[18:20] == b"\1\1"
    yield Finding("GeoPackage with a rollback journal", fine)
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as db:
        yield Finding("SQLite integrity", _all(db, "PRAGMA integrity_check") == [("ok",)])
        yield Finding("foreign keys", _all(db, "PRAGMA foreign_key_check") == [])
        queries = {
            "features": f'SELECT count(*) FROM "{LAYER}"',
            "index": f'SELECT count(*) FROM "rtree_{LAYER}_geom"',
            "declared": f"SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = '{LAYER}'",
        }
        counts = {name: _all(db, query)[0][0] for name, query in queries.items()}
        counts[RUN_FILE] = run.facts["polygons"]["count"]
        yield Finding("all counts agree", len(set(counts.values())) == 1, str(counts))
        yield from _description(db, run)
    yield from _features(path, run)


def _all(db: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query).fetchall()


def _description(db: sqlite3.Connection, run: _Run) -> Iterator[Finding]:
    """Say whether style, class domain and provenance are right."""
    styles = _all(db, f"SELECT styleQML FROM layer_styles WHERE f_table_name = '{LAYER}' AND useAsDefault = 1")
    yield Finding("one default style", len(styles) == 1, f"{len(styles)} styles")
    categories = [c for (qml,) in styles for c in ET.fromstring(qml).iter("category")]
    labels = {int(c.attrib["value"]): c.attrib["label"] for c in categories}
    used = {int(value) for (value,) in _all(db, f'SELECT DISTINCT class_id FROM "{LAYER}"')}
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


def _features(path: Path, run: _Run) -> Iterator[Finding]:
    """Read all features in batches and say whether geometries and areas are right."""
    crs = CRS.from_user_input(pyogrio.read_info(path, layer=LAYER)["crs"])
    yield Finding(f"CRS as in {RUN_FILE}", crs == run.grid.crs, str(crs))
    invalid = other_types = wrong_areas = 0
    with pyogrio.open_arrow(path, layer=LAYER, use_pyarrow=True) as (meta, reader):
        column = meta["geometry_name"] or "wkb_geometry"
        for batch in reader:
            geometries = np.asarray(shapely.from_wkb(batch[column].to_numpy(zero_copy_only=False)), object)
            invalid += int((~shapely.is_valid(geometries) | shapely.is_empty(geometries)).sum())
            other_types += int((shapely.get_type_id(geometries) != shapely.GeometryType.MULTIPOLYGON).sum())
            true = geodesic_area_m2(geometries, crs)
            off = np.abs(batch["area_m2"].to_numpy(zero_copy_only=False) - true)  # a missing area is NaN
            wrong_areas += int((~(off <= AREA_TOLERANCE * true)).sum())
    yield Finding("geometries are valid", invalid == 0, f"{invalid} are not")
    yield Finding("geometries are MultiPolygons", other_types == 0, f"{other_types} are not")
    yield Finding("areas are geodesic", wrong_areas == 0, f"{wrong_areas} are off by more than {AREA_TOLERANCE:.1%}")


_ALWAYS = ("classes.tif",)
_CHECKS: Mapping[str, Callable[[Path, _Run], Iterator[Finding]]] = {
    "classes.tif": _classes,
    "buildings.gpkg": _geopackage,
}
