"""change: what became what between two class maps of one grid."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.disk.places import refuse_file
from geoseg.errors import InputError, OutputError
from geoseg.jobs.areas import pixel_areas_m2
from geoseg.jobs.evaluate.sides import Prediction
from geoseg.outputs.category_raster import write_categories
from geoseg.outputs.class_raster import ClassRaster
from geoseg.outputs.geopackage.layer import CLASS_COLUMNS, GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.scenes.reads import files_read
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.vector.coverage.coverage import CoverageRules, extract_coverage
from geoseg.vector.ground import geodesic_area_m2
from geoseg.vector.pixels.runs import Runs, find_runs, joined_strips

STRIP_ROWS = 512
SAME = ClassInfo(1, "unchanged", (228, 228, 224))
MOST_KINDS = 253  # of changes that have an id of their own: 2 to 254
FILES = ("change.tif", "change.tif.aux.xml", "change.gpkg", "change.csv")
COLUMNS = {
    "change": ("Change", "What became what"),
    "from_id": ("From", "Class code before"),
    "from_class": ("From class", "Class before"),
    "to_id": ("To", "Class code after"),
    "to_class": ("To class", "Class after"),
    "area_m2": CLASS_COLUMNS["area_m2"],
}
KINDS = (pa.string(), pa.int16(), pa.string(), pa.int16(), pa.string(), pa.float64())


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Two maps, pixel by pixel, and what each pair of classes covers."""

    before: Prediction
    after: Prediction
    classes: ClassMap
    """Those of both."""
    pixels: NDArray[np.int64]
    """By class before and after, 0 is nodata, (256, 256)."""
    area_m2: NDArray[np.float64]
    """Their true ground."""

    @property
    def kinds(self) -> tuple[tuple[int, int], ...]:
        """Classes before and after of every change that there is, of too many the largest."""
        found = [(int(a), int(b)) for a, b in np.argwhere(self.pixels) if 0 < a != b > 0]
        return tuple(sorted(sorted(found, key=lambda pair: -self.area_m2[pair])[:MOST_KINDS]))

    @property
    def table(self) -> ClassMap:
        """The categories of change.tif: unchanged, then the kinds of change in the colour of what came."""
        names = {c.id: c.name for c in self.classes}
        made = (
            ClassInfo(i, f"{names[a]} → {names[b]}", self.classes.by_id(b).color)
            for i, (a, b) in enumerate(self.kinds, start=2)
        )
        return ClassMap((SAME, *made))

    def strips(self) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
        """Yield ids of ``table`` from top to bottom, 0 where either side is nodata."""
        lookup = np.zeros((256, 256), np.uint8)
        np.fill_diagonal(lookup, SAME.id)
        lookup[0, 0] = 0
        for i, pair in enumerate(self.kinds, start=2):
            lookup[pair] = i
        for box, old, new in _strips(self.before, self.after):
            yield box, lookup[old, new]


