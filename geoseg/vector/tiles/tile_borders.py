"""Tile borders: components that cross them are joined from the pieces that tiles have on their borders.

::

       tile 0        tile 1
    +-----------+-----------+
    |      aaaaa|bbb        |     right side of tile 0:  a a -    left side of tile 1:  b b -
    |        aaa|bbbb   cc  |     a faces b in a row, so a and b are pieces of one component.
    |  dd       |           |     d and c touch no border: their tiles draw them alone.
    +-----------+-----------+

Union-find joins the pieces over the pixels along the borders, so memory grows with the length of the borders, and any
tiling gives the same table of components, except for which components are in it. The task that owns a component's
first pixel draws it whole. Components too large for memory are not drawn here, see oversized.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.values.box import Box
from geoseg.vector.pixels.components import OUTSIDE, Components, find_components, join_pairs, sum_bytes
from geoseg.vector.pixels.runs import Runs, inside_runs

SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True, slots=True, eq=False)
class CrossingComponents:
    """N components in raster order of their first pixel, in pixels of the scene."""

    first_pixel: NDArray[np.int64]
    """Row and column, (N, 2)."""
    box: NDArray[np.int64]
    """Half-open bounding box row0, col0, row1, col1, (N, 4)."""
    area_px: NDArray[np.int64]
    """Number of pixels, (N,)."""
    byte_sum: NDArray[np.int64]
    """Sum of the probability bytes, (N,)."""

    def __len__(self) -> int:
        return len(self.area_px)

    @property
    def box_px(self) -> NDArray[np.int64]:
        """Number of pixels of each box, (N,)."""
        return (self.box[:, 2] - self.box[:, 0]) * (self.box[:, 3] - self.box[:, 1])

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "CrossingComponents":
        """Return the chosen ones."""
        return CrossingComponents(
            self.first_pixel[chosen], self.box[chosen], self.area_px[chosen], self.byte_sum[chosen]
        )


def pixel_key(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number for each (row, col), (N,), ascending in raster order."""
    return pixels[:, 0] << 32 | pixels[:, 1]


