"""Scores of a prediction against truth: reads both onto one grid, then leaves the counting to ``geoseg.trust``."""

import json
from dataclasses import asdict, dataclass
from math import ceil, isnan
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window

from geoseg.classes import NODATA, ClassInfo, ClassMap
from geoseg.errors import ConfigError, InputError
from geoseg.grid import Box, Grid
from geoseg.io.class_table import read_classes, tagged_names
from geoseg.io.polygons import read_polygons
from geoseg.io.source import open_raster
from geoseg.train.classes import BUILDING_CLASSES
from geoseg.trust import (
    BoundaryMatch,
    Confusion,
    ObjectMatch,
    PolygonScores,
    match_boundaries,
    match_objects,
    score_polygons,
)

BUILDINGS = ClassMap(BUILDING_CLASSES)
BACKGROUND, BUILDING = (c.id for c in BUILDING_CLASSES)
VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet")
CLASS_COLUMNS = ("class_id", "class_name", "class")
PIXELS_PER_TOLERANCE = 4  # of the grid on which polygons are judged against polygons
MAX_PIXELS = 1_000_000_000  # all of them are in memory, at some 8 bytes each
STRIP_ROWS = 512


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is judged: a class raster, polygons of one class, or both; classes: the raster's table."""

    raster: Path | None
    polygons: Path | None
    classes: ClassMap

    @classmethod
    def find(cls, path: Path) -> "Prediction":
        """Take a run's output folder, a class raster or a vector file; raises InputError for anything else."""
        if path.is_dir():
            run_file, polygons = path / "run.json", path / "buildings.gpkg"
            if not run_file.exists():
                raise InputError(f"{path}: no finished run (run.json is not there); name its folder, or a file")
            run = json.loads(run_file.read_text(encoding="utf-8"))
            return cls(
                path / "classes.tif", polygons if polygons.exists() else None, ClassMap.from_json(run["classes"])
            )
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.suffix.lower() in VECTORS:
            return cls(None, path, BUILDINGS)
        return cls(path, None, class_table(path))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Scores on the judged ground; boundaries: by class id; objects, polygons: None unless both sides have polygons."""

    classes: ClassMap
    confusion: Confusion
    boundaries: dict[int, BoundaryMatch]
    objects: ObjectMatch | None
    polygons: PolygonScores | None
    tolerance_m: float

    @property
    def favourite(self) -> ClassInfo:
        """The class of the baseline that always answers the same: buildings, else the most frequent one."""
        truth = self.confusion.counts.sum(1)
        return self.classes.by_id(BUILDING if self.classes == BUILDINGS else int(truth.argmax()))

    @property
    def baseline(self) -> Confusion:
        """The confusion of always answering ``favourite``."""
        counts = np.zeros_like(self.confusion.counts)
        counts[:, self.favourite.id] = self.confusion.counts.sum(1)
        return Confusion(counts)

    def as_json(self) -> dict[str, Any]:
        """Return all scores as JSON values; what has no value is null."""
        ids = [c.id for c in self.classes]
        confusion, always = self.confusion, self.favourite
        return {
            "pixels": confusion.pixels,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "iou": _rounded(confusion.iou[c.id]),
                    "f1": _rounded(confusion.f1[c.id]),
                    "precision": _rounded(confusion.precision[c.id]),
                    "recall": _rounded(confusion.recall[c.id]),
                    "boundary_f1": _rounded(self.boundaries[c.id].f1),
                    "truth_px": int(confusion.counts[c.id].sum()),
                    "predicted_px": int(confusion.counts[:, c.id].sum()),
                }
                for c in self.classes
            ],
            "mean_iou": _rounded(confusion.mean_iou),
            "overall_accuracy": _rounded(confusion.overall_accuracy),
            "boundary_tolerance_m": self.tolerance_m,
            "confusion": {"ids": ids, "truth_by_prediction": confusion.counts[np.ix_(ids, ids)].tolist()},
            "objects": None if self.objects is None else _objects_json(self.objects),
            "polygons": None if self.polygons is None else _polygons_json(self.polygons),
            "baseline": {
                "always": always.name,
                "iou": _rounded(self.baseline.iou[always.id]),
                "f1": _rounded(self.baseline.f1[always.id]),
                "mean_iou": _rounded(self.baseline.mean_iou),
                "overall_accuracy": _rounded(self.baseline.overall_accuracy),
            },
        }


def evaluate(
    prediction: str | Path,
    truth: str | Path,
    *,
    aoi: str | Path | None = None,
    column: str | None = None,
    tolerance_m: float = 1.0,
) -> Evaluation:
    """Score a prediction against truth, on the ground of ``aoi`` where given, else wherever both say something.

    prediction: an output folder, a class raster, or polygons of buildings; truth: a class raster on the same grid, or
    polygons. Polygons without a class (see ``column``) are buildings, and all other ground is background. Raises
    InputError and ConfigError.
    """
    if tolerance_m <= 0:
        raise ConfigError(f"tolerance-m {tolerance_m:g}: boundaries need a tolerance above 0, e.g. 1.0")
    found = Prediction.find(Path(prediction))
    ground = _Ground.of(found, Path(truth), aoi=aoi, tolerance_m=tolerance_m)
    labels, classes = _truth(Path(truth), ground, found.classes, column)
    answers = _predicted(found, ground, binary=classes is not found.classes)
    judged = ground.mask & (labels != NODATA) & (answers != NODATA)
    labels, answers = np.where(judged, labels, NODATA), np.where(judged, answers, NODATA)
    if not judged.any():
        raise InputError(f"{truth}: nothing to judge; truth, prediction and aoi share no ground")
    objects, polygons = None, None
    if found.polygons is not None and _is_vector(Path(truth)) and classes == BUILDINGS:
        true_ones, answered = (_objects(p, ground, judged) for p in (Path(truth), found.polygons))
        objects = match_objects(*(_polygonal(shapely.make_valid(o.geometry.values)) for o in (true_ones, answered)))
        polygons = _score_in_metres(true_ones, answered, tolerance_m)
    confusion, boundaries = _count(labels, answers, classes, ground.grid, tolerance_m)
    return Evaluation(classes, confusion, boundaries, objects, polygons, tolerance_m)


def _count(
    labels: NDArray[np.uint8], answers: NDArray[np.uint8], classes: ClassMap, grid: Grid, tolerance_m: float
) -> tuple[Confusion, dict[int, BoundaryMatch]]:
    """Count pixels and boundaries strip by strip: distances take 40 bytes a pixel, which a whole scene has not."""
    confusion, boundaries = Confusion.empty(classes.max_id), {c.id: BoundaryMatch() for c in classes}
    pixel_size_m = grid.ground_resolution_m()
    rim = ceil(tolerance_m / pixel_size_m[0]) + 2
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
                valid=truth != NODATA,
                counted=core,
            )
    return confusion, boundaries


def class_table(raster: Path) -> ClassMap:
    """Return the classes of a raster: those of its CLASS_n tags where geoseg wrote it, else the values in it."""
    with open_raster(str(raster)) as src:
        if src.dtypes[0] != "uint8":
            raise InputError(f"{raster}: {src.dtypes[0]} values; a class raster holds bytes, 0 = nodata")
        tagged = bool(tagged_names(src, 1))
        present = () if tagged else [v for v in np.unique(src.read(1)).tolist() if v not in (NODATA, 255)]
        return ClassMap(read_classes(src, 1, present))


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """The pixels that are judged: a part of the prediction's or the truth's grid, and which of its pixels count."""

    grid: Grid
    window: Box
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, found: Prediction, truth: Path, *, aoi: str | Path | None, tolerance_m: float) -> "_Ground":
        raster = found.raster or (None if _is_vector(truth) else truth)
        if raster is not None:
            with open_raster(str(raster)) as src:
                whole = Grid(src.crs, src.transform, src.shape)
        else:
            assert found.polygons is not None
            whole = _metric_grid(found.polygons, truth, tolerance_m / PIXELS_PER_TOLERANCE)
        if aoi is None:
            window, mask = whole.box, np.ones(whole.shape, np.bool_)
        else:
            area = shapely.union_all(read_polygons(str(aoi), layer=None, grid=whole).geometry.values)
            window = _box_of(area, whole)
            mask = _burn([(area, 1)], whole.crop(window)) == 1
        if mask.size > MAX_PIXELS:
            raise InputError(f"{truth}: {mask.size / 1e6:.0f} million pixels to judge at once; name a smaller --aoi")
        return cls(whole.crop(window), window, mask)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read the classes of a raster on this ground; 0 and the file's own nodata are 0."""
        with open_raster(str(path)) as src:
            own = Grid(src.crs, src.transform, src.shape)
            box = self.window
            if box.clip(own.box) != box or not own.crop(box).same_as(self.grid):
                raise InputError(
                    f"{path}: its grid differs from that of the prediction; bring both to one grid (gdalwarp -te -tr)"
                )
            values = src.read(1, window=Window(box.col0, box.row0, box.shape[1], box.shape[0]))
            nodata = src.nodata
        return values if nodata in (None, NODATA) else np.where(values == nodata, NODATA, values)


