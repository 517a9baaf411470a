"""A random walker from marks, helped by colours: every pixel gets the mark that it reaches first (Grady 2005, 2006)."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geoseg.classical.colours import Colours, standardised
from geoseg.classical.grid_graph import Floats, likeness

ROUNDS = 3
PRIOR = 0.02  # how much colours count against neighbours
SHARP = 4.0  # how much more than on average unlike neighbours are parted


def walked(image: Floats, seeds: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return for each pixel (H, W) the seed that a walker from it most likely reaches first.

    image: (C, H, W); seeds: (H, W), 0 where there is none. Walkers step between like pixels, and may leave for a seed
    whose pixels have their colour; colours are learnt anew from what is found. Raises ValueError without a seed.
    """
    image = standardised(image)
    kinds = np.setdiff1d(seeds, [0])
    if not len(kinds):
        raise ValueError("no seed")
    pixels, flat = image.reshape(len(image), -1).T, seeds.ravel()
    one, two, alike = likeness(image)
    weight = alike**SHARP + 1e-4
    both = sparse.coo_matrix((np.tile(weight, 2), (np.r_[one, two], np.r_[two, one])), shape=(flat.size, flat.size))
    laplacian = sparse.diags(np.asarray(both.sum(1)).ravel() + PRIOR) - both.tocsr()
    found = flat
    for _ in range(ROUNDS):
        log = np.stack([Colours.of(pixels[found == kind]).log_likelihood(pixels) for kind in kinds], 1)
        share = np.exp(log - np.logaddexp.reduce(log, axis=1)[:, None])
        found = _reached(laplacian.tocsr(), share, flat, kinds)
    return found.reshape(seeds.shape)


def _reached(
    laplacian: sparse.csr_matrix, share: Floats, seeds: NDArray[np.integer], kinds: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Solve for the chances of all kinds at pixels without a seed; share: (N, K), by colour."""
    from scipy.sparse.linalg import splu

    free, held = np.flatnonzero(seeds == 0), np.flatnonzero(seeds)
    out = seeds.copy()
    if len(free):
        known = (seeds[held][:, None] == kinds).astype(float)
        right = PRIOR * share[free] - laplacian[free][:, held] @ known
        out[free] = kinds[splu(laplacian[free][:, free].tocsc()).solve(right).argmax(1)]
    return out
