"""The plan: one global grid of windows, and chunks that walk it.

The grid depends on the scene and the model alone. A chunk is only a way to walk it, so its size changes no byte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Self

from numpy import uint16
from numpy.typing import NDArray

from geoseg.tiling.axis import Axis
from geoseg.values.box import Box


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Where the network's windows lie on a scene, all of one shape; boxes are pixels of the grid it runs on.

    >>> grid = WindowGrid.fit((100, 40), window=64, margin=8, ramp=16, multiple=32)
    >>> grid.window_shape, grid.windows(Box(0, 0, 60, 40))
    ((64, 64), (Box(row0=0, col0=0, row1=64, col1=64), Box(row0=32, col0=0, row1=96, col1=64)))
    """

    rows: Axis
    cols: Axis

    @classmethod
    def fit(cls, shape: tuple[int, int], *, window: int, margin: int, ramp: int, multiple: int, least: int = 1) -> Self:
        """Lay windows of ``window`` pixels over a scene of ``shape``.

        An axis that one window can hold gets one, of the smallest multiple that does, of ``least`` pixels or more.
        multiple: the network's own stride in pixels. Raises ConfigError where window or stride is not a multiple of it.
        """
        return cls(*(_fit_axis(Axis(size, window, margin=margin, ramp=ramp), multiple, least) for size in shape))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the scene."""
        return self.rows.size, self.cols.size

    @property
    def window_shape(self) -> tuple[int, int]:
        """(height, width) of every window."""
        return self.rows.window, self.cols.window

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.rows.count * self.cols.count

    def windows(self, box: Box) -> tuple[Box, ...]:
        """Return the windows with a weight above zero in ``box``, row by row; they may hang over far edges."""
        height, width = self.window_shape
        tops = [self.rows.start(i) for i in self.rows.touching(box.row0, box.row1)]
        lefts = [self.cols.start(j) for j in self.cols.touching(box.col0, box.col1)]
        return tuple(Box(top, left, top + height, left + width) for top in tops for left in lefts)

    def weights(self, window: Box) -> tuple[NDArray[uint16], NDArray[uint16]]:
        """Return the weights 0..128 of the rows and columns of one of the windows; a pixel's is their product."""
        return self.rows.weight(window.row0 // self.rows.stride), self.cols.weight(window.col0 // self.cols.stride)

    def cell(self, window: Box) -> Box:
        """Return the pixels of the scene that are one window's own; those of all windows tile it."""
        (row0, row1), (col0, col1) = (
            axis.cell(at // axis.stride) for axis, at in ((self.rows, window.row0), (self.cols, window.col0))
        )
        return Box(row0, col0, row1, col1)


def _fit_axis(axis: Axis, multiple: int, least: int) -> Axis:
    axis.check_alignment(multiple)
    if axis.size > axis.window:
        return axis
    return Axis(axis.size, -(-max(axis.size, least) // multiple) * multiple, margin=0, ramp=0)  # it has no neighbours


def chunks(shape: tuple[int, int], chunk_px: int) -> Iterator[tuple[str, Box]]:
    """Yield (id, box) of the chunks of a grid, row by row; the last ones are cut at its edges.

    >>> [id for id, _ in chunks((600, 1200), 512)]
    ['r00000_c00000', 'r00000_c00001', 'r00000_c00002', 'r00001_c00000', 'r00001_c00001', 'r00001_c00002']
    """
    for row, (row0, row1) in enumerate(cuts(shape[0], chunk_px)):
        for col, (col0, col1) in enumerate(cuts(shape[1], chunk_px)):
            yield f"r{row:05d}_c{col:05d}", Box(row0, col0, row1, col1)


def cuts(size: int, chunk_px: int) -> list[tuple[int, int]]:
    """Return the spans [lo, hi) that chunks cut an axis of ``size`` pixels into."""
    return [(lo, min(lo + chunk_px, size)) for lo in range(0, size, chunk_px)]


def redundancy(grid: WindowGrid, groups: Iterable[Iterable[Box]]) -> float:
    """Return windows run over windows that exist when each group of boxes runs all that touch it; 1.0 repeats none."""
    run = 0
    for boxes in groups:
        touching = ((grid.rows.touching(b.row0, b.row1), grid.cols.touching(b.col0, b.col1)) for b in boxes)
        run += len({window for rows, cols in touching for window in product(rows, cols)})
    return run / grid.count


def overlapping(window: int, share: float, *, multiple: int) -> tuple[int, int]:
    """Return margin and ramp of windows of which ``share`` of the side lies in the next one, too; half of it blends.

    multiple: the network's own stride in pixels, in steps of which windows start.

    >>> overlapping(768, 0.5, multiple=32), overlapping(512, 0.25, multiple=16)
    ((96, 192), (32, 64))
    """
    common = max(1, round(share * window / multiple)) * multiple
    margin = common // 4
    return margin, common - 2 * margin
