"""areas: hectares of every class in each zone, and how many polygons lie in it."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.disk.places import vector_target
from geoseg.errors import InputError
from geoseg.jobs.evaluate.files import files_behind
from geoseg.jobs.evaluate.sides import Prediction
from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, free_name, polygon_column
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.scenes.aoi import Zones, read_zones
from geoseg.scenes.vectors import open_vectors
from geoseg.values.box import Box
from geoseg.values.classes import ClassMap
from geoseg.values.grid import Grid, pyproj_crs

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)
BLOCK_PX = 1024
COLUMNS_PX = 128  # side by side, pixels have the area of the middle one
LAYER = "areas"


def areas(
    prediction: str | Path, zones: str | Path, out: str | Path, *, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Write the hectares of every class in each zone, and return what was written, without the shapes.

    prediction: a run's folder, or a class raster; zones: polygons in any CRS, ``FILE|layername=NAME`` where there are
    several layers; out: a vector file with their shapes, or .csv. A pixel belongs to the zone in which its middle lies.
    Raises InputError where all zones lie beside the map, ConfigError and OutputError.
    """
    path = vector_target(out, overwrite=overwrite, inputs=files_behind(prediction, zones), also=(".csv",))
    found = Prediction.find(prediction)
    if found.raster is None:
        raise InputError(f"{prediction}: polygons alone; name a run's folder or a raster of classes")
    where = read_zones(str(zones), found.raster.grid)
    overlaps = where.overlaps()
    if overlaps:
        log.warning("%s: %d pairs of zones overlap; each zone is counted on its own", Path(zones).name, overlaps)
    ground_m2 = _class_areas_m2(found, where)
    source = None if found.polygons is None else found.polygons.source
    counts = None if source is None else _polygons_within(source, where, found.raster.grid)
    table, columns = _table(where, found.classes, ground_m2, counts)
    if path.suffix.lower() == ".csv":
        _write_csv(path, table)
    else:
        _write_zones(path, table, columns, where=where, classes=found.classes, files=(prediction, zones))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def pixel_areas_m2(grid: Grid, box: Box) -> NDArray[np.float64]:
    """Return the true area of every pixel of ``box``, (h, w); COLUMNS_PX side by side in a row share one."""
    height, width = box.shape
    middles = np.arange(box.col0 - box.col0 % COLUMNS_PX, box.col1, COLUMNS_PX) + COLUMNS_PX / 2
    rows, cols = np.meshgrid(np.arange(box.row0, box.row1) + 0.5, middles, indexing="ij")
    each = grid.pixel_areas_m2(rows.ravel(), cols.ravel()).reshape(rows.shape)
    first = box.col0 % COLUMNS_PX
    return np.repeat(each, COLUMNS_PX, axis=1)[:, first : first + width].reshape(height, width)


def _class_areas_m2(found: Prediction, zones: Zones) -> NDArray[np.float64]:
    """Return the ground of nodata and of each class by zone, (Z, 1 + K); what lies beyond the map is nodata."""
    raster = found.raster
    assert raster is not None
    ids = [0, *(c.id for c in found.classes)]
    totals = np.zeros((len(zones), 256))
    tree = shapely.STRtree(zones.shapes_px)
    for box in raster.grid.box.blocks(BLOCK_PX):
        near = np.sort(tree.query(shapely.box(box.col0, box.row0, box.col1, box.row1)))
        if len(near) == 0:
            continue
        values, ground = raster.read(box, found.ids), pixel_areas_m2(raster.grid, box)
        for zone in near:
            inside = zones.areas[zone].wanted(box)
            totals[zone] += np.bincount(values[inside], ground[inside], minlength=256)
    totals[:, 0] += zones.beyond_m2
    return totals[:, ids]


