"""Label layers to raw labels on a given grid: polygons, widened lines and points, COCO annotations, rasters.

Not here: how rasters are brought to a grid, see label_rasters.py; what labels become in a window, see targets.py.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.disk.places import RASTER_FILES, holds_vectors
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.labelled import burn, class_text
from geoseg.scenes.polygons import read_polygons
from geoseg.training.coco import is_coco, read_coco
from geoseg.training.data_spec import LabelledScene
from geoseg.training.label_rasters import LabelRaster
from geoseg.training.label_spec import LabelLayer, refuse_unknown
from geoseg.training.targets import UNKNOWN, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import geopandas as gpd

log = logging.getLogger(__name__)
Drawn = tuple[Raw, NDArray[np.bool_]]  # raw labels (H, W), and where they say something
REVIEW, DONE = "review", "done"  # columns that review leaves
UNSEEN, REJECTED, EDITED = "unseen", "rejected", "edited"
REVIEWED = {UNSEEN, "accepted", REJECTED, EDITED}
TRUE = ("true", "1", "yes")


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Polygons on a grid with their raw labels, in the order in which they are drawn."""

    geometries: NDArray[np.object_]
    raw: Raw  # (N,)
    grid: Grid
    tree: shapely.STRtree

    def __call__(self, box: Box) -> Drawn:
        """Return the raw labels of a box, and where polygons lie."""
        grid = self.grid.crop(box)
        near = np.sort(self.tree.query(shapely.box(*grid.bounds)))
        burnt = burn(self.geometries[near], (self.raw[near] + 2).tolist(), grid)  # 0 is no polygon, 1 UNKNOWN
        return burnt - 2, burnt > 0