def _metric_grid(prediction: Path, truth: Path, pixel_m: float) -> Grid:
    """Return a grid in metres around the polygons of both; where there are true ones decides the UTM zone."""
    lon_lat = Grid(CRS.from_epsg(4326), Affine.identity(), (1, 1))
    known = read_polygons(str(truth), layer=None, grid=lon_lat)
    if known.empty:
        raise InputError(f"{truth}: no polygons; truth without a building needs a class raster to be judged on")
    crs = CRS.from_user_input(known.estimate_utm_crs())
    answers = read_polygons(str(prediction), layer=None, grid=lon_lat)
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


def _truth(path: Path, ground: _Ground, classes: ClassMap, column: str | None) -> tuple[NDArray[np.uint8], ClassMap]:
    """Return the true class ids on the ground, and the table they are of."""
    if not _is_vector(path):
        return ground.read(path), classes
    frame = read_polygons(str(path), layer=None, grid=ground.grid)
    if column is None and not _binary(classes):
        column = next((c for c in CLASS_COLUMNS if c in frame.columns), None)
        if column is None:
            raise ConfigError(
                f"{path}: name the column that holds the class with --column ({', '.join(frame.columns)})"
            )
    if column is None:
        burnt = _burn([(g, BUILDING) for g in frame.geometry], ground.grid)
        return np.where(burnt == NODATA, BACKGROUND, burnt).astype(np.uint8), BUILDINGS
    if column not in frame.columns:
        raise ConfigError(f"{path}: no column {column!r}; there are {', '.join(map(str, frame.columns))}")
    ids = {str(c.id): c.id for c in classes} | {c.name: c.id for c in classes}
    unknown = sorted(set(frame[column].astype(str)) - set(ids))
    if unknown:
        raise ConfigError(
            f"{path}: {column} = {', '.join(unknown)} is neither name nor id of a class ({', '.join(ids)})"
        )
    return _burn([(g, ids[str(v)]) for g, v in zip(frame.geometry, frame[column], strict=True)], ground.grid), classes


