"""Kernels of blending, resampling and overviews, compiled by numba, which takes long to load: functions import this.

Each is the inner loop of the function that calls it, which says what goes in and out.
"""

import numpy as np

from geoseg.numba_cache import njit
from geoseg.tiling.ramp import FULL, PROB_BITS, PROB_ONE, RAMP_BITS
from geoseg.values.classes import NODATA

# Numba turns sums of signed and unsigned 64-bit integers into floats: every constant below has the type of its partner.
_SCALE = np.float32(PROB_ONE)
_FULL64, _HALF64, _ONE64, _STEPS64 = np.uint64(FULL), np.uint64(FULL // 2), np.uint64(1), np.uint64(254)
_WORDS64 = np.uint64(65534)
_PROB_BITS, _WEIGHT_BITS = np.uint64(PROB_BITS), np.uint64(2 * RAMP_BITS)
_LEAST = 0.5 / PROB_ONE  # of a probability: half a step


@njit(nogil=True, cache=True, error_model="numpy")
def normalise(image, usable, mean, std, out):  # type: ignore[no-untyped-def]
    for c in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                value = (image[c, y, x] - mean[c]) / std[c]
                known = usable[y, x] & (value == value)  # noqa: PLR0124 - false for NaN alone
                out[c, y, x] = value if known else np.float32(0)


@njit(nogil=True, cache=True)
def quantise(prob, out):  # type: ignore[no-untyped-def]
    finite = True
    for i in range(prob.size):
        q = np.rint(prob[i] * _SCALE)
        finite &= q == q  # noqa: PLR0124 - false for NaN alone
        out[i] = np.uint32(min(max(q, np.float32(0)), _SCALE))
    return finite


@njit(nogil=True, cache=True)
def accumulate(acc, probs, row_weights, col_weights):  # type: ignore[no-untyped-def]
    for k in range(acc.shape[0]):
        for y in range(acc.shape[1]):
            row_weight = np.uint32(row_weights[y])
            if row_weight == 0:
                continue
            for x in range(acc.shape[2]):
                acc[k, y, x] += probs[k, y, x] * np.uint32(row_weight * np.uint32(col_weights[x]))


@njit(nogil=True, cache=True)
def _byte(total):  # type: ignore[no-untyped-def]
    # round(254 total / FULL) + 1, in shifts that vectorise: FULL is (2^18 - 1) 2^14, and n // (2^18 - 1) is as below.
    whole = (_STEPS64 * np.uint64(total) + _HALF64) >> _WEIGHT_BITS
    return np.uint8(_ONE64 + ((whole + (whole >> _PROB_BITS) + _ONE64) >> _PROB_BITS))


@njit(nogil=True, cache=True)
def to_bytes(sums, valid, out):  # type: ignore[no-untyped-def]
    for y in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            out[y, x] = _byte(sums[y, x]) if valid[y, x] else np.uint8(0)


@njit(nogil=True, cache=True)
def to_words(sums, valid, out):  # type: ignore[no-untyped-def]
    for y in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            word = _ONE64 + (_WORDS64 * np.uint64(sums[y, x]) + _HALF64) // _FULL64
            out[y, x] = np.uint16(word) if valid[y, x] else np.uint16(0)


@njit(nogil=True, cache=True)
def rescale(acc, valid, scale, bias, out):  # type: ignore[no-untyped-def]
    z = np.empty(acc.shape[0], np.float64)
    for y in range(acc.shape[1]):
        for x in range(acc.shape[2]):
            if not valid[y, x]:
                continue
            for k in range(acc.shape[0]):
                z[k] = scale[k] * np.log(max(np.float64(acc[k, y, x]) / np.float64(_FULL64), _LEAST)) + bias[k]
            most = z.max()
            total = 0.0
            for k in range(acc.shape[0]):
                z[k] = np.exp(z[k] - most)
                total += z[k]
            for k in range(acc.shape[0]):
                out[k, y, x] = np.uint32(np.rint(z[k] / total * np.float64(_FULL64)))


@njit(nogil=True, cache=True)
def finish(acc, valid, position, ids, weights, classes, confidence, probabilities):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    # Row by row, so that the sums of a row stay in the cache; inner loops without branches, so that they vectorise.
    width = valid.shape[1]
    sums = np.empty((len(ids), width), np.uint64)
    best, chosen, its_id = np.empty(width, np.uint64), np.empty(width, np.uint64), np.empty(width, np.uint64)
    for y in range(valid.shape[0]):
        known = valid[y]
        if not known.any():
            continue
        sums[:] = 0
        for k in range(acc.shape[0]):
            own, added = sums[position[k]], acc[k, y]
            for x in range(width):
                own[x] += np.uint64(added[x])
        for n in range(len(ids)):
            own, byte, weight, class_id = sums[n], probabilities[n, y], weights[n], np.uint64(ids[n])
            for x in range(width):
                own[x] = min(own[x], _FULL64)
                weighed = own[x] * weight
                first = n == 0 or weighed > best[x]  # the first one at ties
                best[x] = weighed if first else best[x]
                chosen[x] = own[x] if first else chosen[x]
                its_id[x] = class_id if first else its_id[x]
            for x in range(width):
                byte[x] = _byte(own[x]) if known[x] else np.uint8(0)
        sure, said = confidence[y], classes[y]
        for x in range(width):
            sure[x] = _byte(chosen[x]) if known[x] else np.uint8(0)
            said[x] = np.uint8(its_id[x]) if known[x] else NODATA


@njit(nogil=True, cache=True)
def count(classes, out):  # type: ignore[no-untyped-def]
    for y in range(classes.shape[0]):
        for x in range(classes.shape[1]):
            out[classes[y, x], y] += 1


@njit(nogil=True, cache=True)
def means(data, valid, ri, rw, ci, cw, out, mask, whole):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    total, value = np.empty(out.shape[2], rw.dtype), np.empty(out.shape[2], rw.dtype)
    for y in range(out.shape[1]):
        _weigh(valid, valid, ri[y], rw[y], ci, cw, total)
        if not total.any():
            continue
        for x in range(out.shape[2]):
            mask[y, x] = total[x] > 0
        for c in range(out.shape[0]):
            _weigh(data[c], valid, ri[y], rw[y], ci, cw, value)
            for x in range(out.shape[2]):
                if mask[y, x]:
                    mean = value[x] / total[x]
                    out[c, y, x] = min(np.rint(mean), 4294967295.0) if whole else mean


@njit(nogil=True, cache=True)
def _weigh(pixels, valid, rows, row_weights, ci, cw, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Sum what the valid pixels of a target row's taps hold, by their weights; column by column, so that it vectorises.

    Every pixel's terms are added in the order of its taps, rows outside; adding 0 for what is left out changes no bit.
    """
    out[:] = 0
    for a in range(len(rows)):
        row, known, row_weight = pixels[rows[a]], valid[rows[a]], row_weights[a]
        if row_weight == 0:
            continue
        for b in range(len(ci)):
            for x in range(len(out)):
                weight = row_weight * cw[b, x]
                term = weight * out.dtype.type(row[ci[b, x]])
                out[x] += term if known[ci[b, x]] & (weight > 0) else out.dtype.type(0)


@njit(nogil=True, cache=True)
def mode(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    seen = np.empty(4, pixels.dtype)
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            r, c = 2 * row, 2 * col
            if r + 1 < height and c + 1 < width:
                first = pixels[r, c]
                if first == pixels[r, c + 1] == pixels[r + 1, c] == pixels[r + 1, c + 1]:  # most cells of a map
                    out[row, col] = first
                    continue
            out[row, col] = _commonest(pixels[r : r + 2, c : c + 2], nodata, seen)


@njit(nogil=True, cache=True)
def _commonest(cell, nodata, seen):  # type: ignore[no-untyped-def]
    count, most, best = 0, 0, nodata
    for r in range(cell.shape[0]):
        for c in range(cell.shape[1]):
            value = cell[r, c]
            if value == nodata:
                continue
            votes = 1
            for i in range(count):
                votes += seen[i] == value
            seen[count] = value
            count += 1
            if votes > most:
                most, best = votes, value
    return best


@njit(nogil=True, cache=True)
def mean_of_integers(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    even = width // 2
    for row in range(out.shape[0]):
        top, bottom = pixels[2 * row], pixels[min(2 * row + 1, height - 1)]
        rows = min(2, height - 2 * row)
        for col in range(even):
            a, b, c, d = top[2 * col], top[2 * col + 1], bottom[2 * col], bottom[2 * col + 1]
            out[row, col] = _mean(a, b, c, d, rows, nodata)
        if width % 2:
            out[row, even] = _mean(top[-1], nodata, bottom[-1], nodata, rows, nodata)


@njit(nogil=True, cache=True)
def _mean(a, b, c, d, rows, nodata):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Mean of the known ones of two pixels, or four where there are two ``rows``."""
    total = np.int64(a if a != nodata else 0) + np.int64(b if b != nodata else 0)
    known = np.int64(a != nodata) + np.int64(b != nodata)
    if rows == 2:
        total += np.int64(c if c != nodata else 0) + np.int64(d if d != nodata else 0)
        known += np.int64(c != nodata) + np.int64(d != nodata)
    return (2 * total + known) // (2 * known) if known else np.int64(nodata)


@njit(nogil=True, cache=True)
def mean_of_floats(pixels, nodata, out):  # type: ignore[no-untyped-def]
    height, width = pixels.shape
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            total, known = 0.0, 0
            for r in range(2 * row, min(2 * row + 2, height)):
                for c in range(2 * col, min(2 * col + 2, width)):
                    value = pixels[r, c]
                    if value != nodata and not np.isnan(value):
                        total += value
                        known += 1
            out[row, col] = total / known if known else nodata
