"""Calibration: how long a run may take, from a few network calls on this machine."""

import statistics
import time
from collections.abc import Sequence
from itertools import repeat
from math import prod

import numpy as np

from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import Plan
from geoseg.models.backends import choose, library

CALLS = 3


def estimated_seconds(plan: Plan) -> float | None:
    """Return the seconds that the network will take for all windows on this machine; reading and writing come on top.

    The median of three calls after a first one that warms up; None where the networks will run on another device.
    Skipped windows (nodata, area of interest) are not known beforehand, so scenes with many take less.
    """
    job = plan.job
    if choose("auto", job.platform.backends)[0] != job.platform.device:
        return None
    forward = load_networks(job)
    batch = np.zeros((job.batch, len(job.spec.bands), *job.windows.window_shape), np.float32)
    took = []
    with library().one_thread_per_network():
        forward(0, batch)
        for member in repeat(0, CALLS):
            began = time.perf_counter()
            forward(member, batch)
            took.append(time.perf_counter() - began)
    return round(statistics.median(took) * _calls(plan) / plan.lanes, 1)


def estimated_total_seconds(plans: Sequence[Plan]) -> float | None:
    """Return the seconds of several plans of the same models and options, from calls for the largest of them."""
    if not plans:
        return 0.0
    largest = max(plans, key=_calls)
    seconds = estimated_seconds(largest)
    return None if seconds is None else round(seconds * sum(map(_calls, plans)) / _calls(largest), 1)


def _calls(plan: Plan) -> float:
    """Return how many calls for batches of windows of the grid's shape take as long as all calls of a plan."""
    job = plan.job
    window = job.windows.window_shape
    views = sum(prod(view.shape_of(window)) / prod(window) for view in job.views)
    return plan.redundancy * job.windows.count * views * len(job.bundles) / job.batch
