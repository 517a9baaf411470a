"""Neighbours on a grid of pixels, and how alike they are. Arrays in, arrays out."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]


def neighbours(shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return all pairs of pixels that touch, by sides or corners, as two arrays of flat indices, and their distances.

    >>> neighbours((1, 3))[0].tolist(), neighbours((1, 3))[1].tolist()
    ([0, 1], [1, 2])
    """
    at = np.arange(shape[0] * shape[1]).reshape(shape)
    pairs = ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:]), (at[:-1, :-1], at[1:, 1:]), (at[:-1, 1:], at[1:, :-1]))
    one, two = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    far = np.concatenate([np.full(pair[0].size, d) for pair, d in zip(pairs, (1, 1, 2**0.5, 2**0.5), strict=True)])
    return one, two, far


def likeness(image: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return pairs of neighbours of an image (C, H, W), and exp(-beta d²) / distance of each, 0..1.

    beta: such that the mean squared difference of neighbours weighs exp(-1/2) (Boykov and Jolly 2001).
    """
    one, two, far = neighbours(image.shape[1:])
    flat = image.reshape(len(image), -1)
    apart = ((flat[:, one] - flat[:, two]) ** 2).sum(0)
    return one, two, np.exp(-apart / max(2 * apart.mean(), 1e-12)) / far


def least_cut(source: Floats, sink: Floats, image: Floats, *, smooth: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) on the source's side of the cheapest cut.

    source, sink: (H, W), what it costs to part a pixel from either; smooth: what it costs to part neighbours that are
    alike. scipy's maximum flow takes integers: costs are in thousandths.
    """
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    n = source.size
    one, two, alike = likeness(image)
    pixels = np.arange(n)
    rows = np.concatenate([one, two, np.full(n, n), pixels])
    cols = np.concatenate([two, one, pixels, np.full(n, n + 1)])
    costs = np.concatenate([smooth * alike, smooth * alike, source.ravel(), sink.ravel()])
    capacity = np.minimum(np.rint(1000 * costs), 2**30 - 1).astype(np.int32)
    graph = sparse.csr_matrix((capacity, (rows, cols)), shape=(n + 2, n + 2))
    left = graph - maximum_flow(graph, n, n + 1).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(n + 2, np.bool_)
    reached[breadth_first_order(left, n, return_predecessors=False)] = True
    return reached[:n].reshape(source.shape)
