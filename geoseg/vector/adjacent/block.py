"""Blocks: components that hold several touching buildings, and what it takes to split them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.numba_cache import njit
from geoseg.vector.adjacent.repair import Tolerance, simplified_contours
from geoseg.vector.adjacent.split import Split, cut_along, split_block
from geoseg.vector.adjacent.traced_borders import trace_borders
from geoseg.vector.fit.fit import UNCHANGED, fit_rings
from geoseg.vector.pixels.components import Components
from geoseg.vector.pixels.cuts import on_cut
from geoseg.vector.pixels.places import SIMPLIFY_PX, moved, rounded, uncrossed
from geoseg.vector.pixels.rings import Rings
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


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A component that holds several buildings."""

    component: int
    """Its number in the ``LabelTable``."""
    box: NDArray[np.int64]
    """Its row0, col0, row1, col1 among the labels, (4,)."""
    outline: shapely.Polygon
    """What is drawn of it as a whole, in pixel coordinates of the scene."""
    contour: shapely.Polygon
    """Its contour, in the same."""
    scale: NDArray[np.float64]
    """Factors of x and y that make pixels units of detail, (2,)."""
    tolerance: Tolerance | None
    """How near each building must be to its contour; None to cut the outline along the traced borders."""
    tolerance_units: float
    """Of the fit, see ``fit_rings``."""
    cuts: NDArray[np.object_]
    """Where it is cut off, see ``cut_lines``, (L,)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parted:
    """A component's M buildings before they are drawn; None for contours where it cannot be cut."""

    whole: Whole
    members: NDArray[np.intp]
    anchors: NDArray[np.float64]
    traced: tuple[NDArray[np.float64], ...]
    contours: NDArray[np.object_] | None


def find_blocks(
    labels: NDArray[np.int32],
    table: LabelTable,
    wholes: Sequence[Whole],
    *,
    penalty: float,
    origin: tuple[int, int],
) -> list[Block]:
    """Return the buildings of components that hold several, as polygons that share their walls.

    labels: (H, W); their first pixel lies at ``origin`` (row, col) of the scene.
    penalty: of the fit, see ``fit_rings``.
    """
    parted = [_parted(labels, table, whole, origin) for whole in wholes]
    fits = iter(_fits([one for one in parted if one.contours is not None and one.whole.tolerance is not None], penalty))
    blocks = []
    for one in parted:
        whole, split = one.whole, None
        if one.contours is not None and whole.tolerance is None:
            split = _cut_edges(whole.outline, one.contours, one.traced, one.anchors)
        elif one.contours is not None:
            fitted, kept = next(fits)
            split = split_block(
                fitted, one.contours, one.anchors, scale=whole.scale, tolerance=whole.tolerance, cuts=whole.cuts
            )
            split = replace(split, unchanged=split.unchanged | kept)
        blocks.append(
            Block(
                anchors=one.anchors,
                traced=one.traced,
                area_px=table.area_px[one.members],
                byte_sum=table.byte_sum[one.members],
                split=split,
            )
        )
    return blocks


def _parted(labels: NDArray[np.int32], table: LabelTable, whole: Whole, origin: tuple[int, int]) -> _Parted:
    """Cut a component's contour along the borders between its labels."""
    row0, col0, row1, col1 = whole.box
    crop = labels[row0:row1, col0:col1]
    own = table.component == whole.component
    crop = np.where(own[crop], crop, 0)
    members = np.flatnonzero(own)
    first = table.first_pixel[members]
    members = members[np.lexsort((first[:, 1], first[:, 0]))]
    corner = np.array([col0 + origin[1], row0 + origin[0]], np.float64)
    _fill(crop, whole.contour, corner)
    traced = tuple(xy + corner for xy in trace_borders(crop).reaching_out())
    anchors = _deepest(crop, members)[:, ::-1] + 0.5 + corner
    return _Parted(whole, members, anchors, traced, cut_along(whole.contour, traced, anchors))


def _fits(parted: Sequence[_Parted], penalty: float) -> list[tuple[NDArray[np.object_], NDArray[np.bool_]]]:
    """Fit each contour by itself, all at once; return the polygons of each block, valid, and which nothing fits."""
    if not parted:
        return []
    parts = [one.contours for one in parted if one.contours is not None]
    contours, count = np.concatenate(parts), [len(own) for own in parts]
    block, rings = np.repeat(np.arange(len(parted)), count), Rings.of(contours)
    all_of_them, of = np.ones(len(rings), np.bool_), block[np.cumsum(rings.parent < 0) - 1]
    cut, places = np.zeros(len(rings.xy), np.bool_), rings.places
    first_ring = np.searchsorted(of, np.arange(len(parted) + 1))
    for k, one in enumerate(parted):
        own = slice(*rings.start[first_ring[k : k + 2]])
        cut[own] = on_cut(places[own], one.whole.cuts)
    fitted = fit_rings(
        rings,
        all_of_them,
        scale=np.array([one.whole.scale for one in parted])[of],
        tolerance=np.array([one.whole.tolerance_units for one in parted])[of],
        penalty=penalty,
        cut=cut,
    )
    polygons = uncrossed(rings.redrawn(fitted.xy, fitted.start).polygons(all_of_them))
    unfitted = fitted.status[rings.parent < 0] == UNCHANGED
    for i in np.flatnonzero(unfitted):
        polygons[i] = simplified_contours(contours[[i]], parted[block[i]].whole.tolerance)[0]
    ends = np.cumsum(count)[:-1]
    return list(zip(np.split(polygons, ends), np.split(unfitted, ends), strict=True))


def _cut_edges(
    outline: shapely.Polygon,
    contours: NDArray[np.object_],
    traced: tuple[NDArray[np.float64], ...],
    anchors: NDArray[np.float64],
) -> Split:
    """Cut an outline that is not fitted; the borders within lose corners as all contours do, the outline none."""
    parts = cut_along(outline, traced, anchors)
    corner = np.floor(shapely.bounds(shapely.multipolygons(contours))[:2])
    parts = moved(contours if parts is None else parts, -corner)
    plain = shapely.coverage_simplify(parts, SIMPLIFY_PX, simplify_boundary=False)
    none = np.zeros(len(parts), np.bool_)
    return Split(moved(shapely.transform(plain, rounded), corner), contours, none, np.full(len(parts), np.nan), None)


def _fill(labels: NDArray[np.int32], contour: shapely.Polygon, corner: NDArray[np.float64]) -> None:
    """Label, in place, the pixels of holes that the contour fills with the nearest building."""
    free, count = ndimage.label(labels == 0)
    enclosed = np.ones(count + 1, np.bool_)
    enclosed[0] = False
    for side in (free[0], free[-1], free[:, 0], free[:, -1]):
        enclosed[side] = False
    if not enclosed.any():
        return
    rows, cols = np.nonzero(enclosed[free])
    _, at, hole = np.unique(free[rows, cols], return_index=True, return_inverse=True)
    shapely.prepare(contour)  # a hole is filled as a whole
    inside = shapely.contains_xy(contour, cols[at] + 0.5 + corner[0], rows[at] + 0.5 + corner[1])[hole]
    if inside.any():  # the nearest pixel of a building lies beside the hole
        around = labels[rows.min() - 1 : rows.max() + 2, cols.min() - 1 : cols.max() + 2]
        nearest = ndimage.distance_transform_edt(around == 0, return_distances=False, return_indices=True)
        rows, cols = rows[inside] - rows.min() + 1, cols[inside] - cols.min() + 1
        around[rows, cols] = around[tuple(nearest[:, rows, cols])]


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
