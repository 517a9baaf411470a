"""Costs of a description by walls, learnt from the building itself: how much it wobbles and how often it turns.

The unit is one corner of a usual house. Misfit is worth what it is improbable (its square over the variance of the
noise), a corner what its place costs to tell (the logarithm of the usual distance between corners): so the wobble of a
100 m wall is not read as jogs, while those of an intricate building are (minimum description length, Rissanen 1978;
costs from the data at hand: empirical Bayes, Robbins 1956).
"""

from math import cos, log, sin, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.numba_cache import njit
from geoseg.vector.fit.ring import Ring, Scatter, least_scatter, scatter, scatter_across

# Chosen on four sites at 0.3 and 0.5 m with weak, usual and strong noise; chosen on any three of them, they serve the
# fourth within 0.016 of C-IoU and 0.001 of IoU. A fifth more or less of any moves the IoU by < 0.001 and trades
# vertices lost on busy blocks against vertices gained on plain ones.
MISFIT_COST = 0.24  # per px³, squared distance times length, for contours that wobble by
USUAL_WOBBLE_PX, NOISE_RANGE = 0.37, 4.0  # this rms; up to so many times more or less where the variance is not usual
COARSE_MISFIT_COST = 0.05  # of the first description, from which the noise is measured: it must not follow it
CORNER_GROWTH, USUAL_GAP_PX = 1.1, 28.0  # growth of a corner's cost with the logarithm of the distance between corners
LEAST_CORNER_COST = 0.3
DIAGONAL_PENALTY = 4.0  # corners that a wall off the building's main direction must save
JOG_SPAN_PX, LEAST_JOG_PX = 1.75, 1.2  # a sidestep is real where its squared height over this span costs a corner


class Axes(NamedTuple):
    """Directions a wall may take, in either sense: angle, cost per wall, and the system it turns with, each (K,).

    free: cost of a wall with a direction of its own.
    """

    angle: NDArray[np.float64]
    cost: NDArray[np.float64]
    system: NDArray[np.int64]
    free: float


class Walls(NamedTuple):
    """Walls around a ring: sample ranges begin..end, which meet, and the axis of each.

    Of K axes K is a direction of its own, K + 1 a cut: where the scene, its data or the AOI end the building does not.
    """

    axis: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


class Costs(NamedTuple):
    """Cost of a px³ of misfit and of a corner."""

    misfit: float
    corner: float


@njit(cache=True, nogil=True)
def first_costs(ring: Ring, misfit: float) -> Costs:
    """Costs before anything is known of the building but its size, which bounds how far apart its corners are."""
    return Costs(misfit, min(corner_cost(len(ring.xy) * ring.step / 4), 1.0))


@njit(cache=True, nogil=True)
def corner_cost(gap_px: float) -> float:
    """Cost of a corner where they are so far apart."""
    return max(1 + CORNER_GROWTH * log(gap_px / USUAL_GAP_PX), LEAST_CORNER_COST)


@njit(cache=True, nogil=True)
def learnt_costs(ring: Ring, walls: Walls, axes: Axes) -> Costs:
    """Costs for a building that ``walls`` describe so far."""
    squares, samples, count, walked = 0.0, 0, 0, 0
    for i in range(len(walls.axis)):
        if walls.axis[i] > len(axes.angle):
            continue
        s = scatter(ring, walls.begin[i], walls.end[i])
        squares += _squares(s, walls.axis[i], axes)
        samples += s.n
        count, walked = count + 1, walked + walls.end[i] - walls.begin[i]
    if walked == 0:
        return first_costs(ring, MISFIT_COST)
    variance = max(squares / samples, 1e-9)
    usual = USUAL_WOBBLE_PX**2
    misfit = MISFIT_COST * min(max(usual / variance, 1 / NOISE_RANGE), NOISE_RANGE)
    gap_px = walked * ring.step / max(count, 4 * walked / len(ring.xy))
    return Costs(misfit, corner_cost(gap_px))


@njit(cache=True, nogil=True)
def _squares(s: Scatter, axis: int, axes: Axes) -> float:
    if axis == len(axes.angle):
        return least_scatter(s)
    return scatter_across(s, cos(axes.angle[axis]), sin(axes.angle[axis]))


@njit(cache=True, nogil=True)
def least_jog_px(costs: Costs) -> float:
    """Height below which a sidestep along one direction is noise."""
    return max(sqrt(costs.corner / (costs.misfit * JOG_SPAN_PX)), LEAST_JOG_PX)
