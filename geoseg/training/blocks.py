"""Spatial blocks: squares of ground anywhere on Earth, and the roles that a hash gives them.

Pure: files are read in split_plan.py. A block depends on its place and side alone, so that scenes that are added, or
overlap, keep and share the roles.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.training.data_spec import BlockSplit
from geoseg.values.box import Box
from geoseg.values.grid import Grid, lonlat

Role = Literal["train", "validation", "test"]
DEGREE_M = 111_320.0  # of latitude
CELLS_PER_SIDE = 16  # of a block, at least


def block_of(lon: NDArray[np.float64], lat: NDArray[np.float64], side_m: float) -> NDArray[np.int64]:
    """Return (row, column) of the block that each place lies in, (N, 2); rows are bands of latitude."""
    step = side_m / DEGREE_M
    row = np.floor(lat / step)
    col = np.floor(np.mod(lon + 180, 360) / _width(row, step))
    return np.stack([row, col], 1).astype(np.int64)


def block_ground(key: str, side_m: float) -> shapely.Polygon | None:
    """Return the ground of a block in degrees; None for keys that are no block's."""
    row, _, col = key.partition(",")
    if not (row.lstrip("-").isdigit() and col.isdigit()):
        return None
    step = side_m / DEGREE_M
    width = float(_width(np.array(float(row)), step))
    left = int(col) * width - 180
    return shapely.box(left, int(row) * step, left + width, (int(row) + 1) * step)


def _width(row: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return how many degrees of longitude a block of a row has: as long as those of latitude."""
    return step / np.maximum(np.cos(np.radians((row + 0.5) * step)), 1e-3)


def chance(key: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on a key and a seed alone."""
    return int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=7).digest()) / 2**56


@dataclass(frozen=True, slots=True)
class Roles:
    """What ground is for: by its hash, but for keys that have been given a role."""

    split: BlockSplit
    given: Mapping[str, Role] = field(default_factory=dict)

    def of(self, key: str) -> Role:
        """Return the role of a block or a group."""
        if key in self.given:
            return self.given[key]
        split, at = self.split, chance(key, self.split.seed)
        if at < split.test:
            return "test"
        rest = (at - split.test) / (1 - split.test)
        if split.folds is not None:
            return "validation" if int(rest * split.folds) == split.fold else "train"
        return "validation" if rest * (1 - split.test) < split.validation else "train"


def stratified(roles: Roles, classes: Mapping[str, frozenset[int]]) -> Roles:
    """Return roles in which validation and test hold every class that they can hold, and at least one key.

    classes: which classes have labels, by key. Of the training keys with a class that another one has too, the one
    that a hash puts first is moved.
    """
    given = dict(roles.given)
    for role in ("validation", *(("test",) if roles.split.test > 0 else ())):
        for one in (None, *sorted(set().union(*classes.values()))):
            now = Roles(roles.split, given)
            holding = [key for key, held in classes.items() if one is None or one in held]
            free = [key for key in holding if now.of(key) == "train" and key not in roles.given]
            if len(free) > 1 and not any(now.of(key) == role for key in holding):
                given[min(free, key=lambda key: chance(key, roles.split.seed + 1))] = role
    return Roles(roles.split, given)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Some of the squares of ``cell_px`` pixels that a scene is cut into."""

    cell_px: int
    held: NDArray[np.bool_]
    """(rows, cols): which of them count."""
    corner: tuple[int, int] = (0, 0)
    """Row and column of the first one among those of the scene."""

    @property
    def box(self) -> Box | None:
        """The scene pixels around the cells that count, None where none does; it may hang over the scene's edge."""
        rows, cols = (np.flatnonzero(self.held.any(axis)) for axis in (1, 0))
        if not len(rows):
            return None
        row, col = self.corner
        edges = row + int(rows[0]), col + int(cols[0]), row + int(rows[-1]) + 1, col + int(cols[-1]) + 1
        return Box(*(edge * self.cell_px for edge in edges))

    def at(self, rows: NDArray[np.floating], cols: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return whether the cells of scene rows (H,) and columns (W,), which lie within ``box``, count, (H, W)."""
        r, c = ((v // self.cell_px).astype(np.int64) - k for v, k in zip((rows, cols), self.corner, strict=True))
        return self.held[np.ix_(r, c)]


@dataclass(frozen=True, slots=True, eq=False)
class BlockedScene:
    """The blocks of a scene's cells: keys, and the number of its key for each cell, with ``pad`` cells all around."""

    cell_px: int
    pad: int
    keys: tuple[str, ...]
    number: NDArray[np.int64]
    cell_m: tuple[float, float]

    @classmethod
    def of(cls, grid: Grid, *, side_m: float, buffer_m: float) -> "BlockedScene":
        """Cut a scene into cells, small against blocks and buffer."""
        size = grid.ground_resolution_m()
        cell_px = max(1, int(min(side_m / CELLS_PER_SIDE, max(buffer_m / 2, min(size))) / max(size)))
        cell_m = size[0] * cell_px, size[1] * cell_px
        pad = int(np.ceil((buffer_m + float(np.hypot(*cell_m))) / min(cell_m))) + 1
        rows, cols = (np.arange(-pad, -(-n // cell_px) + pad) + 0.5 for n in grid.shape)
        y, x = (v.ravel() * cell_px for v in np.meshgrid(rows, cols, indexing="ij"))
        lon, lat = lonlat(grid.crs, *(np.asarray(v) for v in grid.transform @ (x, y)))
        blocks, number = np.unique(block_of(lon, lat, side_m), axis=0, return_inverse=True)
        keys = tuple(f"{row},{col}" for row, col in blocks.tolist())
        return cls(cell_px, pad, keys, number.reshape(len(rows), len(cols)), cell_m)

    @property
    def inside(self) -> NDArray[np.int64]:
        """The number of the key of every cell of the scene, (rows, cols)."""
        return self.number[self.pad : -self.pad, self.pad : -self.pad]

    def blocks(self) -> Iterator[tuple[str, Cells]]:
        """Yield the key and the cells of every block that the scene has cells of."""
        from scipy.ndimage import find_objects

        for i, where in enumerate(find_objects(self.inside + 1)):
            if where is not None:
                yield self.keys[i], Cells(self.cell_px, self.inside[where] == i, (where[0].start, where[1].start))

    def training(self, roles: Roles, *, buffer_m: float) -> Cells:
        """Return the training cells that keep the buffer to all ground of another role, in the scene or beside it."""
        from scipy.ndimage import distance_transform_edt

        train = np.array([roles.of(key) == "train" for key in self.keys])[self.number]
        if train.all():
            return Cells(self.cell_px, np.ones(self.inside.shape, np.bool_))
        far = distance_transform_edt(train, sampling=self.cell_m) >= buffer_m + np.hypot(*self.cell_m)
        return Cells(self.cell_px, (train & far)[self.pad : -self.pad, self.pad : -self.pad])


def scattered(cells: Cells, share: float, seed: Iterable[int]) -> NDArray[np.bool_]:
    """Return a share of the cells that count, drawn at random: what a random split would test on."""
    return cells.held & (np.random.default_rng(list(seed)).random(cells.held.shape) < share)
