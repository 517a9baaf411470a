"""Polygons that a review has edited or rejected: windows are cut more often where a model was wrong once."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.training.areas import CELL_PX, LabelledArea, blocks, by_cell, shown
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import EDITED, REJECTED, Features, is_raster, read_features, review_status
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget
from geoseg.values.box import Box
from geoseg.values.grid import Grid


def open_corrections(item: LabelledScene, target: BuildingTarget | ClassTarget, grid: Grid) -> Features | None:
    """Return what was edited or rejected near ``grid``, None where nothing was."""
    found: list[NDArray[np.object_]] = []
    for layer in item.layers:
        if not is_raster(layer.file):
            frame, _ = read_features(layer, item, target, grid)
            corrected = np.isin(review_status(frame, layer.file), (EDITED, REJECTED))
            found.append(np.asarray(frame.geometry.array, object)[corrected])
    shapes = np.concatenate([np.empty(0, object), *found])
    return Features(shapes, np.zeros(len(shapes), np.int32), grid, shapely.STRtree(shapes)) if len(shapes) else None


def corrected_cells(
    area: LabelledArea, corrections: Features | None, target: BuildingTarget | ClassTarget, *, at: Box
) -> NDArray[np.int32]:
    """Return how many labelled pixels of each cell of CELL_PX were corrected, (rows, cols); at: where the area lies."""
    out = np.zeros([-(-n // CELL_PX) for n in area.shape], np.int32)
    if corrections is None:
        return out
    for block in blocks(area):
        _, corrected = corrections(block.shifted(at.row0, at.col0))
        if corrected.any():
            _, labels = shown(area, block, target)
            cells = by_cell(corrected & (labels != IGNORE))
            row, col = block.row0 // CELL_PX, block.col0 // CELL_PX
            out[row : row + cells.shape[0], col : col + cells.shape[1]] = cells
    return out
