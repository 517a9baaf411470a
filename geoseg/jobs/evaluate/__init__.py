"""Scores of a prediction against truth: reads both onto one grid, then leaves the counting to ``geoseg.trust``."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate.errors import refuse_existing, write_errors
from geoseg.jobs.evaluate.scores import Evaluation
from geoseg.jobs.evaluate.sides import (
    BACKGROUND,
    BUILDING,
    BUILDINGS,
    Layer,
    Prediction,
    Truth,
    class_table,
    listed,
    mask_ids,
)
from geoseg.options.evaluate import EvaluateOptions, NoNodata
from geoseg.outputs.class_raster import ClassRaster
from geoseg.scenes.labelled import burn, class_texts
from geoseg.trust import (
    BoundaryMatch,
    Confusion,
    PolygonScores,
    match_boundaries,
    match_objects,
    score_polygons,
)
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid

__all__ = ["Evaluation", "Prediction", "Truth", "class_table", "evaluate"]

CLASS_COLUMNS = ("class_id", "class_name", "class")
PIXELS_PER_TOLERANCE = 4  # of the grid on which polygons are judged against polygons
MAX_PIXELS = 1_000_000_000  # all of them are in memory, at some 8 bytes each
STRIP_ROWS = 512
REACH_PX = 64  # distances of boundaries are measured so far


def evaluate(
    prediction: str | Path,
    truth: str | Path,
    *,
    aoi: str | Path | None = None,
    column: str | None = None,
    layer: str | None = None,
    values: Mapping[str, str] | None = None,
    nodata: float | NoNodata | None = None,
    tolerance_m: float = 1.0,
    errors: str | Path | None = None,
) -> Evaluation:
    """Score a prediction against truth, on the ground of ``aoi`` where given, else wherever both say something.

    prediction: an output folder, a class raster, or polygons of buildings; truth: a class raster on the same grid, or
    polygons. Polygons without a class (see ``column``) are buildings, and all other ground is background. layer: of
    the truth's file. values: name or id of the class, or nodata, by value of the truth's raster or column. nodata: of
    rasters that geoseg did not write, instead of what they say. errors: a GeoTIFF to write of what is right, missed and
    invented. Raises InputError, ConfigError and OutputError.
    """
    if errors is not None:
        refuse_existing(Path(errors))
    EvaluateOptions(tolerance_m=tolerance_m)  # refuses what is none
    found = Prediction.find(prediction, nodata=nodata)
    right = Truth.find(truth, layer=layer, column=column, values=values or {}, nodata=nodata)
    ground = _Ground.of(found, right, aoi=aoi, tolerance_m=tolerance_m)
    labels, classes = _truth(right, ground, found.classes)
    answers = _predicted(found, ground, binary=classes is not found.classes)
    judged = ground.mask & (labels != NODATA) & (answers != NODATA)
    labels, answers = np.where(judged, labels, NODATA), np.where(judged, answers, NODATA)
    if not judged.any():
        raise InputError(f"{truth}: nothing to judge; truth, prediction and aoi share no ground")
    objects, polygons = None, None
    if found.polygons is not None and right.polygons is not None and classes == BUILDINGS:
        true_ones, answered = (_objects(p, ground, judged) for p in (right.polygons, found.polygons))
        objects = match_objects(*(_polygonal(shapely.make_valid(o.geometry.values)) for o in (true_ones, answered)))
        polygons = _score_in_metres(true_ones, answered, tolerance_m)
    confusion, boundaries = _count(labels, answers, classes, ground.grid, tolerance_m)
    if errors is not None:
        background = next((c.id for c in classes if c.name == "background"), None)
        write_errors(Path(errors), labels, answers, ground.grid, background=background, near_m=tolerance_m)
    return Evaluation(classes, confusion, boundaries, objects, polygons, tolerance_m)


def _count(
    labels: NDArray[np.uint8], answers: NDArray[np.uint8], classes: ClassMap, grid: Grid, tolerance_m: float
) -> tuple[Confusion, dict[int, BoundaryMatch]]:
    """Count pixels and boundaries strip by strip: distances take 40 bytes a pixel, which a whole scene has not."""
    confusion, boundaries = Confusion.empty(classes.max_id), {c.id: BoundaryMatch() for c in classes}
    pixel_size_m = grid.ground_resolution_m()
    reach_m = max(tolerance_m, REACH_PX * min(pixel_size_m))
    rim = ceil(reach_m / pixel_size_m[0]) + 2
    for row in range(0, grid.height, STRIP_ROWS):
        first, end = max(row - rim, 0), min(row + STRIP_ROWS, grid.height)
        truth, answer = labels[first : end + rim], answers[first : end + rim]
        core = slice(row - first, end - first), slice(None)
        confusion = confusion.add(truth[core], answer[core])
        for c in classes:
            boundaries[c.id] += match_boundaries(
                truth == c.id,
                answer == c.id,
                tolerance_m=tolerance_m,
                pixel_size_m=pixel_size_m,
                reach_m=reach_m,
                valid=truth != NODATA,
                counted=core,
            )
    return confusion, boundaries


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """The pixels that are judged: a part of the prediction's or the truth's grid, and which of its pixels count."""

    whole: Grid
    window: Box
    mask: NDArray[np.bool_]

    @property
    def grid(self) -> Grid:
        """The grid of the window."""
        return self.whole.crop(self.window)

    @classmethod
    def of(cls, found: Prediction, truth: Truth, *, aoi: str | Path | None, tolerance_m: float) -> "_Ground":
        raster = found.raster or truth.raster
        if raster is not None:
            whole = raster.grid
        else:
            assert found.polygons is not None
            assert truth.polygons is not None
            whole = _metric_grid(found.polygons, truth.polygons, tolerance_m / PIXELS_PER_TOLERANCE)
        area = None if aoi is None else shapely.union_all(_valid(Layer(str(aoi)).read(whole)))
        window = whole.box if area is None else _box_of(area, whole)
        if window.shape[0] * window.shape[1] > MAX_PIXELS:
            pixels = window.shape[0] * window.shape[1] / 1e6
            raise InputError(f"{truth.path}: {pixels:.0f} million pixels to judge at once; name a smaller --aoi")
        grid = whole.crop(window)
        for own in (found.raster, truth.raster):
            if own is not None and (window.clip(own.grid.box) != window or not own.grid.crop(window).same_as(grid)):
                raise InputError(
                    f"{own.path}: its grid differs from that of the prediction; "
                    f"bring both to one grid (gdalwarp -te -tr)"
                )
        inside = np.ones(window.shape, np.bool_) if area is None else burn([area], [1], grid) == 1
        return cls(whole, window, inside)

    def read(self, raster: ClassRaster, ids: Mapping[int, int]) -> NDArray[np.uint8]:
        """Read the classes of a raster on this ground, 0 where it says nothing; ids: class by value."""
        return raster.read(self.window, ids)

    def polygons(self, layer: Layer) -> gpd.GeoDataFrame:
        """Read polygons; raises InputError where all of them lie beside the whole ground."""
        frame = layer.read(self.whole)
        if len(frame) and not frame.intersects(_outline(self.whole)).any():
            raise InputError(
                f"{layer.source}: none of its {len(frame)} polygons lies on the judged ground; "
                f"is it the right file, in the right CRS?"
            )
        return frame

    def buildings(self, layer: Layer) -> NDArray[np.uint8]:
        """Return where polygons are buildings, and the rest background."""
        burnt = burn(frame := self.polygons(layer).geometry, [1] * len(frame), self.grid)
        return np.where(burnt == 1, BUILDING, BACKGROUND).astype(np.uint8)


def _outline(grid: Grid) -> shapely.Polygon:
    height, width = grid.shape
    return shapely.Polygon([grid.transform @ corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])


def _valid(frame: gpd.GeoDataFrame) -> NDArray[np.object_]:
    return np.asarray(shapely.make_valid(frame.geometry.values))


def _metric_grid(prediction: Layer, truth: Layer, pixel_m: float) -> Grid:
    """Return a grid in metres around the polygons of both; where there are true ones decides the UTM zone."""
    lon_lat = Grid(CRS.from_epsg(4326), Affine.identity(), (1, 1))
    known = truth.read(lon_lat)
    if known.empty:
        raise InputError(f"{truth.source}: no polygons; truth without a building needs a class raster to be judged on")
    crs = CRS.from_user_input(known.estimate_utm_crs())
    answers = prediction.read(lon_lat)
    boxes = [shapely.box(*frame.total_bounds) for frame in (known, answers) if not frame.empty]
    if not boxes[0].intersects(boxes[-1]):
        raise InputError(f"{truth.source}: its polygons share no ground with those of {prediction.source}")
    bounds = np.array([frame.to_crs(crs.to_wkt()).total_bounds for frame in (known, answers) if not frame.empty])
    (left, bottom), (right, top) = bounds[:, :2].min(0), bounds[:, 2:].max(0)
    shape = ceil((top - bottom) / pixel_m) + 1, ceil((right - left) / pixel_m) + 1
    return Grid(crs, Affine(pixel_m, 0, left, 0, -pixel_m, top), shape)


def _box_of(area: shapely.Geometry, grid: Grid) -> Box:
    """Return the pixels around ``area``, inside the grid; raises InputError where there are none."""
    xy = shapely.get_coordinates(area)
    cols, rows = ~grid.transform @ (xy[:, 0], xy[:, 1])
    box = Box(int(rows.min()), int(cols.min()), ceil(rows.max()) + 1, ceil(cols.max()) + 1).clip(grid.box)
    if box is None:
        raise InputError("the aoi lies beside the prediction")
    return box


def _truth(truth: Truth, ground: _Ground, classes: ClassMap) -> tuple[NDArray[np.uint8], ClassMap]:
    """Return the true class ids on the ground, and the table they are of."""
    if truth.raster is not None:
        if truth.raster.is_mask and not (truth.raster.names or truth.values) and _binary(classes):
            return ground.read(truth.raster, mask_ids(truth.raster)), BUILDINGS
        return ground.read(truth.raster, _raster_ids(truth, classes)), classes
    assert truth.polygons is not None
    frame = ground.polygons(truth.polygons)
    column = truth.column
    if column is None and not _binary(classes):
        column = next((c for c in CLASS_COLUMNS if c in frame.columns), None)
        if column is None:
            raise ConfigError(
                f"{truth.path}: name the column that holds the class with --column ({', '.join(frame.columns)})"
            )
    if column is None:
        return ground.buildings(truth.polygons), BUILDINGS
    texts = class_texts(frame, column, source=truth.path)
    ids = _ids_of_names(truth, classes)
    unknown = sorted(set(texts) - set(ids))
    if unknown:
        raise ConfigError(
            f"{truth.path}: {column} = {', '.join(unknown)} is neither name nor id of a class ({', '.join(ids)}); "
            f"say what it means with --values, e.g. {unknown[0]}={classes.classes[-1].name}"
        )
    geometries, values = [*frame.geometry], [ids[text] for text in texts]
    first, last = classes.classes[0].id, classes.max_id
    if len(classes) == 2 and {*values} - {NODATA} == {last}:  # polygons of one class alone: it could only agree
        geometries, values = [shapely.box(*ground.grid.bounds), *geometries], [first, *values]
    return burn(geometries, values, ground.grid).astype(np.uint8), classes


def _ids_of_names(truth: Truth, classes: ClassMap) -> dict[str, int]:
    """Return the class id of every text that names one: ids, names, and what ``values`` adds; raises ConfigError."""
    ids = {str(c.id): c.id for c in classes} | {c.name: c.id for c in classes}
    known = {**ids, "nodata": NODATA}
    odd = [name for name in truth.values.values() if name not in known]
    if odd:
        raise ConfigError(f"--values: no class {odd[0]!r}; there are {listed(classes)}, and nodata")
    return ids | {value: known[name] for value, name in truth.values.items()}


def _raster_ids(truth: Truth, classes: ClassMap) -> dict[int, int]:
    """Return the class of every value of the truth's raster; raises InputError where a value has none, or may have two.

    A value means what ``values`` says, else the class that both files call by one name, else the class of that id.
    """
    raster, known = truth.raster, _ids_of_names(truth, classes)
    assert raster is not None
    both_named = raster.names and not all(c.name == f"class {c.id}" for c in classes)
    names = raster.names if both_named else {}
    found = {v: known.get(str(v) if str(v) in truth.values else names.get(v, str(v))) for v in raster.present}
    stray = [v for v, class_id in found.items() if class_id is None]
    if stray:
        called = ", ".join(f"{v} {names[v]}" if v in names else str(v) for v in stray[:5])
        raise InputError(
            f"{raster.path}: holds {called}; the prediction's classes are {listed(classes)}. Say with --values what "
            f"it means, e.g. {stray[0]}={classes.classes[0].name} or {stray[0]}=nodata"
        )
    if len(raster.present) == 1 and not raster.names and not truth.values and len(classes) == 2:
        raise InputError(
            f"{raster.path}: holds {raster.present[0]} alone beside nodata {raster.nodata}; say which class it is with "
            f"--values {raster.present[0]}=NAME, or pass --nodata none where its nodata is the background"
        )
    return {v: class_id for v, class_id in found.items() if class_id is not None}


def _binary(classes: ClassMap) -> bool:
    """Whether footprints without a class can be judged: some class is the building."""
    return len(classes) == 2 or any(c.name == "building" for c in classes)


def _predicted(found: Prediction, ground: _Ground, *, binary: bool) -> NDArray[np.uint8]:
    if found.raster is None:
        assert found.polygons is not None
        return ground.buildings(found.polygons)
    values = ground.read(found.raster, found.ids)
    if not binary:
        return values
    named = [c.id for c in found.classes if c.name == "building"]
    target = named[0] if named else found.classes.max_id
    return np.where(values == NODATA, NODATA, np.where(values == target, BUILDING, BACKGROUND)).astype(np.uint8)


def _objects(layer: Layer, ground: _Ground, judged: NDArray[np.bool_]) -> gpd.GeoDataFrame:
    """Return single polygons that stand on judged ground (the pixel under a point inside them decides)."""
    frame = layer.read(ground.grid).explode()
    xy = shapely.get_coordinates(shapely.point_on_surface(shapely.make_valid(frame.geometry.values)))
    cols, rows = (np.floor(v).astype(int) for v in ~ground.grid.transform @ (xy[:, 0], xy[:, 1]))
    inside = (rows >= 0) & (cols >= 0) & (rows < ground.grid.height) & (cols < ground.grid.width)
    inside[inside] = judged[rows[inside], cols[inside]]
    return frame[inside]


def _polygonal(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    parts = shapely.get_parts(shapely.get_parts(geometries))
    return parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]


def _score_in_metres(truth: gpd.GeoDataFrame, answered: gpd.GeoDataFrame, tolerance_m: float) -> PolygonScores:
    """Score polygons in the UTM zone of the true ones, or, where there are none, of the others."""
    known = next((frame for frame in (truth, answered) if not frame.empty), None)
    metric = truth.crs if known is None else known.estimate_utm_crs()
    answered = answered.to_crs(metric)
    return score_polygons(
        _polygonal(shapely.make_valid(truth.to_crs(metric).geometry.values)),
        np.asarray(answered.geometry.values),
        confidence=answered["confidence"].to_numpy(float) if "confidence" in answered else None,
        tolerance_m=tolerance_m,
    )