@dataclass(frozen=True, slots=True, eq=False)
class TileBorder:
    """The pieces of components that touch a tile's border, and where they do."""

    tile: Box
    """The tile."""
    pieces: CrossingComponents
    """The tile's components that touch its border."""
    top: NDArray[np.int32]
    """The piece at each pixel along the top side, (width,), OUTSIDE for none."""
    bottom: NDArray[np.int32]
    """The same along the bottom side, (width,)."""
    left: NDArray[np.int32]
    """The same along the left side, (height,)."""
    right: NDArray[np.int32]
    """The same along the right side, (height,)."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it but the tile by names, taken back by ``of_arrays``."""
        sides = {name: getattr(self, name) for name in SIDES}
        return sides | {name: getattr(self.pieces, name) for name in CrossingComponents.__slots__}

    @classmethod
    def of_arrays(cls, tile: Box, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the border of a tile of what ``arrays`` gives."""
        pieces = CrossingComponents(*(arrays[name] for name in CrossingComponents.__slots__))
        return cls(tile, pieces, *(arrays[name] for name in SIDES))


def tile_border(probability: NDArray[np.uint8], tile: Box, low: int) -> TileBorder:
    """Find the pieces of inside pixels (bytes >= ``low``) on the border of a ``tile`` that holds ``probability``."""
    runs = inside_runs(probability, low)
    found = find_components(runs)
    height, width = tile.shape
    sides = [_along_row(runs, found, 0, width), _along_row(runs, found, height - 1, width)]
    sides += [_along_column(runs, found, last=False, width=width), _along_column(runs, found, last=True, width=width)]
    touching = np.unique(np.concatenate(sides))
    touching = touching[touching != OUTSIDE]
    number = np.full(len(found) + 1, OUTSIDE, np.int32)  # its last entry is that of OUTSIDE
    number[touching] = np.arange(len(touching))
    corner = np.array([tile.row0, tile.col0])
    pieces = CrossingComponents(
        first_pixel=found.first_pixel[touching] + corner,
        box=found.box[touching] + np.tile(corner, 2),
        area_px=found.area_px[touching],
        byte_sum=sum_bytes(probability, runs, found)[touching],
    )
    return TileBorder(tile, pieces, *(number[side] for side in sides))


def _along_row(runs: Runs, found: Components, row: int, width: int) -> NDArray[np.int64]:
    out = np.full(width, OUTSIDE, np.int64)
    for k in range(runs.start[row], runs.start[row + 1]):
        out[runs.first[k] : runs.end[k]] = found.of_run[k]
    return out


def _along_column(runs: Runs, found: Components, *, last: bool, width: int) -> NDArray[np.int64]:
    out = np.full(len(runs.start) - 1, OUTSIDE, np.int64)
    rows = np.flatnonzero(np.diff(runs.start))
    k = runs.start[rows + 1] - 1 if last else runs.start[rows]
    touches = runs.end[k] == width if last else runs.first[k] == 0
    out[rows[touches]] = found.of_run[k[touches]]
    return out


def join_tiles(
    borders: Iterable[TileBorder],
) -> tuple[CrossingComponents, list[tuple[Box, CrossingComponents, NDArray[np.int64]]]]:
    """Join the pieces of all tiles of a scene; the tiles come row by row, from left to right.

    Returns the components, and for each tile with pieces: the tile, its pieces, and the component of each piece.
    """
    tiles: list[tuple[Box, CrossingComponents]] = []
    pairs = [np.empty((0, 2), np.int64)]
    above: dict[int, NDArray[np.int64]] = {}  # the numbers along the lower side of the tile above, by first column
    before, total = np.empty(0, np.int64), 0
    for border in borders:
        top, bottom, left, right = (
            np.where(side == OUTSIDE, OUTSIDE, side + total)
            for side in (border.top, border.bottom, border.left, border.right)
        )
        if border.tile.row0 > 0:
            pairs.append(_facing_pairs(above[border.tile.col0], top))
        if border.tile.col0 > 0:
            pairs.append(_facing_pairs(before, left))
        above[border.tile.col0], before = bottom, right
        if len(border.pieces):
            tiles.append((border.tile, border.pieces))
        total += len(border.pieces)
    component = join_pairs(total, np.concatenate(pairs))
    ends = np.cumsum([len(pieces) for _, pieces in tiles], dtype=np.int64)
    components, order = _components_of([pieces for _, pieces in tiles], component)
    component = order[component] if len(order) else component
    return components, [
        (tile, pieces, component[end - len(pieces) : end]) for (tile, pieces), end in zip(tiles, ends, strict=True)
    ]


def _facing_pairs(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pairs of pieces that face each other across a border, (P, 2)."""
    both = (one != OUTSIDE) & (other != OUTSIDE)
    return np.unique(np.stack([one[both], other[both]], axis=1), axis=0)


def _components_of(
    several: list[CrossingComponents], component: NDArray[np.int64]
) -> tuple[CrossingComponents, NDArray[np.int64]]:
    """Return the components that the pieces form, in raster order, and the position of each number in that order."""
    count = int(component.max()) + 1 if len(component) else 0
    first, box = np.zeros((count, 2), np.int64), np.zeros((count, 4), np.int64)
    area_px, byte_sum = np.zeros(count, np.int64), np.zeros(count, np.int64)
    if count:
        pieces = [np.concatenate([getattr(p, name) for p in several]) for name in CrossingComponents.__slots__]
        last = np.lexsort((pieces[0][:, 1], pieces[0][:, 0]))[::-1]  # backwards, so that the first one remains
        first[component[last]] = pieces[0][last]
        box[:, :2] = np.iinfo(np.int64).max
        np.minimum.at(box[:, :2], component, pieces[1][:, :2])
        np.maximum.at(box[:, 2:], component, pieces[1][:, 2:])
        np.add.at(area_px, component, pieces[2])
        np.add.at(byte_sum, component, pieces[3])
    in_order = np.lexsort((first[:, 1], first[:, 0]))
    place = np.empty(count, np.int64)
    place[in_order] = np.arange(count)
    return CrossingComponents(first[in_order], box[in_order], area_px[in_order], byte_sum[in_order]), place
