"""GrabCut on any bands: the object in a box, by iterated colour models and cuts (Rother, Kolmogorov and Blake 2004)."""

import numpy as np
from numpy.typing import NDArray

from geoseg.classical.colours import Colours, standardised
from geoseg.classical.grid_graph import Floats, least_cut

ROUNDS = 5
SMOOTH = 6.0  # what it costs to part two neighbours that are equal, in units of log likelihood
SURE = 1e5


def grabcut(
    image: Floats, inside: NDArray[np.bool_], around: NDArray[np.bool_], *, start: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return the object (H, W) within ``inside``; nothing where that looks as what is ``around`` does.

    image: (C, H, W). Pixels that are in neither, such as those of other objects, say nothing. start: the first guess
    of the object, None: all that is ``inside``.
    """
    if not around.any():
        return inside.copy()
    image = standardised(image)
    pixels = image.reshape(len(image), -1).T
    found = inside.copy() if start is None else start & inside
    for _ in range(ROUNDS):
        if not found.any():
            break
        of, beside = (Colours.of(pixels[part.ravel()]) for part in (found, around | (inside & ~found)))
        gain = (of.log_likelihood(pixels) - beside.log_likelihood(pixels)).reshape(inside.shape)
        gain = np.where(inside, gain, -SURE)
        cut = least_cut(np.maximum(gain, 0), np.maximum(-gain, 0), image, smooth=SMOOTH) & inside
        if (cut == found).all():
            break
        found = cut
    return found
