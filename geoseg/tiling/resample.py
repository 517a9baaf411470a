"""Two grids over the same ground: the scene's pixels and the model's; separable taps lead from one to the other.

Down is an area average, up is bilinear. The taps of a pixel depend on its global index alone, so a chunk gets the same
values as the whole scene would.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Box, Grid

TOLERATED_RATIO = 1.5  # up to this a network copes: it is trained with scale jitter of 0.7–1.4 or more


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """For pixels [lo, hi) of a target axis: which source pixels count, and how much.

    source: span [lo, hi) of source pixels; index: (n, T) relative to source[0]; weight: (n, T), rows sum to 1.
    """

    source: tuple[int, int]
    index: NDArray[np.int32]
    weight: NDArray[np.float32]


def axis_taps(n_source: int, n_target: int, lo: int, hi: int) -> Taps:
    """Return the taps of target pixels [lo, hi) on an axis where ``n_target`` pixels cover ``n_source``.

    >>> t = axis_taps(4, 2, 0, 2)
    >>> t.source, t.index.tolist(), t.weight.tolist()
    ((0, 4), [[0, 1], [2, 3]], [[0.5, 0.5], [0.5, 0.5]])
    >>> axis_taps(2, 4, 1, 2).weight.tolist()
    [[0.75, 0.25]]
    """
    i = np.arange(lo, hi, dtype=np.int64)
    if n_target == n_source:
        return Taps((lo, hi), (i - lo)[:, None].astype(np.int32), np.ones((len(i), 1), np.float32))
    if n_target < n_source:
        return _area_taps(n_source, n_target, i)
    centre = np.clip((i + 0.5) * n_source / n_target - 0.5, 0, n_source - 1)
    left = np.minimum(np.floor(centre).astype(np.int64), max(n_source - 2, 0))
    right = np.minimum(left + 1, n_source - 1)
    part = centre - left
    return _taps(np.stack([left, right], 1), np.stack([1 - part, part], 1))


def _area_taps(n_source: int, n_target: int, i: NDArray[np.int64]) -> Taps:
    # Integer arithmetic in units of 1/n_target source pixels: target i covers [i * n_source, (i + 1) * n_source).
    first = i * n_source // n_target
    width = -(-n_source // n_target) + 1
    cells = first[:, None] + np.arange(width)
    start = np.maximum(cells * n_target, (i * n_source)[:, None])
    stop = np.minimum((cells + 1) * n_target, ((i + 1) * n_source)[:, None])
    share = np.maximum(stop - start, 0)
    used = (share > 0).any(0).sum()
    cells, share = cells[:, :used], share[:, :used]
    return _taps(np.minimum(cells, n_source - 1), share / n_source)


def _taps(index: NDArray[np.int64], weight: NDArray[np.float64]) -> Taps:
    counted = index[weight > 0]
    lo, hi = int(counted.min()), int(counted.max()) + 1
    return Taps((lo, hi), np.clip(index - lo, 0, hi - lo - 1).astype(np.int32), weight.astype(np.float32))


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

    def to_working(self, box: Box) -> tuple[Taps, Taps]:
        """Return (row, col) taps that make the working pixels of ``box`` from scene pixels."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        return axis_taps(sh, wh, box.row0, box.row1), axis_taps(sw, ww, box.col0, box.col1)

    def to_scene(self, box: Box) -> tuple[Taps, Taps]:
        """Return (row, col) taps that make the scene pixels of ``box`` from working pixels."""
        (sh, sw), (wh, ww) = self.scene_shape, self.working_shape
        return axis_taps(wh, sh, box.row0, box.row1), axis_taps(ww, sw, box.col0, box.col1)


def source_box(taps: tuple[Taps, Taps]) -> Box:
    """Return the box of source pixels that a pair of taps needs."""
    (r0, r1), (c0, c1) = taps[0].source, taps[1].source
    return Box(r0, c0, r1, c1)


def resample_valid(
    data: NDArray[np.generic], valid: NDArray[np.bool_], taps: tuple[Taps, Taps]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample (C, H, W) pixels of any real type, invalid ones left out of every average.

    data and valid hold ``source_box(taps)``. Returns float32 (C, h, w), zero where invalid, and the mask (h, w): a
    pixel is valid when any pixel it is made from is.
    """
    rows, cols = taps
    out = np.zeros((data.shape[0], len(rows.index), len(cols.index)), np.float32)
    mask = np.zeros(out.shape[1:], np.bool_)
    _resample_valid(data, valid, rows.index, rows.weight, cols.index, cols.weight, out, mask)
    return out, mask


def resample_counts(
    acc: NDArray[np.uint32], usable: NDArray[np.bool_], taps: tuple[Taps, Taps]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Resample (K, H, W) integer accumulators over their usable (H, W) pixels, both holding ``source_box(taps)``.

    Returns the same as ``resample_valid``; every number is rounded once, from a float64 mean.
    """
    rows, cols = taps
    out = np.zeros((acc.shape[0], len(rows.index), len(cols.index)), np.uint32)
    mask = np.zeros(out.shape[1:], np.bool_)
    _resample_counts(acc, usable, rows.index, rows.weight, cols.index, cols.weight, out, mask)
    return out, mask


@numba.njit(nogil=True, cache=True)
def _resample_valid(data, valid, ri, rw, ci, cw, out, mask):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            total = np.float32(0)
            for a in range(ri.shape[1]):
                for b in range(ci.shape[1]):
                    if valid[ri[y, a], ci[x, b]]:
                        total += rw[y, a] * cw[x, b]
            if total <= 0:
                continue
            mask[y, x] = True
            for c in range(out.shape[0]):
                value = np.float32(0)
                for a in range(ri.shape[1]):
                    for b in range(ci.shape[1]):
                        w = rw[y, a] * cw[x, b]
                        if w > 0 and valid[ri[y, a], ci[x, b]]:
                            value += w * np.float32(data[c, ri[y, a], ci[x, b]])
                out[c, y, x] = value / total


@numba.njit(nogil=True, cache=True)
def _resample_counts(acc, usable, ri, rw, ci, cw, out, mask):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            total = 0.0
            for a in range(ri.shape[1]):
                for b in range(ci.shape[1]):
                    if usable[ri[y, a], ci[x, b]]:
                        total += np.float64(rw[y, a]) * np.float64(cw[x, b])
            if total <= 0:
                continue
            mask[y, x] = True
            for k in range(out.shape[0]):
                value = 0.0
                for a in range(ri.shape[1]):
                    for b in range(ci.shape[1]):
                        w = np.float64(rw[y, a]) * np.float64(cw[x, b])
                        if w > 0 and usable[ri[y, a], ci[x, b]]:
                            value += w * np.float64(acc[k, ri[y, a], ci[x, b]])
                out[k, y, x] = np.uint32(min(np.rint(value / total), 4294967295.0))
