"""Learning rates: pure functions of the step, so that a training that goes on needs no memory of them."""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Any, NamedTuple

WARM = 0.08  # share of the steps in which the rate rises
FIRST, LAST = 25.0, 1e4  # the first rate of a one-cycle is the peak over the one, its last that over the other
BETA = 0.9
SLOW_BETA, FAST_BETA = 0.95, 0.85  # of a one-cycle rate: momentum falls while the rate rises


class Rate(NamedTuple):
    """How fast a step learns: AdamW's rate and its first beta."""

    rate: float
    beta: float

    def set_on(self, group: dict[str, Any]) -> None:
        """Give it to a group of an optimiser's parameters."""
        group["lr"], group["betas"] = self.rate, (self.beta, *group["betas"][1:])


def one_cycle(step: int, total: int, peak: float) -> Rate:
    """Return the rate of Smith and Topin (2018): up from 1/25 in 8 % of the steps, then down to nothing by cosines.

    >>> [round(one_cycle(step, 100, 1.0).rate, 3) for step in (0, 7, 53, 99)]
    [0.04, 1.0, 0.5, 0.0]
    """
    top, end = WARM * total - 1, total - 1
    if step <= top:
        done = step / top
        return Rate(_between(peak / FIRST, peak, done), _between(SLOW_BETA, FAST_BETA, done))
    done = (step - top) / (end - top)
    return Rate(_between(peak, peak / FIRST / LAST, done), _between(FAST_BETA, SLOW_BETA, done))


def cosine(step: int, total: int, peak: float) -> Rate:
    """Return the rate of Loshchilov and Hutter (2017): up evenly in 8 % of the steps, then down by a cosine.

    >>> [round(cosine(step, 100, 1.0).rate, 2) for step in (0, 7, 53, 99)]
    [0.12, 1.0, 0.51, 0.0]
    """
    warm = max(1, round(WARM * total))
    if step < warm:
        return Rate(peak * (step + 1) / warm, BETA)
    return Rate(_between(peak, 0.0, (step - warm) / max(1, total - warm - 1)), BETA)


def constant(step: int, total: int, peak: float) -> Rate:  # noqa: ARG001  # one signature for all
    """Return the peak at every step."""
    return Rate(peak, BETA)


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (cos(pi * done) + 1)


RATES: Mapping[str, Callable[[int, int, float], Rate]] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
    "constant": constant,
}
