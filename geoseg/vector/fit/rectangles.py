"""Rectangles: what a digitiser draws of buildings of few pixels, which no walls fit near enough."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.vector.pixels.places import moved, rounded

DIRECTIONS = np.arange(24) * (np.pi / 48)  # a speck does not tell its direction by less than some degrees
TURNS = np.stack([[np.cos(DIRECTIONS), np.sin(DIRECTIONS)], [-np.sin(DIRECTIONS), np.cos(DIRECTIONS)]]).transpose(
    2, 0, 1
)
CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2


def best_rectangles(
    contours: NDArray[np.object_], scale: NDArray[np.float64]
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return a rectangle for each contour, (N,), and its direction in radians, (N,).

    scale: (N, 2) factors that make the pixels square. A rectangle has the area of its contour, its centroid and the
    ratio of its second moments; of all DIRECTIONS it is the one that shares most with it. A shift by whole pixels
    changes no bit.

    >>> bitten = shapely.Polygon([(0, 0), (8, 0), (8, 3), (7, 4), (0, 4)])
    >>> (found,), (direction,) = best_rectangles(np.array([bitten]), np.ones((1, 2)))
    >>> round(float(shapely.hausdorff_distance(found, shapely.box(0, 0, 8, 4))), 2), float(direction)
    (0.1, 0.0)
    """
    out, directions = contours.copy(), np.zeros(len(contours))
    for i, contour in enumerate(contours):
        corner = np.floor(shapely.bounds(contour)[:2])
        own = moved(contour, -corner)
        centroid, moments = _moments(shapely.get_coordinates(own.exterior) * scale[i])
        sides = np.sqrt(np.maximum(np.diagonal(TURNS @ moments @ TURNS.transpose(0, 2, 1), axis1=1, axis2=2), 1e-9))
        sides *= np.sqrt(own.area * scale[i].prod() / sides.prod(axis=1))[:, None]
        drawn = shapely.polygons(rounded(((CORNERS * sides[:, None]) @ TURNS + centroid) / scale[i]))
        best = int(np.argmax(shapely.area(shapely.intersection(drawn, own))))
        out[i], directions[i] = moved(drawn[best], corner), DIRECTIONS[best]
    return out, directions


def _moments(ring: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centroid, (2,), and central second moments, (2, 2), of the area within a closed ring, (K, 2), by Green."""
    a, b = ring[:-1], ring[1:]
    across = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    weight = across / across.sum()
    centroid = weight @ (a + b) / 3
    both = a + b
    products = (a[:, :, None] * a[:, None] + b[:, :, None] * b[:, None] + both[:, :, None] * both[:, None]) / 12
    return centroid, np.tensordot(weight, products, 1) - np.outer(centroid, centroid)
