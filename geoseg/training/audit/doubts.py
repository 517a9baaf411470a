"""Labels that a network contradicts: missing, invented, swapped or shifted ones, the most doubtful first.

Arrays in, shapes in pixels out: which network, and on which ground, is in contradicted.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import binary_dilation, binary_opening, find_objects, label

LEAST_SCORE = 0.25  # mean difference of probabilities
REACH_PX, STEP_PX = 12, 2  # how far an object is moved, to see whether it is only shifted
NEAR_PX = 2  # errors so near to a boundary are the drawing's
LEAST_PX = 12  # of a doubt
Kind = Literal["missing", "invented", "swapped", "shifted"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label that may be wrong; own, other: places in the class table of what is drawn, and of what the network says.

    score: mean difference of probabilities, less for what is small beside the labels' objects; shape: in pixels (x, y).
    """

    kind: Kind
    own: int
    other: int
    score: float
    shape: shapely.Geometry


def find_doubts(
    classes: NDArray[np.int64], objects: NDArray[np.int32], p: NDArray[np.float32], *, background: int | None
) -> list[Doubt]:
    """Return the doubts about labels, the largest score first.

    classes: (H, W) places in the class table, -1 where void; objects: (H, W) numbers of objects, 0 for none; p:
    (K, H, W) probabilities; background: the class that is no object, None where each is one.
    """
    known = classes >= 0
    own = np.take_along_axis(p, np.maximum(classes, 0)[None], 0)[0]
    best = p.argmax(0)
    margin = np.where(known, p.max(0) - own, 0)
    areas = np.bincount(objects.ravel())[1:]
    usual = float(np.median(areas[areas > 0])) if (areas > 0).any() else 4.0 * LEAST_PX
    found, told = [], np.zeros(classes.shape, np.bool_)
    for rows, cols, mask in _parts(objects):
        doubt = _of_object(classes, own, best, margin, (rows, cols), mask, p=p, usual=usual, background=background)
        if doubt is not None:
            found.append(doubt)
            told[rows, cols] |= mask
    rest = binary_opening(known & (best != classes) & ~binary_dilation(told, iterations=NEAR_PX), np.ones((3, 3)))
    for one in np.unique(best[rest]):
        for rows, cols, mask in _parts(label(rest & (best == one))[0]):
            drawn = int(np.bincount(classes[rows, cols][mask]).argmax())
            kind: Kind = "missing" if drawn == background else "invented" if one == background else "swapped"
            score = float(margin[rows, cols][mask].mean()) * _size(mask, usual)
            if mask.sum() >= LEAST_PX and score >= LEAST_SCORE / 2:
                found.append(Doubt(kind, drawn, int(one), score, _outline(mask, rows, cols)))
    return sorted(found, key=lambda d: -d.score)


def _of_object(  # noqa: PLR0917
    classes: NDArray[np.int64],
    own: NDArray[np.float32],
    best: NDArray[np.int64],
    margin: NDArray[np.float32],
    at: tuple[slice, slice],
    mask: NDArray[np.bool_],
    *,
    p: NDArray[np.float32],
    usual: float,
    background: int | None,
) -> Doubt | None:
    """Return the doubt about one object; None where the network sees it as it is drawn."""
    rows, cols = at
    drawn = int(classes[rows, cols][mask][0])
    if mask.sum() < LEAST_PX or drawn < 0:
        return None
    said = int(np.bincount(best[rows, cols][mask], minlength=len(p)).argmax())
    here = float(own[rows, cols][mask].mean())
    moved = _best_elsewhere(p[drawn], rows, cols, mask)
    if moved > 0.7 and moved - here > LEAST_SCORE:
        return Doubt("shifted", drawn, drawn, (moved - here) * _size(mask, usual), _outline(mask, rows, cols))
    score = float(margin[rows, cols][mask].mean())
    if said == drawn or score < LEAST_SCORE:
        return None
    kind: Kind = "invented" if said == background else "swapped"
    return Doubt(kind, drawn, said, score * _size(mask, usual), _outline(mask, rows, cols))


def _best_elsewhere(p: NDArray[np.float32], rows: slice, cols: slice, mask: NDArray[np.bool_]) -> float:
    """Return the highest mean probability under an object that is moved a little, but stays on itself."""
    reach = min(REACH_PX, max(mask.shape))
    best = 0.0
    for down in range(-reach, reach + 1, STEP_PX):
        for right in range(-reach, reach + 1, STEP_PX):
            r, c = slice(rows.start + down, rows.stop + down), slice(cols.start + right, cols.stop + right)
            if min(r.start, c.start) >= 0 and r.stop <= p.shape[0] and c.stop <= p.shape[1]:
                best = max(best, float(p[r, c][mask].mean()))
    return best


def _parts(numbers: NDArray[np.int32]) -> Iterator[tuple[slice, slice, NDArray[np.bool_]]]:
    """Yield the place of each number and its pixels there."""
    for i, found in enumerate(find_objects(numbers), 1):
        if found is not None:
            rows, cols = found
            yield rows, cols, numbers[rows, cols] == i


def _size(mask: NDArray[np.bool_], usual: float) -> float:
    return float(min(1.0, mask.sum() / (usual / 2)) ** 0.5)


def _outline(mask: NDArray[np.bool_], rows: slice, cols: slice) -> shapely.Geometry:
    parts = [shapely.geometry.shape(s) for s, v in shapes(mask.astype(np.uint8), mask=mask) if v]
    return shapely.transform(shapely.union_all(parts), lambda xy: xy + np.array([cols.start, rows.start]))
