"""Distances to the boundaries of the truth; made where windows are, in the sampler's thread."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geoseg.training.losses.terms import Group
from geoseg.training.targets import IGNORE

MOST_PX = 32.0  # farther is as far: what lies beyond a window's edge is not known


def signed_distances(labels: NDArray[np.uint8], groups: Sequence[Group]) -> dict[Group, NDArray[np.float32]]:
    """Return for every group of channels the distance to its boundary (B, H, W), below 0 inside, in units of 32 px.

    labels: (B, H, W) with IGNORE. 0 where a pixel is void, and in windows that hold the group alone or not at all; void
    makes no boundary.

    >>> (32 * signed_distances(np.array([[[0, 0, 1, 1, 1]]], np.uint8), [(1,)])[(1,)]).tolist()
    [[[2.0, 1.0, -1.0, -2.0, -3.0]]]
    """
    out = {group: np.zeros(labels.shape, np.float32) for group in groups}
    known = labels != IGNORE
    for group, far in out.items():
        for b, own in enumerate(labels):
            inside = np.isin(own, group) & known[b]
            outside = ~inside & known[b]
            if inside.any() and outside.any():
                signed = np.where(inside, -distance_transform_edt(~outside), distance_transform_edt(~inside))
                far[b] = np.clip(signed, -MOST_PX, MOST_PX) / MOST_PX * known[b]
    return out
