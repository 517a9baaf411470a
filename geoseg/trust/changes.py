"""Two predictions on one truth: how much the IoU of each class changes, with an interval from blocks of ground.

Neighbouring pixels err together, so that an interval from pixels would be far too narrow: whole blocks are drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tallies = NDArray[np.int64]  # (blocks, 3, N): pixels that are right, true and said, by class id
RESAMPLES = 2000
CONFIDENCE = 0.95
LEAST_BLOCKS = 20  # fewer say nothing of how ground differs


@dataclass(frozen=True, slots=True)
class Change:
    """IoU before and after, and the interval of the difference; NaN where there is none."""

    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """How much it rises; NaN where a side has no score."""
        return self.after - self.before


def tally(truth: NDArray[np.uint8], answers: NDArray[np.uint8], *, max_id: int, side_px: int) -> Tallies:
    """Count class ids (H, W) block by block; 0 where a side is unknown. Blocks without a known pixel are left out.

    >>> tally(np.uint8([[1, 2, 2, 0]]), np.uint8([[1, 1, 2, 0]]), max_id=2, side_px=2)[:, :, 1:].tolist()
    [[[1, 0], [1, 1], [2, 0]], [[0, 1], [0, 1], [0, 1]]]
    """
    n, across = max_id + 1, -(-truth.shape[1] // side_px)
    first = np.arange(truth.shape[1]) // side_px * n
    rows = []
    for row in range(0, truth.shape[0], side_px):
        right, said = truth[row : row + side_px], answers[row : row + side_px]
        both = (right != 0) & (said != 0)
        counts = [
            np.bincount((first + ids)[both & chosen], minlength=across * n).reshape(across, n)
            for ids, chosen in ((right, right == said), (right, True), (said, True))
        ]
        rows.append(np.stack(counts, 1))
    blocks = np.concatenate(rows)
    return blocks[blocks[:, 1].any(1)]


def changes(before: Tallies, after: Tallies, *, seed: int = 0) -> tuple[dict[int, Change], Change]:
    """Return the change of every class id, and of the mean IoU, of two predictions counted on the same blocks.

    Interval: the middle 95 % of paired draws of as many blocks with repetition (bootstrap, Efron 1979).
    """
    blocks = len(before)
    weights = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    points = [_iou(side.sum(0)) for side in (before, after)]
    drawn = [_iou(np.tensordot(weights.astype(float), side.astype(float), 1)) for side in (before, after)]
    gains = drawn[1] - drawn[0]
    each = {i: _change(points[0][i], points[1][i], gains[:, i], blocks) for i in range(1, before.shape[2])}
    scored = [i for i in each if not np.isnan(points[0][i] - points[1][i])]
    means = [float(p[scored].mean()) if scored else float("nan") for p in points]
    with np.errstate(invalid="ignore"):
        spread = _mean_of_known(drawn[1][:, scored]) - _mean_of_known(drawn[0][:, scored])
    return each, _change(means[0], means[1], spread, blocks)


def _iou(tallies: NDArray[np.int64 | np.float64]) -> NDArray[np.float64]:
    """Return the IoU by class (..., N) of tallies (..., 3, N)."""
    hit, true, said = np.moveaxis(tallies, -2, 0)
    union = true + said - hit
    return np.divide(hit, union, out=np.full(union.shape, np.nan), where=union > 0)


def _mean_of_known(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(iou)
    return np.where(known, iou, 0).sum(1) / known.sum(1)


def _change(before: float, after: float, drawn: NDArray[np.float64], blocks: int) -> Change:
    known = drawn[~np.isnan(drawn)]
    if blocks < LEAST_BLOCKS or not len(known) or np.isnan(after - before):
        return Change(float(before), float(after), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Change(float(before), float(after), float(low), float(high))
