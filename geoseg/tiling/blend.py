"""Blending in integers: window probabilities become 18-bit integers, and the sums of their weighted values are exact.

Integer sums do not depend on their order, so chunks, threads and resumed runs cannot change a bit; weights sum to a
constant, so nothing is divided and no normaliser is kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.values.box import Box
from geoseg.values.scaling import Scaling

NAN = "the network answered NaN; check its weights, its normalisation and the range of the scene"
WEIGHT_ONE = 2**16  # a threshold t counts as the integer weight 2^16 / t: sums times weights fit 64 bits


class Finished(NamedTuple):
    """A blended chunk as bytes, each 0 exactly where invalid.

    classes: (h, w) class ids; confidence: (h, w) probability of that class; probabilities: (N, h, w), one per class.
    Probabilities 0..1 are the bytes 1..255.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    probabilities: NDArray[np.uint8]


def quantise(prob: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return probabilities 0..1 as integers 0..2^18-1, ties to even, those outside clipped. Raises ModelError at NaN.

    >>> quantise(np.float32([[[-0.1, 0.5, 1]]])).tolist()
    [[[0, 131072, 262143]]]
    """
    from geoseg.tiling import compiled

    out = np.empty(prob.shape, np.uint32)
    if not compiled.quantise(prob.reshape(-1), out.reshape(-1)):
        raise ModelError(NAN)
    return out


def mean_members(members: Sequence[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """Return the mean of several networks' or views' integers, halves rounded up; any shape, all the same."""
    if len(members) == 1:
        return members[0]
    total = np.sum(members, axis=0, dtype=np.uint32)
    return (total + np.uint32(len(members) // 2)) // np.uint32(len(members))


def accumulate(
    acc: NDArray[np.uint32],
    box: Box,
    *,
    probs: NDArray[np.uint32],
    window: Box,
    weights: tuple[NDArray[np.uint16], NDArray[np.uint16]],
) -> None:
    """Add a window's quantised probabilities, weighted, to the accumulators of ``box``.

    acc: (K, H, W) over ``box``; probs: (K, h, w) over ``window``; weights: those of its rows and of its columns.
    Releases the interpreter lock; threads must not share ``acc``.
    """
    from geoseg.tiling import compiled

    common = window.clip(box)
    if common is None:
        return
    target, source = common.within(box), common.within(window)
    compiled.accumulate(acc[:, *target], probs[:, *source], weights[0][source[0]], weights[1][source[1]])


def calibrated(acc: NDArray[np.uint32], valid: NDArray[np.bool_], scaling: Scaling) -> NDArray[np.uint32]:
    """Return accumulators (K, h, w) of calibrated probabilities; 0 outside ``valid`` (h, w).

    >>> from geoseg.tiling.ramp import FULL
    >>> acc, one = np.uint32([[[FULL * 4 // 5]], [[FULL // 5]]]), np.array([[True]])
    >>> (calibrated(acc, one, Scaling((0.5, 0.5), (0.0, 0.0))) / FULL).ravel().round(4).tolist()  # odds 4 become 2
    [0.6667, 0.3333]
    """
    from geoseg.tiling import compiled

    out = np.zeros_like(acc)
    compiled.rescale(acc, valid, np.array(scaling.scale), np.array(scaling.bias), out)
    return out


def finish(
    acc: NDArray[np.uint32],
    valid: NDArray[np.bool_],
    *,
    class_of_channel: Sequence[int],
    class_ids: Sequence[int],
    thresholds: Sequence[float] = (),
) -> Finished:
    """Turn accumulators (K, h, w) into bytes, pixels outside ``valid`` (h, w) into nodata.

    class_of_channel: for each channel the position of its class in ``class_ids``; a class is the sum of its channels,
    clipped at probability 1, which quantised channels may exceed by half a step each. A pixel is of the class whose
    probability is the most times its threshold; none: they are all alike. Ties go to the first class.
    """
    from geoseg.tiling import compiled

    out = Finished(
        np.zeros(valid.shape, np.uint8),
        np.zeros(valid.shape, np.uint8),
        np.zeros((len(class_ids), *valid.shape), np.uint8),
    )
    position, ids = np.asarray(class_of_channel), np.asarray(class_ids, np.uint8)
    weights = np.array(weights_of(thresholds, len(ids)), np.uint64)
    compiled.finish(acc, valid, position, ids, weights, out.classes, out.confidence, out.probabilities)
    return out


def weights_of(thresholds: Sequence[float], classes: int) -> list[int]:
    """Return the integer that each class's sum is multiplied by before they are compared; 1 without thresholds.

    >>> weights_of((0.5, 0.1), 2), weights_of((), 3)
    ([131072, 655360], [1, 1, 1])
    """
    return [round(WEIGHT_ONE / one) for one in thresholds] or [1] * classes


def row_counts(classes: NDArray[np.generic], class_ids: Sequence[int]) -> NDArray[np.int32]:
    """Return how many pixels of each class every row of (h, w) class ids holds, (N, h).

    >>> row_counts(np.uint8([[1, 2, 2], [0, 0, 2]]), (1, 2)).tolist()
    [[1, 0], [2, 1]]
    """
    from geoseg.tiling import compiled

    out = np.zeros((256, len(classes)), np.int32)
    compiled.count(classes, out)
    return out[np.asarray(class_ids)]


def to_bytes(sums: NDArray[np.uint32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return 1 + round(254 x probability) of accumulators (h, w), halves up, in integers; 0 where not ``valid``.

    >>> from geoseg.tiling.ramp import FULL
    >>> to_bytes(np.uint32([[0, FULL // 2, FULL, FULL]]), np.array([[True, True, True, False]])).tolist()
    [[1, 128, 255, 0]]
    """
    from geoseg.tiling import compiled

    out = np.empty(sums.shape, np.uint8)
    compiled.to_bytes(sums, valid, out)
    return out


def to_words(sums: NDArray[np.uint32], valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return 1 + round(65534 x probability) of accumulators (h, w), halves up, in integers; 0 where not ``valid``.

    >>> from geoseg.tiling.ramp import FULL
    >>> to_words(np.uint32([[0, FULL // 2, FULL, FULL]]), np.array([[True, True, True, False]])).tolist()
    [[1, 32768, 65535, 0]]
    """
    from geoseg.tiling import compiled

    out = np.empty(sums.shape, np.uint16)
    compiled.to_words(sums, valid, out)
    return out
