"""Blocks: components that hold several touching buildings, and what it takes to split them."""

from dataclasses import dataclass

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.vector.adjacent.borders import fit_borders, wall_directions
from geoseg.vector.adjacent.repair import Tolerance
from geoseg.vector.adjacent.split import Split, split_block
from geoseg.vector.adjacent.traced_borders import trace_borders
from geoseg.vector.pixels.components import Components
from geoseg.vector.pixels.runs import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Two or more buildings that touch, in raster order of first pixels."""

    anchors: NDArray[np.float64]
    """A point (col, row) deep inside each building, (M, 2) pixels of the scene."""
    traced: tuple[NDArray[np.float64], ...]
    """The traced borders between the buildings, each (K, 2)."""
    area_px: NDArray[np.int64]
    """Number of pixels of each building, (M,)."""
    byte_sum: NDArray[np.int64]
    """Sum of their probability bytes, (M,)."""
    split: Split | None
    """The drawn polygons; None where not even the contour can be cut."""

    def __len__(self) -> int:
        return len(self.area_px)


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """What each of the L labels of an image covers; label 0 is the background."""

    component: NDArray[np.int64]
    """The component that holds the label, (L,), -1 for none."""
    first_pixel: NDArray[np.int64]
    """The label's first pixel (row, col) in raster order, (L, 2)."""
    area_px: NDArray[np.int64]
    """Number of its pixels, (L,)."""
    byte_sum: NDArray[np.int64]
    """Sum of their probability bytes, (L,)."""


def label_table(
    labels: NDArray[np.int32], probability: NDArray[np.uint8], runs: Runs, components: Components
) -> LabelTable:
    """Return what each label covers; a label lies in one component."""
    return LabelTable(*_label_table(labels, probability, runs.start, runs.first, runs.end, components.of_run))


def find_block(
    labels: NDArray[np.int32],
    table: LabelTable,
    component: int,
    box: NDArray[np.int64],
    outline: shapely.Polygon,
    contour: shapely.Polygon,
    *,
    pixel_m: NDArray[np.float64],
    tolerance: Tolerance | None,
    penalty: float,
    origin: tuple[int, int],
) -> Block:
    """Return the buildings of a component that holds several, split along the borders between them.

    labels: (H, W); their first pixel lies at ``origin`` (row, col) of the scene.
    box: the component's row0, col0, row1, col1 in ``labels``.
    outline, contour: of the component, in pixel coordinates of the scene.
    pixel_m: (2,) width and height of a pixel.
    tolerance: how near each building must be to its contour; None for any.
    penalty: corners that a border off the outline's main direction must save.
    """
    scale = pixel_m / np.sqrt(pixel_m.prod())
    row0, col0, row1, col1 = box
    crop = labels[row0:row1, col0:col1]
    own = table.component == component
    crop = np.where(own[crop], crop, 0)
    members = np.flatnonzero(own)
    first = table.first_pixel[members]
    members = members[np.lexsort((first[:, 1], first[:, 0]))]
    corner = np.array([col0 + origin[1], row0 + origin[0]], np.float64)
    _fill(crop, contour, corner)
    directions = wall_directions(shapely.transform(outline, lambda xy: (xy - corner) * scale))
    fitted = fit_borders(trace_borders(crop), directions, scale=scale, penalty=penalty)
    borders = [border.moved(corner) for border in fitted]
    anchors = _deepest(crop, members)[:, ::-1] + 0.5 + corner
    return Block(
        anchors=anchors,
        traced=tuple(border.traced for border in borders),
        area_px=table.area_px[members],
        byte_sum=table.byte_sum[members],
        split=split_block(outline, contour, borders, anchors, tolerance=tolerance),
    )


def _fill(labels: NDArray[np.int32], contour: shapely.Polygon, corner: NDArray[np.float64]) -> None:
    """Label, in place, the pixels of holes that the contour fills with the nearest building."""
    rows, cols = np.nonzero(ndimage.binary_fill_holes(labels > 0) & (labels == 0))
    x, y = cols + 0.5 + corner[0], rows + 0.5 + corner[1]
    inside = shapely.contains_xy(contour, x, y)
    if inside.any():
        nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
        rows, cols = rows[inside], cols[inside]
        labels[rows, cols] = labels[tuple(nearest[:, rows, cols])]


@njit(cache=True, nogil=True)
def _label_table(
    labels: NDArray[np.int32],
    probability: NDArray[np.uint8],
    start: NDArray[np.int64],
    first: NDArray[np.int32],
    end: NDArray[np.int32],
    of_run: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    count = labels.max() + 1
    component, pixel = np.full(count, -1, np.int64), np.zeros((count, 2), np.int64)
    area, byte_sum = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for row in range(labels.shape[0]):
        for k in range(start[row], start[row + 1]):
            for col in range(first[k], end[k]):
                label = labels[row, col]
                if label == 0:
                    continue
                if component[label] < 0:
                    component[label] = of_run[k]
                    pixel[label, 0], pixel[label, 1] = row, col
                area[label] += 1
                byte_sum[label] += probability[row, col]
    return component, pixel, area, byte_sum


@njit(cache=True, nogil=True)
def _deepest(labels: NDArray[np.int32], members: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return each member's pixel (row, col) that is farthest from other labels, counted in steps over pixel sides.

    A city-block distance transform in two passes: from the top left, then from the bottom right.
    """
    height, width = labels.shape
    depth = np.zeros((height + 2, width + 2), np.int32)
    for row in range(height):
        for col in range(width):
            same_up = row > 0 and labels[row - 1, col] == labels[row, col]
            same_left = col > 0 and labels[row, col - 1] == labels[row, col]
            up, left = depth[row, col + 1] if same_up else 0, depth[row + 1, col] if same_left else 0
            depth[row + 1, col + 1] = min(up, left) + 1
    found = np.zeros((labels.max() + 1, 3), np.int64)
    for row in range(height - 1, -1, -1):
        for col in range(width - 1, -1, -1):
            same_down = row + 1 < height and labels[row + 1, col] == labels[row, col]
            same_right = col + 1 < width and labels[row, col + 1] == labels[row, col]
            down, right = depth[row + 2, col + 1] if same_down else 0, depth[row + 1, col + 2] if same_right else 0
            depth[row + 1, col + 1] = min(depth[row + 1, col + 1], down + 1, right + 1)
            label = labels[row, col]
            if depth[row + 1, col + 1] >= found[label, 0]:  # the first in raster order is seen last
                found[label, 0], found[label, 1], found[label, 2] = depth[row + 1, col + 1], row, col
    return found[members, 1:]