def change(
    before: str | Path, after: str | Path, out: str | Path, *, min_area_m2: float = 0.0, overwrite: bool = False
) -> dict[str, Any]:
    """Compare two class maps and write FILES into the folder ``out``; returns hectares from class to class.

    before, after: folders of runs, or class rasters, of one grid and one class table. min_area_m2: patches of change
    that are smaller are no polygons; raster and hectares have them. What is nodata on either side is nodata. Raises
    InputError that names what differs, and OutputError.
    """
    folder = Path(out)
    for name in FILES:
        refuse_file(folder / name, overwrite=overwrite, inputs=files_read([str(before), str(after)]))
    refuse_if_in_use(folder / "change.gpkg")
    found = _compared(before, after)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error}); choose another folder") from error
    table, pairs = found.table, [(c.id, c.id) for c in found.classes]
    of_id = {SAME.id: pairs} | {i: [pair] for i, pair in enumerate(found.kinds, start=2)}
    write_categories(
        folder / FILES[0],
        found.strips(),
        _raster(found.before).grid,
        table,
        pixels={i: sum(int(found.pixels[pair]) for pair in each) for i, each in of_id.items()},
        area_ha={i: sum(float(found.area_m2[pair]) for pair in each) / 1e4 for i, each in of_id.items()},
        layer="change",
    )
    source = {"software": "geoseg", "version": __version__, "input": [Path(before).name, Path(after).name]}
    count = _write_polygons(folder / "change.gpkg", found, min_area_m2=min_area_m2, provenance=source)
    rows = _hectares(found)
    with atomic(folder / "change.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["from_id"])
        writer.writeheader()
        writer.writerows(rows)
    return {"folder": str(folder), "polygons": count, "changes": rows}


def _compared(before: str | Path, after: str | Path) -> Changes:
    """Open both maps and count; raises InputError where they cannot be compared."""
    one, other = Prediction.find(before), Prediction.find(after)
    for side, path in ((one, before), (other, after)):
        if side.raster is None:
            raise InputError(f"{path}: polygons alone; name a run's folder or a raster of classes")
    _refuse_other_grid(_raster(one), _raster(other))
    classes = _common_classes(one, other, after)
    pixels, area_m2 = np.zeros(2**16, np.int64), np.zeros(2**16)
    for box, old, new in _strips(one, other):
        pair = (old.astype(np.uint16) << 8 | new).ravel()
        pixels += np.bincount(pair, minlength=2**16)
        area_m2 += np.bincount(pair, pixel_areas_m2(_raster(one).grid, box).ravel(), minlength=2**16)
    return Changes(one, other, classes, pixels.reshape(256, 256), area_m2.reshape(256, 256))


def _raster(side: Prediction) -> ClassRaster:
    assert side.raster is not None
    return side.raster


def _refuse_other_grid(one: ClassRaster, other: ClassRaster) -> None:
    if one.grid.same_as(other.grid):
        return
    differs = {
        "CRS": (one.grid.crs.to_string()[:60], other.grid.crs.to_string()[:60]),
        "size": ("{1} x {0} px".format(*one.grid.shape), "{1} x {0} px".format(*other.grid.shape)),
        "place and pixel": (str(tuple(one.grid.transform)[:6]), str(tuple(other.grid.transform)[:6])),
    }
    told = next(f"{what} {a}, not {b}" for what, (b, a) in differs.items() if a != b)
    raise InputError(f"{other.path}: has another grid than {one.path}: {told}; bring it to that (gdalwarp -r near)")


def _common_classes(one: Prediction, other: Prediction, path: str | Path) -> ClassMap:
    """Return the classes of both; raises InputError where a code means two things, or named tables differ."""
    first, second = ({c.id: c.name for c in side.classes} for side in (one, other))
    named = all(_raster(side).names for side in (one, other))
    odd = [
        i for i in sorted(first | second) if first.get(i) != second.get(i) and (named or (i in first and i in second))
    ]
    if odd:
        told = ", ".join(f"{i}: {second.get(i, 'none')}, not {first.get(i, 'none')}" for i in odd)
        raise InputError(f"{path}: has another class table ({told}); maps of one model can be compared")
    every = {c.id: c for side in (other, one) for c in side.classes}
    return ClassMap(tuple(every[i] for i in sorted(every)))


def _strips(one: Prediction, other: Prediction) -> Iterator[tuple[Box, NDArray[np.uint8], NDArray[np.uint8]]]:
    grid = _raster(one).grid
    for row in range(0, grid.height, STRIP_ROWS):
        box = Box(row, 0, min(row + STRIP_ROWS, grid.height), grid.width)
        yield box, _raster(one).read(box, one.ids), _raster(other).read(box, other.ids)


def _hectares(found: Changes) -> list[dict[str, Any]]:
    names = {c.id: c.name for c in found.classes}
    return [
        {
            "from_id": a,
            "from_class": names[a],
            "to_id": b,
            "to_class": names[b],
            "pixels": int(found.pixels[a, b]),
            "area_ha": round(float(found.area_m2[a, b]) / 1e4, 6),
        }
        for a in names
        for b in names
        if found.pixels[a, b]
    ]


def _write_polygons(path: Path, found: Changes, *, min_area_m2: float, provenance: Mapping[str, Any]) -> int:
    """Write a polygon for each patch of one kind of change, and return how many there are."""
    grid, changed = _raster(found.before).grid, found.table.classes[1:]
    runs: list[Runs] = [find_runs(ids, ids > SAME.id) for _, ids in found.strips()]
    coverage = extract_coverage(joined_strips(runs), grid, CoverageRules())
    fields = [pa.field(name, kind) for name, kind in zip(COLUMNS, KINDS, strict=True)]
    layer = PolygonLayer(
        name="change",
        schema=pa.schema([*fields, GEOMETRY]),
        crs=grid.crs.to_wkt(),
        title="Change",
        description="Patches of which the class changed, with geodesic areas, made by geoseg",
        columns=COLUMNS,
        style=Style("change", tuple(Category(c.name, c.name, c.color) for c in changed)),
        provenance={**provenance, "min_area_m2": min_area_m2},
    )
    names = {c.id: c.name for c in found.classes}

    def batches() -> Iterator[pa.RecordBatch]:
        for part, ragged in coverage.batches():
            shapes = ragged.geometries()
            areas = geodesic_area_m2(shapes, grid.crs)
            large = areas >= min_area_m2
            kinds = coverage.value[part][large]
            pairs = [found.kinds[kind - 2] for kind in kinds]
            before, after = [a for a, _ in pairs], [b for _, b in pairs]
            labels = [changed[kind - 2].name for kind in kinds]
            columns = (labels, before, [names[a] for a in before], after, [names[b] for b in after], areas[large])
            yield layer_batch(layer.schema, columns, shapes[large])

    return write_layer(path, layer, batches())