def _binary(classes: ClassMap) -> bool:
    """Whether footprints without a class can be judged: some class is the building."""
    return len(classes) == 2 or any(c.name == "building" for c in classes)


def _predicted(found: Prediction, ground: _Ground, *, binary: bool) -> NDArray[np.uint8]:
    if found.raster is None:
        assert found.polygons is not None
        frame = read_polygons(str(found.polygons), layer=None, grid=ground.grid)
        burnt = _burn([(g, BUILDING) for g in frame.geometry], ground.grid)
        return np.where(burnt == NODATA, BACKGROUND, burnt).astype(np.uint8)
    values = ground.read(found.raster)
    if not binary:
        return values
    named = [c.id for c in found.classes if c.name == "building"]
    target = named[0] if named else found.classes.max_id
    return np.where(values == NODATA, NODATA, np.where(values == target, BUILDING, BACKGROUND)).astype(np.uint8)


def _objects(path: Path, ground: _Ground, judged: NDArray[np.bool_]) -> gpd.GeoDataFrame:
    """Return single polygons that stand on judged ground (the pixel under a point inside them decides)."""
    frame = read_polygons(str(path), layer=None, grid=ground.grid).explode()
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


def _burn(shapes: list[tuple[Any, int]], grid: Grid) -> NDArray[np.uint8]:
    """Return the values of the shapes whose inside a pixel's centre lies in, 0 elsewhere; the last one wins."""
    if not shapes:
        return np.zeros(grid.shape, np.uint8)
    return rasterize(shapes, out_shape=grid.shape, transform=grid.transform, fill=0, dtype="uint8")


def _is_vector(path: Path) -> bool:
    return path.suffix.lower() in VECTORS


def _objects_json(objects: ObjectMatch) -> dict[str, Any]:
    return {
        "min_iou": 0.5,
        "f1": _rounded(objects.f1),
        "precision": _rounded(objects.precision),
        "recall": _rounded(objects.recall),
        "mean_iou": _rounded(objects.mean_iou),
        "found": objects.tp,
        "invented": objects.fp,
        "missed": objects.fn,
    }


def _polygons_json(scores: PolygonScores) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else _rounded(value) for name, value in asdict(scores).items()}


def _rounded(value: float) -> float | None:
    return None if isnan(value) else round(float(value), 6)
