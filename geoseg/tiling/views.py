"""Views of a window for test-time augmentation: turned, mirrored and scaled, run one by one, brought back, averaged.

Each is a pure function of the window's own pixels, so that bytes depend on no chunk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.options.parse import turns_and_scales
from geoseg.tiling.ramp import PROB_ONE
from geoseg.tiling.resample import resample_valid
from geoseg.tiling.taps import axis_taps

Shape = tuple[int, int]
Integers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class View:
    """A turn by ``quarters`` x 90 degrees, after a flip of the columns where ``mirrored``: one element of the group D4.

    >>> batch = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> all((v.undo(v.apply(batch)) == batch).all() for v in TURNS["d4"])
    True
    """

    quarters: int = 0
    mirrored: bool = False
    sizes: tuple[Shape, Shape] | None = None
    """The shape of a window and the one that it is resampled to before it is turned; None: it keeps its own."""

    def shape_of(self, window: Shape) -> Shape:
        """Return the shape at which a window is seen, not yet turned."""
        return window if self.sizes is None else self.sizes[1]

    def apply(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the view of (B, C, h, w); h and w change places at odd quarters."""
        seen = batch if self.sizes is None else _resized(batch, self.sizes[1])
        seen = seen[..., ::-1] if self.mirrored else seen
        return _packed(np.rot90(seen, self.quarters, axes=(2, 3)))

    def undo(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring (B, K, h, w) answers back to where the window's pixels lie."""
        seen = np.rot90(batch, -self.quarters, axes=(2, 3))
        seen = _packed(seen[..., ::-1] if self.mirrored else seen)
        return seen if self.sizes is None else _resized(seen, self.sizes[0])

    def undo_vectors(self, rows: Any, cols: Any, times: Callable[[Any, float], Any] | None = None) -> tuple[Any, Any]:
        """Bring vectors back along the window's own rows and columns; their rasters are brought back already.

        rows, cols: any shape, integers 0..PROB_ONE that stand for -range..range, in pixels of the view. Turns are
        exact, scales are rounded once, by ``times``: None for arrays of numpy.
        """
        times = times or _times
        for _ in range(self.quarters % 4):
            rows, cols = cols, PROB_ONE - rows
        if self.mirrored:
            cols = PROB_ONE - cols
        if self.sizes is None:
            return rows, cols
        (high, wide), (seen_high, seen_wide) = self.sizes
        return times(rows, high / seen_high), times(cols, wide / seen_wide)


def _times(part: Integers, factor: float) -> Integers:
    """Return one part of vectors, ``factor`` times as long, within the range."""
    middle = PROB_ONE / 2
    return np.clip(np.rint((part - middle) * factor + middle), 0, PROB_ONE).astype(np.uint32)


def _packed(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the array in C order; numpy calls one of a single row packed, and leaves it the negative stride."""
    return np.ascontiguousarray(turned) if min(turned.strides) >= 0 else turned.copy()


def _resized(batch: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Return (B, C, h, w) resampled to ``shape``: means of areas where it is smaller, between pixels where larger."""
    rows, cols = (axis_taps(old, new, 0, new) for old, new in zip(batch.shape[2:], shape, strict=True))
    flat = batch.reshape(-1, *batch.shape[2:])
    out, _ = resample_valid(flat, np.ones(flat.shape[1:], np.bool_), (rows, cols))
    return out.reshape(*batch.shape[:2], *shape)


TURNS: Mapping[str, tuple[View, ...]] = {  # keys: ``geoseg.options.parse.TURNS``
    "none": (View(),),
    "flip": tuple(View(q, m) for q in (0, 2) for m in (False, True)),
    "rotate": tuple(View(q) for q in range(4)),
    "d4": tuple(View(q, m) for m in (False, True) for q in range(4)),
}


def views_of(tta: str, window: Shape, *, multiple: int, least: int = 1) -> tuple[View, ...]:
    """Return the views that a text such as "flip@0.75,1,1.25" names, for windows of one shape.

    Scaled windows have sides of ``multiple`` pixels, ``least`` or more.

    >>> [v.sizes for v in views_of("none@0.75,1", (64, 96), multiple=32)]
    [((64, 96), (64, 64)), None]
    """
    turns, scales = turns_and_scales(tta)
    views = []
    for scale in scales:
        high, wide = (max(round(n * scale / multiple), -(-least // multiple), 1) * multiple for n in window)
        sizes = None if (high, wide) == window else (window, (high, wide))
        views += [replace(view, sizes=sizes) for view in TURNS[turns]]
    return tuple(views)


def margin_for(tta: str, margin: int, *, multiple: int) -> int:
    """Return the margin of windows that are seen at several scales, in steps that keep strides multiples.

    A network sees badly within ``margin`` pixels of an edge. In a window shown smaller these stand for more ground.

    >>> margin_for("d4", 48, multiple=32), margin_for("none@0.75,1", 48, multiple=32)
    (48, 64)
    """
    _, scales = turns_and_scales(tta)
    step = multiple // 2 if multiple % 2 == 0 else multiple  # stride = window - 2 x margin - ramp
    return margin + ceil((margin / min(*scales, 1) - margin) / step) * step
