"""Axis: where windows lie along the rows or the columns of a scene, and what each of their pixels counts."""

from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.tiling.ramp import RAMP_ONE, rising


@dataclass(frozen=True, slots=True)
class Axis:
    """Windows of ``window`` pixels along an axis of ``size`` pixels; all lengths are pixels.

    A window counts nothing in its ``margin``, where the network lacks context; then follows a ``ramp`` over which it
    shares with its neighbour; the rest is its own. Window i starts at i * stride: none is ever shifted back, since
    a network answers differently when its input moves against its own stride. So the last one may hang over the far
    end, where pixels are mirrored. At the scene's two ends there is no neighbour, and weights are full up to the end.

    >>> a = Axis(100, 64, margin=8, ramp=8)
    >>> a.stride, a.count, [a.start(i) for i in range(a.count)]
    (40, 2, [0, 40])
    >>> a.touching(0, 48), a.touching(48, 49), a.touching(60, 100)
    (range(0, 1), range(0, 2), range(1, 2))
    """

    size: int
    window: int
    _: KW_ONLY
    margin: int
    ramp: int

    def __post_init__(self) -> None:
        for name, value, least in (
            ("size", self.size, 1),
            ("window", self.window, 1),
            ("margin", self.margin, 0),
            ("ramp", self.ramp, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} {value} px: at least {least} is needed")
        if self.stride < 1:
            raise ConfigError(
                f"margin {self.margin} px and ramp {self.ramp} px leave a window of {self.window} px no stride; "
                f"2 x margin + ramp must stay below {self.window}"
            )
        if 2 * (self.margin + self.ramp) > self.window:
            raise ConfigError(
                f"margin {self.margin} px and ramp {self.ramp} px do not fit twice into a window of {self.window} px; "
                f"margin + ramp may be {self.window // 2} at most"
            )

    def check_alignment(self, multiple: int) -> None:
        """Raise ConfigError unless window and stride are multiples of the network's own stride, ``multiple`` pixels."""
        for name, value in (("window", self.window), ("stride (window - 2 x margin - ramp)", self.stride)):
            if value % multiple:
                below = max(value // multiple, 1) * multiple
                raise ConfigError(
                    f"{name} of {value} px is not a multiple of the network's {multiple} px; the nearest are {below} "
                    f"and {below + multiple} px (window {self.window}, margin {self.margin}, ramp {self.ramp} px)"
                )

    @property
    def stride(self) -> int:
        """Distance between the starts of neighbouring windows."""
        return self.window - 2 * self.margin - self.ramp

    @property
    def count(self) -> int:
        """The least number of windows that covers the axis."""
        return 1 + max(0, -(-(self.size - self.window) // self.stride))

    def start(self, i: int) -> int:
        """First pixel of window ``i``."""
        return i * self.stride

    def weight(self, i: int) -> NDArray[np.uint16]:
        """Return what each pixel of window ``i`` counts, 0..128, shape (window,); over all windows they sum to 128."""
        out = np.full(self.window, RAMP_ONE, np.uint16)
        inner = self.margin + self.ramp
        if i > 0:
            out[: self.margin] = 0
            out[self.margin : inner] = rising(self.ramp)
        if i < self.count - 1:
            out[self.window - inner : self.window - self.margin] = RAMP_ONE - rising(self.ramp)
            out[self.window - self.margin :] = 0
        return out

    def touching(self, lo: int, hi: int) -> range:
        """Return the windows with a weight above zero on pixels [lo, hi) of the axis."""
        if not 0 <= lo < hi <= self.size:
            raise ValueError(f"pixels {lo}..{hi} are not a part of an axis of {self.size}")
        ramp = rising(self.ramp)
        first = self.margin + int((ramp == 0).sum())  # in a window: its first pixel that counts
        end = self.window - self.margin - int((ramp == RAMP_ONE).sum())  # and the one after its last
        least = max(0, (lo - end) // self.stride + 1)
        most = max(0, (hi - 1 - first) // self.stride)
        return range(min(least, self.count - 1), min(most, self.count - 1) + 1)

    def fold(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels of the axis that stand for ``indices``, of which those beyond an end are mirrored at it.

        >>> Axis(3, 8, margin=0, ramp=0).fold(np.arange(8)).tolist()
        [0, 1, 2, 1, 0, 1, 2, 1]
        """
        period = max(2 * (self.size - 1), 1)  # a single pixel repeats
        phase = indices % period
        return np.minimum(phase, period - phase) if self.size > 1 else np.zeros_like(indices)

    def counting(self, i: int) -> tuple[int, int]:
        """Return the pixels [lo, hi) of the axis outside of which window ``i`` counts nothing."""
        lo = self.start(i) + (self.margin if i > 0 else 0)
        return lo, min(self.size, self.start(i) + self.window - (self.margin if i < self.count - 1 else 0))

    def cell(self, i: int) -> tuple[int, int]:
        """Return the pixels [lo, hi) of the axis that are window ``i``'s own: half-way to its neighbours.

        >>> axis = Axis(100, 64, margin=8, ramp=8)
        >>> axis.cell(0), axis.cell(1)
        ((0, 52), (52, 100))
        """
        inner = self.margin + self.ramp // 2
        return self.start(i) + inner if i else 0, self.start(i + 1) + inner if i + 1 < self.count else self.size

    def seen_span(self, windows: range) -> tuple[int, int]:
        """Return the pixels [first, end) that neighbouring ``windows`` see, mirrored ones included."""
        pixels = self.fold(np.arange(self.start(windows[0]), self.start(windows[-1]) + self.window))
        return int(pixels.min()), int(pixels.max()) + 1
