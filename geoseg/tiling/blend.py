"""Blending in integers: window probabilities become 18-bit integers, and the sums of their weighted values are exact.

Integer sums do not depend on their order, so chunks, threads and resumed runs cannot change a bit; weights sum to a
constant, so nothing is divided and no normaliser is kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.tiling.ramp import FULL, PROB_ONE
from geoseg.values.box import Box
from geoseg.values.classes import NODATA


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
    out = np.empty(prob.shape, np.uint32)
    if not _quantise(prob.reshape(-1), out.reshape(-1)):
        raise ModelError("the network answered NaN; check its weights, its normalisation and the range of the scene")
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
    common = window.clip(box)
    if common is None:
        return
    target, source = common.within(box), common.within(window)
    _accumulate(acc[:, *target], probs[:, *source], weights[0][source[0]], weights[1][source[1]])


def finish(
    acc: NDArray[np.uint32],
    valid: NDArray[np.bool_],
    *,
    class_of_channel: Sequence[int],
    class_ids: Sequence[int],
) -> Finished:
    """Turn accumulators (K, h, w) into bytes, pixels outside ``valid`` (h, w) into nodata.

    class_of_channel: for each channel the position of its class in ``class_ids``; a class is the sum of its channels,
    clipped at probability 1, which quantised channels may exceed by half a step each. Ties go to the first class.
    """
    out = Finished(
        np.zeros(valid.shape, np.uint8),
        np.zeros(valid.shape, np.uint8),
        np.zeros((len(class_ids), *valid.shape), np.uint8),
    )
    position, ids = np.asarray(class_of_channel), np.asarray(class_ids, np.uint8)
    _finish(acc, valid, position, ids, out.classes, out.confidence, out.probabilities)
    return out


def row_counts(classes: NDArray[np.generic], class_ids: Sequence[int]) -> NDArray[np.int32]:
    """Return how many pixels of each class every row of (h, w) class ids holds, (N, h).

    >>> row_counts(np.uint8([[1, 2, 2], [0, 0, 2]]), (1, 2)).tolist()
    [[1, 0], [2, 1]]
    """
    out = np.zeros((256, len(classes)), np.int32)
    _count(classes, out)
    return out[np.asarray(class_ids)]


def to_bytes(sums: NDArray[np.uint32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return 1 + round(254 x probability) of accumulators (h, w), halves up, in integers; 0 where not ``valid``.

    >>> to_bytes(np.uint32([[0, FULL // 2, FULL, FULL]]), np.array([[True, True, True, False]])).tolist()
    [[1, 128, 255, 0]]
    """
    out = np.empty(sums.shape, np.uint8)
    _to_bytes(sums, valid, out)
    return out


# Numba turns sums of signed and unsigned 64-bit integers into floats: every constant below has the type of its partner.
_SCALE = np.float32(PROB_ONE)
_FULL64, _HALF64, _ONE64, _STEPS64 = np.uint64(FULL), np.uint64(FULL // 2), np.uint64(1), np.uint64(254)


@numba.njit(nogil=True, cache=True)
def _quantise(prob, out):  # type: ignore[no-untyped-def]
    finite = True
    for i in range(prob.size):
        q = np.rint(prob[i] * _SCALE)
        finite &= q == q  # noqa: PLR0124 - false for NaN alone
        out[i] = np.uint32(min(max(q, np.float32(0)), _SCALE))
    return finite


@numba.njit(nogil=True, cache=True)
def _accumulate(acc, probs, row_weights, col_weights):  # type: ignore[no-untyped-def]
    for k in range(acc.shape[0]):
        for y in range(acc.shape[1]):
            row_weight = np.uint32(row_weights[y])
            if row_weight == 0:
                continue
            for x in range(acc.shape[2]):
                acc[k, y, x] += probs[k, y, x] * np.uint32(row_weight * np.uint32(col_weights[x]))


@numba.njit(nogil=True, cache=True)
def _byte(total):  # type: ignore[no-untyped-def]
    return np.uint8(_ONE64 + (_STEPS64 * np.uint64(total) + _HALF64) // _FULL64)


@numba.njit(nogil=True, cache=True)
def _to_bytes(sums, valid, out):  # type: ignore[no-untyped-def]
    for y in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            out[y, x] = _byte(sums[y, x]) if valid[y, x] else np.uint8(0)


@numba.njit(nogil=True, cache=True)
def _finish(acc, valid, position, ids, classes, confidence, probabilities):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    # Row by row, so that the sums of a row stay in the cache and inner loops vectorise.
    width = valid.shape[1]
    sums = np.empty((len(ids), width), np.uint64)
    best = np.empty(width, np.uint64)
    for y in range(valid.shape[0]):
        if not valid[y].any():
            continue
        sums[:] = 0
        for k in range(acc.shape[0]):
            for x in range(width):
                sums[position[k], x] += np.uint64(acc[k, y, x])
        best[:] = 0
        for n in range(len(ids)):
            for x in range(width):
                total = min(sums[n, x], _FULL64)
                if n == 0 or total > best[x]:  # the first one at ties
                    best[x] = total
                    classes[y, x] = ids[n] if valid[y, x] else NODATA
                probabilities[n, y, x] = _byte(total) if valid[y, x] else np.uint8(0)
        for x in range(width):
            confidence[y, x] = _byte(best[x]) if valid[y, x] else np.uint8(0)


@numba.njit(nogil=True, cache=True)
def _count(classes, out):  # type: ignore[no-untyped-def]
    for y in range(classes.shape[0]):
        for x in range(classes.shape[1]):
            out[classes[y, x], y] += 1
