"""Scores of pixels and their boundaries against truth. Counts add up, so scenes can be read in blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.errors import InputError
from geoseg.trust.objects import ratio


def _ratios(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide; NaN where there is nothing to divide by."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Confusion matrix: counts[t, p] pixels of true class t predicted as p, (N, N) int64, over class ids 0..N-1.

    Row and column 0 belong to nodata and stay empty. A class that neither side has scores NaN, never 0, and is left out
    of means.

    >>> c = Confusion.empty(2).add(np.array([[1, 1, 2, 2]]), np.array([[1, 2, 2, 2]]))
    >>> c.iou[1:].round(3).tolist(), round(c.overall_accuracy, 2)
    ([0.5, 0.667], 0.75)
    """

    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, max_id: int) -> "Confusion":
        """Start with no pixels, for class ids 1..``max_id``."""
        return cls(np.zeros((max_id + 1, max_id + 1), np.int64))

    def add(self, truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> "Confusion":
        """Return the matrix with a block of class ids added; pixels where either side is 0 (nodata, void) do not count.

        Raises InputError where the shapes differ or an id is not in 0..N-1.
        """
        if truth.shape != predicted.shape:
            raise InputError(
                f"truth has shape {truth.shape} and the prediction {predicted.shape}; bring both to one grid"
            )
        n = len(self.counts)
        for name, ids in (("truth", truth), ("prediction", predicted)):
            if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < n:
                raise InputError(f"the {name} holds ids {ids.min()}..{ids.max()}; the class table has 1..{n - 1}")
        both = (truth != 0) & (predicted != 0)
        pairs = truth[both].astype(np.int64) * n + predicted[both]
        return Confusion(self.counts + np.bincount(pairs, minlength=n * n).reshape(n, n))

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """Number of pixels that count."""
        return int(self.counts.sum())

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union (Jaccard 1912) per class id, shape (N,)."""
        hit = np.diag(self.counts)
        return _ratios(hit, self.counts.sum(0) + self.counts.sum(1) - hit)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of what is predicted as a class that is of it (user's accuracy), per class id, shape (N,)."""
        return _ratios(np.diag(self.counts), self.counts.sum(0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of what is of a class that is predicted as it (producer's accuracy), per class id, shape (N,)."""
        return _ratios(np.diag(self.counts), self.counts.sum(1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """Dice coefficient 2 TP / (2 TP + FP + FN) per class id, shape (N,)."""
        return _ratios(2 * np.diag(self.counts), self.counts.sum(0) + self.counts.sum(1))

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that truth or prediction has; NaN without any."""
        iou = self.iou[~np.isnan(self.iou)]
        return float(iou.mean()) if iou.size else float("nan")

    @property
    def overall_accuracy(self) -> float:
        """Share of pixels with the right class; NaN without any."""
        return ratio(int(np.trace(self.counts)), self.pixels)

    @property
    def kappa(self) -> float:
        """Agreement beyond what the two sides' shares of classes would give by chance (Cohen 1960); NaN without any."""
        chance = float(self.counts.sum(0).astype(float) @ self.counts.sum(1).astype(float))
        return ratio(float(np.trace(self.counts)) * self.pixels - chance, float(self.pixels) ** 2 - chance)


@dataclass(frozen=True, slots=True)
class BoundaryMatch:
    """How near the boundaries of prediction and truth are; sums of blocks are those of the whole."""

    predicted: int = 0
    """Boundary pixels of the prediction."""
    predicted_hit: int = 0
    """Those of them that have one of the truth within the tolerance."""
    truth: int = 0
    truth_hit: int = 0
    band: int = 0
    """Pixels of either mask that are within the tolerance of its own boundary."""
    band_hit: int = 0
    """Those that are so in both masks."""
    predicted_m: Mapping[float, int] = field(default_factory=dict)
    """Boundary pixels of the prediction by distance to the truth's boundary, infinite beyond reach."""
    truth_m: Mapping[float, int] = field(default_factory=dict)

    def __add__(self, other: "BoundaryMatch") -> "BoundaryMatch":
        return BoundaryMatch(
            self.predicted + other.predicted,
            self.predicted_hit + other.predicted_hit,
            self.truth + other.truth,
            self.truth_hit + other.truth_hit,
            self.band + other.band,
            self.band_hit + other.band_hit,
            _added(self.predicted_m, other.predicted_m),
            _added(self.truth_m, other.truth_m),
        )

    @property
    def f1(self) -> float:
        """Boundary F1; NaN where neither side has a boundary, 0 where one has none."""
        if not self.predicted_hit or not self.truth_hit:
            return 0.0 if self.predicted or self.truth else float("nan")
        precision, recall = self.predicted_hit / self.predicted, self.truth_hit / self.truth
        return 2 * precision * recall / (precision + recall)

    @property
    def iou(self) -> float:
        """Boundary IoU: that of the masks' inner rims as wide as the tolerance (Cheng et al. 2021); NaN without any."""
        return ratio(self.band_hit, self.band)

    @property
    def hd95_m(self) -> float:
        """The distance that 95 % of either side's boundary keep to the other's: the larger of the two.

        Infinite where it is beyond reach or one side has no boundary, NaN where neither has one.
        """
        if not self.predicted and not self.truth:
            return float("nan")
        if not self.predicted or not self.truth:
            return float("inf")
        return max(_quantile(self.predicted_m, 0.95), _quantile(self.truth_m, 0.95))


def _added(a: Mapping[float, int], b: Mapping[float, int]) -> dict[float, int]:
    return {distance: a.get(distance, 0) + b.get(distance, 0) for distance in sorted({*a, *b})}


def _quantile(counts: Mapping[float, int], share: float) -> float:
    """Return the least distance within which a share of all lies."""
    distances = sorted(counts)
    below = np.cumsum([counts[d] for d in distances])
    return distances[int(np.searchsorted(below, share * below[-1] * (1 - 1e-12)))]


def match_boundaries(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    tolerance_m: float,
    pixel_size_m: tuple[float, float],
    reach_m: float | None = None,
    valid: NDArray[np.bool_] | None = None,
    counted: tuple[slice, slice] = (slice(None), slice(None)),
) -> BoundaryMatch:
    """Match the boundaries of two (H, W) masks within ``tolerance_m``.

    A boundary pixel is a pixel of the mask with a 4-neighbour outside it (Csurka et al., "What is a good evaluation
    measure for semantic segmentation?", BMVC 2013). Distances run between pixel centres on the ground, with
    ``pixel_size_m`` = (height, width). Pixels that are not ``valid``, and their neighbours, carry no boundary; nor does
    the raster's edge. Boundary pixels outside ``counted`` (rows, cols) do not count, but may be near to others: blocks
    with a rim wider than the reach add up to the whole. reach_m: beyond it distances are infinite; None: the tolerance.
    """
    if truth.shape != predicted.shape or (valid is not None and valid.shape != truth.shape):
        raise InputError(f"truth has shape {truth.shape} and the prediction {predicted.shape}; bring both to one grid")
    usable = np.ones(truth.shape, bool) if valid is None else valid
    cross = ndimage.generate_binary_structure(2, 1)
    usable_around = ndimage.binary_erosion(usable, cross, border_value=1)
    true_edge, predicted_edge = (
        mask & usable_around & ~ndimage.binary_erosion(mask, cross, border_value=1) for mask in (truth, predicted)
    )
    inside = np.zeros(truth.shape, bool)
    inside[counted] = True
    near = tolerance_m * (1 + 1e-9)  # 3 x 0.1 m is within 0.3 m
    to_truth, to_predicted = (_distances(edge, pixel_size_m) for edge in (true_edge, predicted_edge))
    band = truth & usable & inside & (to_truth <= near), predicted & usable & inside & (to_predicted <= near)
    answered, right = to_truth[predicted_edge & inside], to_predicted[true_edge & inside]
    reach = near if reach_m is None else max(near, reach_m)
    return BoundaryMatch(
        predicted=len(answered),
        predicted_hit=int((answered <= near).sum()),
        truth=len(right),
        truth_hit=int((right <= near).sum()),
        band=int((band[0] | band[1]).sum()),
        band_hit=int((band[0] & band[1]).sum()),
        predicted_m=_counted(answered, reach),
        truth_m=_counted(right, reach),
    )


def _distances(edge: NDArray[np.bool_], pixel_size_m: tuple[float, float]) -> NDArray[np.float64]:
    """Return the distance of every pixel to the next one of ``edge``, infinite where there is none."""
    if not edge.any():
        return np.full(edge.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~edge, sampling=pixel_size_m))


def _counted(distances: NDArray[np.float64], reach_m: float) -> dict[float, int]:
    found, counts = np.unique(np.where(distances <= reach_m, distances, np.inf).round(6), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
