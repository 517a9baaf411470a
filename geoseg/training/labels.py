"""Label vectors to label rasters on a given grid: channel indices, and IGNORE where nothing is known."""

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from geoseg.errors import ConfigError, InputError
from geoseg.scenes.labelled import burn, class_texts
from geoseg.scenes.polygons import read_polygons
from geoseg.training.spec import BuildingTarget, ClassTarget, LabelledScene
from geoseg.values.box import Box
from geoseg.values.grid import Grid

IGNORE = 255
BACKGROUND, INTERIOR, BORDER = 0, 1, 2


def label_raster(data: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> NDArray[np.uint8]:
    """Return the labels of ``data`` on ``grid``: (H, W) uint8 of channel indices, IGNORE where unknown.

    A pixel belongs to the polygon that holds its centre; invalid polygons fill by the even-odd rule, as drawn. A file
    without polygons says that nothing is there. Raises InputError where all polygons lie beside the scene.
    """
    frame = read_polygons(data.labels, layer=data.layer, grid=grid)
    if len(frame) and not shapely.box(*frame.total_bounds).intersects(shapely.box(*grid.bounds)):
        raise InputError(
            f"{data.labels}: no polygon lies on the scene {data.scene}; is it the right file, the right CRS?"
        )
    labels = (
        _buildings(frame, target, grid) if isinstance(target, BuildingTarget) else _classes(frame, data, target, grid)
    )
    if data.ignore is not None:
        void = read_polygons(data.ignore, layer=None, grid=grid)
        labels[burn(void.geometry.values, [1] * len(void), grid) > 0] = IGNORE
    return labels


def _buildings(frame: gpd.GeoDataFrame, target: BuildingTarget, grid: Grid) -> NDArray[np.uint8]:
    geometries = np.asarray(frame.geometry.values)
    order = np.argsort(-shapely.area(geometries))  # small ones last: a shed on a block's footprint stays visible
    ids = burn(geometries[order], range(1, len(order) + 1), grid)
    return building_labels(ids, border_px=target.border_m / float(np.mean(grid.ground_resolution_m())))


def building_labels(ids: NDArray[np.int32], *, border_px: float) -> NDArray[np.uint8]:
    """Turn building numbers (0 = none) into background, interior and border.

    Border is each building's pixels within ``border_px`` of anything that is not that building, so walls between
    touching buildings are border on both sides.

    >>> building_labels(np.array([[0, 1, 1, 1, 2, 2, 2, 0]], np.int32), border_px=1).tolist()
    [[0, 2, 1, 2, 2, 1, 2, 0]]
    """
    reach = max(1, round(border_px))
    yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = yy**2 + xx**2 <= reach**2 + 0.5
    edge = maximum_filter(ids, footprint=disk, mode="nearest") != minimum_filter(ids, footprint=disk, mode="nearest")
    return np.where(ids == 0, BACKGROUND, np.where(edge, BORDER, INTERIOR)).astype(np.uint8)


def _classes(frame: gpd.GeoDataFrame, data: LabelledScene, target: ClassTarget, grid: Grid) -> NDArray[np.uint8]:
    texts = class_texts(frame, target.column, source=data.labels)
    unknown = sorted(set(texts) - set(target.values))
    if unknown:
        raise ConfigError(f"{data.labels}: {target.column} = {', '.join(unknown)}, which values do not name")
    channel = {c.id: i for i, c in enumerate(target.classes)}
    burnt = burn(frame.geometry.values, [channel[target.values[text]] + 1 for text in texts], grid)
    elsewhere = IGNORE if target.elsewhere is None else channel[target.elsewhere]
    return np.where(burnt == 0, elsewhere, burnt - 1).astype(np.uint8)


def crop(labels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return the labels of ``box``."""
    return labels[box.row0 : box.row1, box.col0 : box.col1]
