"""Overviews: each level halves the one below in 2 x 2 cells of the global pixel grid; cells at far edges may be cut.

Sizes are rounded up, so no row or column is lost. At sizes that stay even on every level the pixels equal those of
GDAL's COG driver; elsewhere GDAL rounds sizes down, and its cells drift off the grid.
"""

from collections.abc import Callable, Mapping

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
    from geoseg.tiling import compiled

    out = np.empty(halved(pixels.shape), pixels.dtype)
    compiled.mode(pixels, nodata, out)
    return out


def mean(pixels: Pixels, nodata: np.generic) -> Pixels:
    """Return numbers (h, w) at half size: the mean of what is known in each cell, of integers with halves rounded up.

    >>> mean(np.array([[1, 2, 0], [2, 1, 0], [0, 0, 3]], np.uint8), np.uint8(0)).tolist()
    [[2, 0], [0, 3]]
    """
    from geoseg.tiling import compiled

    out = np.empty(halved(pixels.shape), pixels.dtype)
    (compiled.mean_of_floats if pixels.dtype.kind == "f" else compiled.mean_of_integers)(pixels, nodata, out)
    return out


_OVERVIEWS: Mapping[str, Callable[[Pixels, np.generic], Pixels]] = {"mode": mode, "mean": mean}
