"""A contour as evenly spaced samples with running sums, from which any stretch's best line follows in constant time."""

from math import atan2, hypot, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit

STEP_PX = 0.75  # finer adds no information to a contour with about one point per pixel
BREAK_TOLERANCE_PX = 0.5  # breaks are candidates only; a third of a blurred corner's rounding
SHORT_GAP_PX = 8.0  # between breaks this close a wall may also end half-way
TRIM_PX = (
    1.5  # blur rounds corners: this much at both ends of a wall, a quarter of it at most, tells nothing of its line
)
LEAST_CUT_PX = 2.0  # a shorter stretch along pixels without data is taken for a part of the building's own outline


class Ring(NamedTuple):
    """Samples of a contour: xy (n, 2) in pixels, ``step`` apart; sums (n + 1, 5) of x, y, xx, xy, yy so far.

    cuts: (n + 1,) how many samples so far lie where the scene, its data or the AOI cut the building off.
    """

    xy: NDArray[np.float64]
    step: float
    sums: NDArray[np.float64]
    cuts: NDArray[np.int64]


class Scatter(NamedTuple):
    """Number, mean and second moments about the mean of the samples of a stretch."""

    n: int
    x: float
    y: float
    xx: float
    xy: float
    yy: float


@njit(cache=True, nogil=True)
def sample_ring(contour: NDArray[np.float32], cut: NDArray[np.bool_], scale_x: float, scale_y: float) -> Ring:
    """Scale, resample and lightly smooth a contour, from the sample farthest from the centre on, which is a corner.

    cut: (P,) the points of the contour that lie on a pixel without data. Where there are any the ring begins at an end
    of such a stretch.
    """
    points = len(contour)
    xy = np.empty((points + 1, 2))
    length = 0.0
    for i in range(points + 1):
        xy[i, 0] = scale_x * contour[i % points, 0]
        xy[i, 1] = scale_y * contour[i % points, 1]
        if i > 0:
            length += hypot(xy[i, 0] - xy[i - 1, 0], xy[i, 1] - xy[i - 1, 1])
    n = max(int(length / STEP_PX + 0.5), 8)
    step = length / n
    samples, on_cut = _resampled(xy, cut, n, step)
    _drop_short(on_cut, LEAST_CUT_PX / step)
    samples = _smoothed(samples, on_cut)  # takes out what single pixels add
    x, y = centre(samples)
    start = _start(samples, on_cut, x, y)
    samples = _rolled(samples, start)
    cuts = np.zeros(n + 1, np.int64)
    for i in range(n):
        cuts[i + 1] = cuts[i] + on_cut[(start + i) % n]
    return Ring(samples, step, _running_sums(samples), cuts)


