"""Views of a window for test-time augmentation: turned and mirrored, run one by one, brought back and averaged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class View:
    """A turn by ``quarters`` x 90 degrees, after a flip of the columns where ``mirrored``: one element of the group D4.

    >>> batch = np.arange(6.0).reshape(1, 1, 2, 3)
    >>> all((v.undo(v.apply(batch)) == batch).all() for v in VIEWS["d4"])
    True
    """

    quarters: int = 0
    mirrored: bool = False

    def apply(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the view of (B, C, h, w); h and w change places at odd quarters."""
        seen = batch[..., ::-1] if self.mirrored else batch
        return _packed(np.rot90(seen, self.quarters, axes=(2, 3)))

    def undo(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring (B, K, h, w) answers back to where the window's pixels lie."""
        seen = np.rot90(batch, -self.quarters, axes=(2, 3))
        return _packed(seen[..., ::-1] if self.mirrored else seen)


def _packed(turned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the array in C order; numpy calls one of a single row packed, and leaves it the negative stride."""
    return np.ascontiguousarray(turned) if min(turned.strides) >= 0 else turned.copy()


VIEWS: dict[str, tuple[View, ...]] = {
    "none": (View(),),
    "rotate": tuple(View(q) for q in range(4)),
    "d4": tuple(View(q, m) for m in (False, True) for q in range(4)),
}
