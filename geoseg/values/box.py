"""Box: a half-open rectangle of pixels. Rows go down; (row, col) order everywhere."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """Half-open pixel rectangle: rows [row0, row1), cols [col0, col1); it may hang over a grid's edge.

    >>> Box(0, 0, 4, 8).clip(Box(2, 6, 9, 9))
    Box(row0=2, col0=6, row1=4, col1=8)
    """

    row0: int
    col0: int
    row1: int
    col1: int

    def __post_init__(self) -> None:
        if self.row1 <= self.row0 or self.col1 <= self.col0:
            raise ValueError(f"empty box: rows {self.row0}..{self.row1}, cols {self.col0}..{self.col1}")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.row1 - self.row0, self.col1 - self.col0

    def clip(self, other: "Box") -> "Box | None":
        """Return the common part, or None where there is none."""
        r0, r1 = max(self.row0, other.row0), min(self.row1, other.row1)
        c0, c1 = max(self.col0, other.col0), min(self.col1, other.col1)
        return Box(r0, c0, r1, c1) if r0 < r1 and c0 < c1 else None

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """Return (row, col) slices that cut this box out of an array holding ``outer``."""
        return (
            slice(self.row0 - outer.row0, self.row1 - outer.row0),
            slice(self.col0 - outer.col0, self.col1 - outer.col0),
        )

    def union(self, *others: "Box") -> "Box":
        """Return the smallest box that holds this one and the others.

        >>> Box(0, 0, 1, 1).union(Box(3, 2, 4, 3)).grown(1)
        Box(row0=-1, col0=-1, row1=5, col1=4)
        """
        boxes = (self, *others)
        return Box(
            min(b.row0 for b in boxes),
            min(b.col0 for b in boxes),
            max(b.row1 for b in boxes),
            max(b.col1 for b in boxes),
        )

    def grown(self, px: int) -> "Box":
        """Return the box with ``px`` more pixels on all sides."""
        return Box(self.row0 - px, self.col0 - px, self.row1 + px, self.col1 + px)

    def shifted(self, rows: int, cols: int) -> "Box":
        """Return the box moved by whole pixels."""
        return Box(self.row0 + rows, self.col0 + cols, self.row1 + rows, self.col1 + cols)

    def blocks(self, side: int) -> Iterator["Box"]:
        """Yield boxes of up to ``side`` pixels along each axis that tile this one, row by row.

        >>> [b.shape for b in Box(0, 0, 3, 5).blocks(4)]
        [(3, 4), (3, 1)]
        """
        for row in range(self.row0, self.row1, side):
            for col in range(self.col0, self.col1, side):
                yield Box(row, col, min(row + side, self.row1), min(col + side, self.col1))
