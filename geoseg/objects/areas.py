"""Areas: objects of a class map alone, by where connected areas of a thing are widest.

Two objects of an area are where its distance to the edge has two peaks, with a fall between them: discs that touch come
apart, whatever made the map. What happens in an area depends on that area alone, so it is done where the area is whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.objects.segments import Segments, measured
from geoseg.values.box import Box
from geoseg.vector.pixels.peaks import label_peaks

SUB = 8  # parts of a pixel in which distances are measured
SURE = 65535  # value of a centre where nothing is known of one


@dataclass(frozen=True, slots=True)
class AreaRules:
    """What becomes an object."""

    things: tuple[int, ...]
    """Ids of the classes whose areas are parted."""
    drop: int
    """How much narrower an area is between two objects than at the lesser of them, in 1 / SUB px of half its width."""
    min_px: int
    """Smaller objects are left out."""


def area_tile(
    classes: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    tile: Box,
    window: Box,
    own: NDArray[np.int64],
    rules: AreaRules,
) -> tuple[NDArray[np.uint32], Segments]:
    """Return the segment of each pixel of ``window`` (h, w), numbered from 1, 0 for none; and the segments.

    They are those of the areas that lie in ``tile``, and of ``own`` (N,): row << 32 | col of the first pixels of areas
    that begin in it and lie in the window. The window holds a pixel more on all sides, but beyond the scene.
    """
    local, count = np.zeros(window.shape, np.uint32), 0
    for thing in rules.things:
        inside = classes == thing
        area, _ = ndimage.label(inside)
        chosen = _chosen(area, tile, window, own)[area]
        if chosen.any():
            far = ndimage.distance_transform_edt(np.pad(inside, 1))[
                1:-1, 1:-1
            ]  # the scene ends where the padding begins
            height = np.where(chosen, np.minimum(np.rint(SUB * far), 65535), 0).astype(np.uint16)
            parts = label_peaks(height, drop=rules.drop)
            local[parts > 0] = parts[parts > 0].astype(np.uint32) + np.uint32(count)
            count += int(parts.max())
    number, first = np.unique(local, return_index=True)
    rows, cols = np.divmod(first[number > 0], window.shape[1])
    key = (rows.astype(np.int64) + window.row0) << 32 | (cols + window.col0)
    sure = np.full(len(key), SURE, np.uint16)
    return local, measured(local, window, classes, confidence, things=rules.things, key=key, centre=sure)


def _chosen(area: NDArray[np.int32], tile: Box, window: Box, own: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which areas are this tile's, by number from 0 on, which is none."""
    found = ndimage.find_objects(area)
    boxes = np.array([[r.start, c.start, r.stop, c.stop] for r, c in found], np.int64).reshape(-1, 4)
    corner = np.array([window.row0, window.col0] * 2)
    inner = (boxes + corner >= (tile.row0, tile.col0, 0, 0)).all(1)
    inner &= (boxes + corner)[:, 2] <= tile.row1
    inner &= (boxes + corner)[:, 3] <= tile.col1
    number, first = np.unique(area, return_index=True)
    rows, cols = np.divmod(first[number > 0], window.shape[1])
    begins = np.isin((rows.astype(np.int64) + window.row0) << 32 | (cols + window.col0), own)
    return np.append(False, inner | begins)
