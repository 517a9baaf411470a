"""Two grids over the same ground: the scene's pixels and the model's; separable taps lead from one to the other.

Down is an area average, up is bilinear. The taps of a pixel depend on its global index alone, so a chunk gets the same
values as the whole scene would.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.tiling.taps import Taps, axis_taps
from geoseg.values.box import Box
from geoseg.values.grid import Grid

TOLERATED_RATIO = 1.5  # up to this a network copes: it is trained with scale jitter of 0.7–1.4 or more


@dataclass(frozen=True, slots=True)
class Resampling:
    """The scene's grid and the working grid on which the network runs; equal where their resolutions agree."""

    scene_shape: tuple[int, int]
    working_shape: tuple[int, int]

    @classmethod
    def to_resolution(cls, grid: Grid, gsd_m: float | None) -> "Resampling":
        """Choose the working grid for a model trained at ``gsd_m`` metres (None: any resolution).

        A scene whose true pixel size is within 1.5x of the model's runs as it is; beyond, both axes are resampled.
        """
        if gsd_m is None:
            return cls(grid.shape, grid.shape)
        ratio = [size / gsd_m for size in grid.ground_resolution_m()]
        if all(1 / TOLERATED_RATIO <= r <= TOLERATED_RATIO for r in ratio):
            return cls(grid.shape, grid.shape)
        working = tuple(max(1, round(n * r)) for n, r in zip(grid.shape, ratio, strict=True))
        return cls(grid.shape, (working[0], working[1]))

    @property
    def is_identity(self) -> bool:
        """Whether the network runs on the scene's own pixels."""
        return self.scene_shape == self.working_shape

    @property
    def scale(self) -> tuple[float, float]:
        """Working pixels per scene pixel along (rows, cols)."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        return wh / sh, ww / sw

    def nearest(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the working pixels in which the centres of the rows and of the columns of a scene's box lie."""
        spans = zip((box.row0, box.col0), (box.row1, box.col1), self.scene_shape, self.working_shape, strict=True)
        rows, cols = ((2 * np.arange(lo, hi) + 1) * working // (2 * scene) for lo, hi, scene, working in spans)
        return rows, cols

    def holds(self, box: Box, row: int, col: int) -> bool:
        """Whether the centre of a working pixel lies in a box of the scene."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        row, col = (2 * row + 1) * sh // (2 * wh), (2 * col + 1) * sw // (2 * ww)
        return box.row0 <= row < box.row1 and box.col0 <= col < box.col1

    def to_working(self, box: Box) -> tuple[Taps, Taps]:
        """Return (row, col) taps that make the working pixels of ``box`` from scene pixels."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        return axis_taps(sh, wh, box.row0, box.row1), axis_taps(sw, ww, box.col0, box.col1)

    def to_scene(self, box: Box) -> tuple[Taps, Taps]:
        """Return (row, col) taps that make the scene pixels of ``box`` from working pixels."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        return axis_taps(wh, sh, box.row0, box.row1), axis_taps(ww, sw, box.col0, box.col1)


def resample_valid(
    data: NDArray[np.generic], valid: NDArray[np.bool_], taps: tuple[Taps, Taps]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample (C, H, W) pixels of any real type, invalid ones left out of every average.

    data and valid hold ``source_box(taps)``. Returns float32 (C, h, w), zero where invalid, and the mask (h, w): a
    pixel is valid when any pixel it is made from is.
    """
    return _resample(data, valid, taps, weights=np.dtype(np.float32), out=np.dtype(np.float32))


def resample_counts(
    acc: NDArray[np.uint32], usable: NDArray[np.bool_], taps: tuple[Taps, Taps]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Resample (K, H, W) integer accumulators over their usable (H, W) pixels, both holding ``source_box(taps)``.

    Returns the same as ``resample_valid``; every number is rounded once, from a float64 mean.
    """
    return _resample(acc, usable, taps, weights=np.dtype(np.float64), out=np.dtype(np.uint32))


def resample_stored(
    data: NDArray[np.generic], valid: NDArray[np.bool_], taps: tuple[Taps, Taps]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the same as ``resample_valid`` in float64, which holds what files store; not yet rounded to their type."""
    return _resample(data, valid, taps, weights=np.dtype(np.float64), out=np.dtype(np.float64))


def _resample[T: np.generic](
    data: NDArray[np.generic],
    valid: NDArray[np.bool_],
    taps: tuple[Taps, Taps],
    *,
    weights: np.dtype[np.generic],
    out: np.dtype[T],
) -> tuple[NDArray[T], NDArray[np.bool_]]:
    """Return means of (C, H, W) data, summed in the type ``weights``, in the type ``out``; and the mask."""
    from geoseg.tiling import compiled

    rows, cols = taps
    shape = (len(rows.index), len(cols.index))
    means, mask = np.zeros((len(data), *shape), out), np.zeros(shape, np.bool_)
    row_weights, col_weights = (t.weight.astype(weights) for t in taps)
    by_tap = np.ascontiguousarray(cols.index.T), np.ascontiguousarray(col_weights.T)  # a tap of all columns in a row
    compiled.means(data, valid, rows.index, row_weights, *by_tap, means, mask, np.issubdtype(out, np.integer))
    return means, mask