def open_labels(data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> Callable[[Box], Raw]:
    """Return what draws the raw labels of ``data`` in a box of ``grid``: (H, W) int32, UNKNOWN where nothing is known.

    A pixel belongs to the polygon that holds its centre; invalid polygons fill by the even-odd rule, as drawn. A file
    without polygons says that nothing is there. Raises InputError where all labels lie beside the scene, or a value is
    none that the target names.
    """
    layers: list[Callable[[Box], Drawn]] = []
    first = 1
    for layer in data.layers:
        if is_raster(layer.file):
            layers.append(LabelRaster.open(layer, target, grid, scene=data.name))
        else:
            layers.append(features := open_features(layer, data, target, grid, first=first))
            first += len(features.raw)
    drawn = bool(layers) and not any(is_raster(layer.file) for layer in data.layers)
    elsewhere = target.elsewhere_raw if drawn else UNKNOWN
    void = _ground(data.ignore, grid, where=None)
    known = _ground(data.area, grid, where=DONE)

    def labels(box: Box) -> Raw:
        raw, said = np.full(box.shape, UNKNOWN, np.int32), np.zeros(box.shape, np.bool_)
        for layer in layers:
            own, says = layer(box)
            raw[says] = own[says]
            said |= says
        raw[~said] = elsewhere
        if void is not None:
            raw[void(box)[1]] = UNKNOWN
        if known is not None:
            raw[~known(box)[1]] = UNKNOWN
        return raw

    return labels


def is_raster(path: str) -> bool:
    """Whether a label file is a raster, by its suffix; an OGR VRT is none."""
    return Path(path).suffix.lower() in RASTER_FILES and not holds_vectors(path)


def open_features(
    layer: LabelLayer, data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid, *, first: int = 1
) -> Features:
    """Return the features of a layer near ``grid``, numbered from ``first``; see ``open_labels``."""
    frame, column = read_features(layer, data, target, grid)
    ids = _class_ids(frame, layer, target, column=column)
    raw = target.raw(ids, np.arange(first, first + len(frame)))
    raw[ids == 0] = UNKNOWN
    crowds = "iscrowd" if target.default_class is not None and "iscrowd" in frame.columns else None
    if uncertain := layer.uncertain or crowds:  # a crowd is no object
        raw[_is_true(_column(frame, uncertain, layer.file))] = UNKNOWN
    status = review_status(frame, layer.file)
    raw[status == UNSEEN] = UNKNOWN
    raw[status == REJECTED] = target.elsewhere_raw
    geometries = np.asarray(frame.geometry.array, object)
    if layer.buffer_m is not None:
        geometries = widened(geometries, layer.buffer_m, grid)
    order = target.order(geometries)
    return Features(geometries[order], raw[order], grid, shapely.STRtree(geometries[order]))


def read_features(
    layer: LabelLayer, data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid
) -> tuple["gpd.GeoDataFrame", str | None]:
    """Return the features of a layer near ``grid`` in its CRS, and the column that holds their class."""
    if is_coco(layer.file):
        return read_coco(layer.file, data.name, grid), layer.column or target.class_column or "category"
    areal = layer.buffer_m is None  # what has no area is refused
    frame = read_polygons(layer.file, layer=layer.layer, grid=grid, near=True, areal=areal)
    meets = len(frame) and shapely.box(*frame.total_bounds).intersects(shapely.box(*grid.bounds))
    if not meets and _holds_any(layer):
        raise InputError(
            f"{layer.file}: no polygon lies on the scene {data.name}; is it the right file, the right CRS?"
        )
    return frame, layer.column or target.class_column


def review_status(frame: "gpd.GeoDataFrame", source: str) -> NDArray[np.object_]:
    """Return what review says of every feature, (N,): a word of REVIEWED, or "" where the layer was not reviewed.

    A column without any of these words is an attribute of the user's own; raises InputError where some are others.
    source: the file, for errors.
    """
    none = np.full(len(frame), "", object)
    if REVIEW not in frame.columns:
        return none
    told = [_text(v) for v in frame[REVIEW].tolist()]
    said = np.array([UNSEEN if text is None else text.strip().lower() for text in told], object)
    if not REVIEWED & {word for word, text in zip(said, told, strict=True) if text is not None}:
        return none
    if others := Counter(word for word in said if word not in REVIEWED):
        listed = ", ".join(f"{word} ({count})" for word, count in sorted(others.items()))
        raise InputError(f"{source}: {REVIEW} = {listed}; it is {', '.join(sorted(REVIEWED))}, or empty for unseen")
    return said


def widened(geometries: NDArray[np.object_], metres: float, grid: Grid) -> NDArray[np.object_]:
    """Return geometries with all ground within so many true metres, as measured at the grid's centre."""
    height_m, width_m = grid.ground_resolution_m()
    scale = np.array([width_m, height_m])

    def to_metres(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(~grid.transform @ tuple(xy.T)) * scale

    def back(metric: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(grid.transform @ tuple((metric / scale).T))

    wide = shapely.buffer(shapely.transform(geometries, to_metres), metres)
    return np.asarray(shapely.transform(wide, back))


def _holds_any(layer: LabelLayer) -> bool:
    """Whether a vector file has features at all; one without says that nothing is there."""
    import pyogrio

    from geoseg.scenes.polygons import PARQUET, layer_name, split_layer

    path, named = split_layer(layer.file)
    if path.suffix.lower() in PARQUET:
        return True
    name = layer_name(path, layer.layer or named)
    return bool(pyogrio.read_info(path, layer=name, force_feature_count=True)["features"])


def _class_ids(
    frame: "gpd.GeoDataFrame", layer: LabelLayer, target: BuildingTarget | ClassTarget, *, column: str | None
) -> NDArray[np.int64]:
    """Return the class id of every feature, 0 where it is void; raises InputError for values that mean nothing."""
    if target.default_class is not None and layer.column is layer.values is layer.means is None:
        return np.full(len(frame), target.default_class, np.int64)
    values = target.meanings(layer)
    if layer.means is not None:
        refuse_unknown(Counter({layer.means: len(frame)}), values, source=f"{layer.file}: means")
        return np.full(len(frame), values[layer.means] or 0, np.int64)
    if column is None:
        raise ConfigError(f"{layer.file}: target.column is missing; name the attribute that holds the class")
    texts = [_text(v) for v in _column(frame, column, layer.file)]
    lacking = texts.count(None)
    if lacking:
        log.warning("%s: %d of %d features have no %s (NULL): void", layer.file, lacking, len(texts), column)
    refuse_unknown(Counter(t for t in texts if t is not None), values, source=f"{layer.file}: {column}")
    return np.array([0 if t is None else values[t] or 0 for t in texts], np.int64)


def _column(frame: "gpd.GeoDataFrame", column: str, source: str) -> list[object]:
    if column not in frame.columns:
        raise InputError(f"{source}: no column {column!r}; there are {', '.join(map(str, frame.columns))}")
    return list(frame[column].tolist())


def _text(value: object) -> str | None:
    """Return a value as text; None where there is none."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and isnan(value)):
        return None
    return class_text(value)


def _is_true(values: Sequence[object]) -> NDArray[np.bool_]:
    return np.array([(_text(v) or "").lower() in TRUE for v in values], np.bool_)


def _ground(source: str | None, grid: Grid, *, where: str | None) -> Features | None:
    """Return polygons of ground; those alone whose column ``where`` is true, where there is such a column."""
    if source is None:
        return None
    frame = read_polygons(source, layer=None, grid=grid, near=True)
    geometries = np.asarray(frame.geometry.array, object)
    if where is not None and where in frame.columns:
        geometries = geometries[_is_true(frame[where].tolist())]
    return Features(geometries, np.zeros(len(geometries), np.int32), grid, shapely.STRtree(geometries))
