"""Areas of labelled pixels that are read box by box, and how many labels of each channel lie where in them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.training.data_spec import LabelledScene
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box

CELL_PX = 64  # side of the squares in which labels are counted
BLOCK_PX = 512  # side of what is read at once, whole cells


class LabelledArea(Protocol):
    """The pixels of one area, at one resolution, in memory or not."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    @property
    def gsd_m(self) -> float:
        """True side of a pixel."""
        ...

    @property
    def site(self) -> str:
        """The scene it is of: windows are drawn by site, scores are means over sites."""
        ...

    @property
    def share(self) -> float:
        """Weight of its site among those that windows are drawn from."""
        ...

    @property
    def span_m(self) -> tuple[float, float] | None:
        """Resolutions of its windows, instead of the augmentation's."""
        ...

    def read(self, box: Box | None = None) -> "AreaPixels":
        """Return the pixels of ``box``, which lies inside; None for all of them. They may be shared: do not write."""
        ...

    def cells(self, target: BuildingTarget | ClassTarget) -> NDArray[np.uint16]:
        """Return how many pixels of every channel each cell of CELL_PX has, (rows, cols, K); void is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AreaPixels:
    """The pixels of one area in memory."""

    image: NDArray[np.float32]  # (C, H, W) in physical units, 0 where invalid; NaN in bands that the scene lacks
    valid: NDArray[np.bool_]  # (H, W)
    labels: Raw  # (H, W) raw labels of the target, UNKNOWN where invalid or not known
    gsd_m: float = 1.0
    site: str = ""
    share: float = 1.0
    span_m: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.labels.shape

    def read(self, box: Box | None = None) -> "AreaPixels":
        """Return the pixels of ``box``; None for all of them."""
        if box is None:
            return self
        rows, cols = box.within(Box(0, 0, *self.shape))
        return replace(
            self, image=self.image[:, rows, cols], valid=self.valid[rows, cols], labels=self.labels[rows, cols]
        )

    def cells(self, target: BuildingTarget | ClassTarget) -> NDArray[np.uint16]:
        """Return how many pixels of every channel each cell has, (rows, cols, K)."""
        return count_cells(self, target)


@dataclass(frozen=True, slots=True, eq=False)
class MappedGround:
    """A rectangle of a scene with its labels, pixel by pixel of the scene."""

    item: LabelledScene
    """The entry of the data that the scene is of."""
    box: Box
    """On the scene's grid."""
    area: LabelledArea
    """The labels; truth of outputs stands where bands would."""


def blocks(area: LabelledArea, side: int = BLOCK_PX) -> Iterator[Box]:
    """Yield the boxes in which an area is read."""
    return Box(0, 0, *area.shape).blocks(side)


def shown(area: LabelledArea, box: Box, target: BuildingTarget | ClassTarget) -> tuple[AreaPixels, NDArray[np.uint8]]:
    """Return the pixels of ``box`` and their channels (H, W), as they are beside what lies around it."""
    around = box.grown(target.reach_px(area.gsd_m)).clip(Box(0, 0, *area.shape))
    assert around is not None  # the box lies inside
    pixels = area.read(around)
    rows, cols = box.within(around)
    inside = Box(rows.start, cols.start, rows.stop, cols.stop)
    return pixels.read(inside), target.labels(pixels.labels, gsd_m=area.gsd_m)[rows, cols]


def by_cell(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return how many pixels of a mask (H, W) each cell of CELL_PX has, (rows, cols).

    >>> by_cell(np.ones((64, 65), bool)).tolist()
    [[4096, 64]]
    """
    cells = mask.astype(np.int32)
    for axis, length in enumerate(mask.shape):
        cells = np.add.reduceat(cells, np.arange(0, length, CELL_PX), axis=axis)
    return cells


def count_cells(area: LabelledArea, target: BuildingTarget | ClassTarget) -> NDArray[np.uint16]:
    """Return how many pixels of every channel each cell of CELL_PX has, (rows, cols, K)."""
    channels = len(target.channels)
    height, width = (-(-n // CELL_PX) for n in area.shape)
    counts = np.zeros((height, width, channels), np.uint16)
    for box in blocks(area):
        _, labels = shown(area, box, target)
        padded = np.pad(labels, [(0, -n % CELL_PX) for n in labels.shape], constant_values=IGNORE)
        rows, cols = (n // CELL_PX for n in padded.shape)
        by_cell = padded.reshape(rows, CELL_PX, cols, CELL_PX)
        row, col = box.row0 // CELL_PX, box.col0 // CELL_PX
        for channel in range(channels):
            counts[row : row + rows, col : col + cols, channel] = (by_cell == channel).sum((1, 3))
    return counts


class Places:
    """Where windows of an area are centred: on labelled pixels, each as likely as any other."""

    def __init__(self, area: LabelledArea, target: BuildingTarget | ClassTarget) -> None:
        self._area, self._target = area, target
        self._cells = area.cells(target)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled pixels of every channel, (K,)."""
        return self._cells.sum((0, 1), dtype=np.int64)

    def draw(self, rng: np.random.Generator, *, channel: int | None = None) -> tuple[float, float]:
        """Return (row, col) of a pixel of ``channel``, which has some; None for any that is labelled."""
        of_cells = self._cells.sum(2, dtype=np.int64) if channel is None else self._cells[..., channel]
        ends = np.cumsum(of_cells, dtype=np.int64)
        number = int(rng.integers(ends[-1]))
        cell = int(np.searchsorted(ends, number, side="right"))
        return self._pixel(cell, number - (int(ends[cell - 1]) if cell else 0), channel)

    def draw_in(self, rng: np.random.Generator, cell: int) -> tuple[float, float]:
        """Return (row, col) of any labelled pixel of the cell of that number, row by row; it has some."""
        return self._pixel(cell, int(rng.integers(self._cells.reshape(-1, self._cells.shape[2])[cell].sum())), None)

    def _pixel(self, cell: int, number: int, channel: int | None) -> tuple[float, float]:
        row, col = (int(i) * CELL_PX for i in divmod(cell, self._cells.shape[1]))
        box = Box(row, col, row + CELL_PX, col + CELL_PX).clip(Box(0, 0, *self._area.shape))
        assert box is not None  # cells lie in the area
        _, labels = shown(self._area, box, self._target)
        found = np.flatnonzero((labels != IGNORE) if channel is None else (labels == channel))
        r, c = divmod(int(found[number]), labels.shape[1])
        return float(row + r), float(col + c)