@njit(cache=True, nogil=True)
def _resampled(
    xy: NDArray[np.float64], cut: NDArray[np.bool_], n: int, step: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return n points along a line, from its first point on, and which of them lie between two that are ``cut``."""
    points = len(xy) - 1
    samples, on_cut = np.empty((n, 2)), np.zeros(n, np.bool_)
    walked, i, part = 0.0, 0, hypot(xy[1, 0] - xy[0, 0], xy[1, 1] - xy[0, 1])
    for k in range(n):
        while walked + part < k * step and i < points - 1:
            walked += part
            i += 1
            part = hypot(xy[i + 1, 0] - xy[i, 0], xy[i + 1, 1] - xy[i, 1])
        share = min((k * step - walked) / part, 1.0) if part > 0 else 0.0
        samples[k, 0] = xy[i, 0] + share * (xy[i + 1, 0] - xy[i, 0])
        samples[k, 1] = xy[i, 1] + share * (xy[i + 1, 1] - xy[i, 1])
        on_cut[k] = cut[i] and cut[(i + 1) % points]
    return samples, on_cut


@njit(cache=True, nogil=True)
def _drop_short(marked: NDArray[np.bool_], least: float) -> None:
    """Unmark, in place, what is marked in less than ``least`` in a row, around the ring."""
    n, run = len(marked), 0
    first = 0
    while first < n and marked[first]:
        first += 1
    for k in range(first + 1, first + n + 1) if first < n else range(0):
        if marked[k % n]:
            run += 1
            continue
        if run < least:
            for i in range(k - run, k):
                marked[i % n] = False
        run = 0


@njit(cache=True, nogil=True)
def _start(xy: NDArray[np.float64], on_cut: NDArray[np.bool_], x: float, y: float) -> int:
    """Index of the sample farthest from (x, y), of those where a cut begins or ends if there are any."""
    best, at = -1.0, -1
    for i in range(len(xy)):
        d = (xy[i, 0] - x) ** 2 + (xy[i, 1] - y) ** 2
        if d > best and on_cut[i] != on_cut[i - 1]:
            best, at = d, i
    return at if at >= 0 else farthest(xy, x, y)


@njit(cache=True, nogil=True)
def sample_at(ring: Ring, i: int) -> NDArray[np.float64]:
    """Sample i of the ring, 0 <= i <= n: its end is its first."""
    return ring.xy[i if i < len(ring.xy) else 0]


@njit(cache=True, nogil=True)
def _smoothed(xy: NDArray[np.float64], fixed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Half of each sample that is not ``fixed`` and a quarter of both beside it."""
    n = len(xy)
    out = np.empty_like(xy)
    for i in range(n):
        before, after = i - 1 if i > 0 else n - 1, i + 1 if i + 1 < n else 0
        for axis in range(2):
            smooth = 0.5 * xy[i, axis] + 0.25 * (xy[before, axis] + xy[after, axis])
            out[i, axis] = xy[i, axis] if fixed[i] else smooth
    return out


@njit(cache=True, nogil=True)
def _rolled(xy: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    n = len(xy)
    out = np.empty((n, 2))
    for i in range(n):
        out[i, 0], out[i, 1] = xy[(start + i) % n, 0], xy[(start + i) % n, 1]
    return out


@njit(cache=True, nogil=True)
def centre(xy: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of some points."""
    x, y = 0.0, 0.0
    for i in range(len(xy)):
        x, y = x + xy[i, 0], y + xy[i, 1]
    return x / len(xy), y / len(xy)


@njit(cache=True, nogil=True)
def farthest(xy: NDArray[np.float64], x: float, y: float) -> int:
    """Index of the point farthest from (x, y)."""
    best, at = -1.0, 0
    for i in range(len(xy)):
        d = (xy[i, 0] - x) ** 2 + (xy[i, 1] - y) ** 2
        if d > best:
            best, at = d, i
    return at


@njit(cache=True, nogil=True)
def _running_sums(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros((len(xy) + 1, 5))
    for i in range(len(xy)):
        x, y = xy[i, 0], xy[i, 1]
        sums[i + 1, 0] = sums[i, 0] + x
        sums[i + 1, 1] = sums[i, 1] + y
        sums[i + 1, 2] = sums[i, 2] + x * x
        sums[i + 1, 3] = sums[i, 3] + x * y
        sums[i + 1, 4] = sums[i, 4] + y * y
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def scatter(ring: Ring, begin: int, end: int) -> Scatter:
    """Scatter of samples begin..end without TRIM_PX at both ends; the stretch may wrap, -n <= begin < end <= 2n."""
    n = len(ring.xy)
    trim = min(int(TRIM_PX / ring.step), (end - begin) // 4)
    a, b = begin + trim, end - trim
    count = b - a
    if a < 0:
        a, b = a + n, b + n
    elif a >= n:
        a, b = a - n, b - n
    s, e = ring.sums, min(b, n)
    sx, sy = s[e, 0] - s[a, 0], s[e, 1] - s[a, 1]
    sxx, sxy, syy = s[e, 2] - s[a, 2], s[e, 3] - s[a, 3], s[e, 4] - s[a, 4]
    if b > n:
        sx, sy = sx + s[b - n, 0], sy + s[b - n, 1]
        sxx, sxy, syy = sxx + s[b - n, 2], sxy + s[b - n, 3], syy + s[b - n, 4]
    x, y = sx / count, sy / count
    return Scatter(count, x, y, sxx - sx * x, sxy - sx * y, syy - sy * y)


@njit(cache=True, nogil=True, error_model="numpy")
def least_scatter(s: Scatter) -> float:
    """Sum of squared distances to the best line (total least squares)."""
    half = 0.5 * (s.xx - s.yy)
    return max(0.5 * (s.xx + s.yy) - sqrt(half * half + s.xy * s.xy), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def scatter_across(s: Scatter, cos: float, sin: float) -> float:
    """Sum of squared distances to the best line of a direction."""
    return sin * sin * s.xx - 2 * sin * cos * s.xy + cos * cos * s.yy


@njit(cache=True, nogil=True)
def best_angle(s: Scatter) -> float:
    """Direction of the best line, in (-pi/2, pi/2]."""
    return 0.5 * atan2(2 * s.xy, s.xx - s.yy)


@njit(cache=True, nogil=True)
def find_vertices(ring: Ring) -> NDArray[np.int64]:
    """Samples that keep the ring within BREAK_TOLERANCE_PX, ascending from 0 (Douglas and Peucker 1973).

    Those where a cut begins or ends are among them.
    """
    xy, n = ring.xy, len(ring.xy)
    keep = np.zeros(n + 1, np.bool_)
    keep[0] = keep[n] = True
    keep[farthest(xy, xy[0, 0], xy[0, 1])] = True
    for i in range(1, n):
        keep[i] |= ring.cuts[i + 1] - ring.cuts[i] != ring.cuts[i] - ring.cuts[i - 1]
    ends = np.flatnonzero(keep)
    stack = [(ends[i], ends[i + 1]) for i in range(len(ends) - 1)]
    while len(stack) > 0:
        i, j = stack.pop()
        worst, at = _farthest_from_chord(xy, i, j)
        if worst > BREAK_TOLERANCE_PX**2:
            keep[at] = True
            stack.append((i, at))
            stack.append((at, j))
    return np.flatnonzero(keep[:n])


@njit(cache=True, nogil=True)
def find_breaks(ring: Ring, vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples where a wall may begin: the vertices, and the middle between two that are close (half-way up a step)."""
    breaks = np.empty(2 * len(vertices), np.int64)
    count = 0
    for i in range(len(vertices)):
        breaks[count] = vertices[i]
        count += 1
        gap = (vertices[i + 1] if i + 1 < len(vertices) else len(ring.xy)) - vertices[i]
        if 3 <= gap < SHORT_GAP_PX / ring.step:
            breaks[count] = vertices[i] + gap // 2
            count += 1
    return breaks[:count].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _farthest_from_chord(xy: NDArray[np.float64], i: int, j: int) -> tuple[float, int]:
    """Largest squared distance of samples between i and j from the segment i-j, and where; j may be the ring's end."""
    n = len(xy)
    ax, ay = xy[i, 0], xy[i, 1]
    bx, by = xy[j % n, 0], xy[j % n, 1]
    worst, at = -1.0, i
    for k in range(i + 1, j):
        d = squared_distance(xy[k, 0], xy[k, 1], ax, ay, bx, by)
        if d > worst:
            worst, at = d, k
    return worst, at


@njit(cache=True, nogil=True, error_model="numpy")
def squared_distance(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Squared distance of a point from the segment a-b."""
    dx, dy, ex, ey = bx - ax, by - ay, x - ax, y - ay
    length2 = dx * dx + dy * dy
    if length2 > 0:
        t = min(max((ex * dx + ey * dy) / length2, 0.0), 1.0)
        ex -= t * dx
        ey -= t * dy
    return ex * ex + ey * ey