def _polygons_within(source: str, zones: Zones, grid: Grid) -> NDArray[np.int64]:
    """Return how many polygons have a point of theirs in each zone, (Z,)."""
    from pyproj import Transformer

    layer = open_vectors(source)
    to_grid: Transformer = Transformer.from_crs(pyproj_crs(layer.crs), pyproj_crs(grid.crs), always_xy=True)
    back = ~grid.transform
    tree, counts = shapely.STRtree(zones.shapes_px), np.zeros(len(zones), np.int64)
    for geometries, _ in layer.batches(attributes=False):
        x, y = to_grid.transform(*shapely.get_coordinates(shapely.point_on_surface(geometries)).T)
        points = shapely.points(back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f)
        counts += np.bincount(tree.query(points, predicate="within")[1], minlength=len(zones))
    return counts


def _table(
    zones: Zones, classes: ClassMap, ground_m2: NDArray[np.float64], counts: NDArray[np.int64] | None
) -> tuple[pa.Table, dict[str, tuple[str, str]]]:
    """Return the zones' attributes with the columns of areas, and what those mean: alias and description."""
    given = pa.Table.from_pandas(zones.frame.drop(columns=zones.frame.geometry.name), preserve_index=False)
    columns = dict(zip(given.column_names, given.columns, strict=True))
    about: dict[str, tuple[str, str]] = {}

    def add(name: str, values: Any, alias: str, meaning: str) -> None:
        free = free_name(name, [*columns])
        about[free] = (alias, meaning)
        columns[free] = pa.array(values)

    hectares = ground_m2 / 1e4
    whole = hectares.sum(axis=1)
    add("zone_ha", zones.ground_m2.round(2) / 1e4, "Zone [ha]", "Geodesic area of the zone in hectares")
    names = ["nodata", *(c.name for c in classes)]
    for i in (*range(1, len(names)), 0):
        name, ground = names[i], hectares[:, i]
        share = np.divide(ground, whole, out=np.zeros_like(whole), where=whole > 0)
        add(f"{_plain(name)}_ha", ground.round(6), f"{name} [ha]", f"True area of {name} in hectares")
        add(f"{_plain(name)}_share", share.round(6), f"{name}, share", f"Share of {name}, 0 to 1, of all and nodata")
    most = [names[i] for i in hectares.argmax(axis=1)]
    add("most_of_it", pa.array(most, pa.string()), "Most of it", "The class, or nodata, that covers most of the zone")
    if counts is not None:
        add("polygons", counts, "Polygons", "Number of polygons of the run in the zone")
    return pa.table(columns), about


def _plain(name: str) -> str:
    """Return a name as one of a column.

    >>> _plain("Wälder & <Wiesen>")
    'walder_wiesen'
    """
    from unicodedata import normalize

    letters = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_") or "class"


def _write_csv(path: Path, table: pa.Table) -> None:
    from pyarrow import csv

    with atomic(path) as temporary:
        csv.write_csv(table, temporary)


def _write_zones(
    path: Path,
    table: pa.Table,
    columns: Mapping[str, tuple[str, str]],
    *,
    where: Zones,
    classes: ClassMap,
    files: tuple[str | Path, str | Path],
) -> None:
    geometry = GEOMETRY.with_name(free_name("geom", table.column_names))
    looks = ((c.name, c.color) for c in classes)
    layer = PolygonLayer(
        name=LAYER,
        schema=table.schema.remove_metadata().append(geometry),
        crs=where.frame.crs.to_wkt(),
        title="Class areas by zone",
        description="Zones with hectares and shares of every class, made by geoseg",
        columns=columns,
        style=Style(
            next(name for name, (alias, _) in columns.items() if alias == "Most of it"),
            (*(Category(name, name, color) for name, color in looks), Category("nodata", "no data", (200, 200, 200))),
        ),
        provenance={"software": "geoseg", "version": __version__, "input": [Path(file).name for file in files]},
    )
    shapes = np.asarray(where.frame.geometry.array, object)
    shapes = polygon_column(shapely.orient_polygons(shapely.force_2d(shapes)))

    def batches() -> Iterator[pa.RecordBatch]:
        yield from pa.Table.from_arrays([*table.columns, shapes], schema=layer.schema).combine_chunks().to_batches()

    write_layer(path, layer, batches())
