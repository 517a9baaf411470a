"""Overviews: each level halves the one below in 2 x 2 cells of the global pixel grid; cells at far edges may be cut.

Sizes are rounded up, so no row or column is lost. At sizes that stay even on every level the pixels equal those of
GDAL's COG driver; elsewhere GDAL rounds sizes down, and its cells drift off the grid.
"""

from collections.abc import Callable, Mapping

import numba
import numpy as np

from geoseg.values.layers import Layer, Pixels


def halved(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of the next level."""
    return (shape[0] + 1) // 2, (shape[1] + 1) // 2


def pyramid(shape: tuple[int, int], tile_px: int) -> tuple[tuple[int, int], ...]:
    """Return the shapes of all levels, from ``shape`` to the first that one tile can hold.

    >>> pyramid((600, 2100), 512)
    ((600, 2100), (300, 1050), (150, 525), (75, 263))
    """
    shapes = [shape]
    while max(shapes[-1]) > tile_px:
        shapes.append(halved(shapes[-1]))
    return tuple(shapes)


def levels_within(chunk_px: int, tile_px: int) -> int:
    """Return how many levels above full resolution have chunks of whole tiles.

    >>> levels_within(512, 512), levels_within(4096, 512), levels_within(1536, 512)
    (0, 3, 0)
    """
    tiles, rest = divmod(chunk_px, tile_px)
    if rest or not tiles:
        raise ValueError(f"chunks of {chunk_px} px are not whole tiles of {tile_px} px")
    return (tiles & -tiles).bit_length() - 1


def halved_layer(pixels: Pixels, layer: Layer) -> Pixels:
    """Return pixels (h, w) of a layer at half size, as its kind wants it; nodata only where a whole cell is."""
    return _OVERVIEWS[layer.treatment.overview](pixels, pixels.dtype.type(layer.nodata))


def mode(pixels: Pixels, nodata: np.generic) -> Pixels:
    """Return ids (h, w) at half size: the commonest of each cell; nodata only where all of it is.

    Among equally common ones it is the first in row-major order to reach their count.

    >>> mode(np.array([[1, 2, 0], [2, 1, 0], [0, 0, 3]], np.uint8), np.uint8(0)).tolist()
    [[2, 0], [0, 3]]
    """
    out = np.empty(halved(pixels.shape), pixels.dtype)
    _mode(pixels, nodata, out)
    return out


def mean(pixels: Pixels, nodata: np.generic) -> Pixels:
    """Return numbers (h, w) at half size: the mean of what is known in each cell, of integers with halves rounded up.

    >>> mean(np.array([[1, 2, 0], [2, 1, 0], [0, 0, 3]], np.uint8), np.uint8(0)).tolist()
    [[2, 0], [0, 3]]
    """
    out = np.empty(halved(pixels.shape), pixels.dtype)
    (_mean_of_floats if pixels.dtype.kind == "f" else _mean_of_integers)(pixels, nodata, out)
    return out


_OVERVIEWS: Mapping[str, Callable[[Pixels, np.generic], Pixels]] = {"mode": mode, "mean": mean}


@numba.njit(nogil=True, cache=True)
def _mode(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    seen = np.empty(4, pixels.dtype)
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            r, c = 2 * row, 2 * col
            if r + 1 < height and c + 1 < width:
                first = pixels[r, c]
                if first == pixels[r, c + 1] == pixels[r + 1, c] == pixels[r + 1, c + 1]:  # most cells of a map
                    out[row, col] = first
                    continue
            out[row, col] = _commonest(pixels[r : r + 2, c : c + 2], nodata, seen)


@numba.njit(nogil=True, cache=True)
def _commonest(cell, nodata, seen):  # type: ignore[no-untyped-def]
    count, most, best = 0, 0, nodata
    for r in range(cell.shape[0]):
        for c in range(cell.shape[1]):
            value = cell[r, c]
            if value == nodata:
                continue
            votes = 1
            for i in range(count):
                votes += seen[i] == value
            seen[count] = value
            count += 1
            if votes > most:
                most, best = votes, value
    return best


@numba.njit(nogil=True, cache=True)
def _mean_of_integers(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    even = width // 2
    for row in range(out.shape[0]):
        top, bottom = pixels[2 * row], pixels[min(2 * row + 1, height - 1)]
        rows = min(2, height - 2 * row)
        for col in range(even):
            a, b, c, d = top[2 * col], top[2 * col + 1], bottom[2 * col], bottom[2 * col + 1]
            out[row, col] = _mean(a, b, c, d, rows, nodata)
        if width % 2:
            out[row, even] = _mean(top[-1], nodata, bottom[-1], nodata, rows, nodata)


@numba.njit(nogil=True, cache=True)
def _mean(a, b, c, d, rows, nodata):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Mean of the known ones of two pixels, or four where there are two ``rows``."""
    total = np.int64(a if a != nodata else 0) + np.int64(b if b != nodata else 0)
    known = np.int64(a != nodata) + np.int64(b != nodata)
    if rows == 2:
        total += np.int64(c if c != nodata else 0) + np.int64(d if d != nodata else 0)
        known += np.int64(c != nodata) + np.int64(d != nodata)
    return (2 * total + known) // (2 * known) if known else np.int64(nodata)


@numba.njit(nogil=True, cache=True)
def _mean_of_floats(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            total, known = 0.0, 0
            for r in range(2 * row, min(2 * row + 2, height)):
                for c in range(2 * col, min(2 * col + 2, width)):
                    value = pixels[r, c]
                    if value != nodata and not np.isnan(value):
                        total += value
                        known += 1
            out[row, col] = total / known if known else nodata
