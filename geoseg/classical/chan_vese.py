"""Active contours without edges: an outline moves to where each side is most alike (Chan and Vese 2001).

Solved by morphology, without derivatives (Marquez-Neila, Baumela and Alvarez 2014).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.classical.colours import standardised
from geoseg.classical.grid_graph import Floats

Mask = NDArray[np.bool_]
LINES = tuple(np.array(line, np.bool_) for line in (np.eye(3), np.eye(3)[::-1], [[0] * 3, [1] * 3, [0] * 3]))
LINES = (*LINES, LINES[2].T)  # through a pixel: where one of them fits, the outline bends little


def chan_vese(image: Floats, start: Mask, inside: Mask, around: Mask, *, steps: int) -> Mask:
    """Return the object (H, W) within ``inside`` that ``start`` becomes, an outline moving up to a pixel a step.

    image: (C, H, W). ``around`` are the surroundings; pixels in neither say nothing.
    """
    image = standardised(image)
    found = start & inside
    for _ in range(steps):
        beside = (inside | around) & ~found
        if not found.any() or not beside.any():
            break
        own, other = (image[:, part].mean(1)[:, None, None] for part in (found, beside))
        closer = ((image - own) ** 2).sum(0) < ((image - other) ** 2).sum(0)
        edge = ndimage.binary_dilation(found) & ~ndimage.binary_erosion(found, border_value=1)
        moved = _smoothed(np.where(edge, closer, found) & inside) & inside
        if (moved == found).all():
            break
        found = moved
    return found


def _smoothed(mask: Mask) -> Mask:
    """Return a mask whose outline bends less: spikes that no line of three pixels fits into go, then such notches.

    >>> spiked = np.zeros((9, 9), bool); spiked[2:7, 2:7] = spiked[1, 4] = True
    >>> _smoothed(spiked).sum(1).tolist()
    [0, 0, 3, 5, 5, 5, 3, 0, 0]
    """
    opened = np.any([ndimage.binary_erosion(mask, line, border_value=1) for line in LINES], axis=0)
    return np.asarray(np.all([ndimage.binary_dilation(opened, line) for line in LINES], axis=0))
