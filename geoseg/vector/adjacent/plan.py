"""Plan: the walls of touching buildings as one graph, whose corners several buildings have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

Ring = tuple[int, ...]
Place = tuple[float, float]


@dataclass(slots=True, eq=False)
class Plan:
    """A coverage that can be changed corner by corner; what shares a wall keeps sharing it."""

    places: NDArray[np.float64]
    """Corners, each once, (V, 2)."""
    rings: list[Ring]
    """Corners of each ring in its order, the first one not repeated, R of them."""
    owner: list[int]
    """The building that each ring belongs to."""
    rings_of: list[list[int]]
    """The rings of each building, its shell first."""
    rings_at: list[set[int]]
    """The rings that meet at each corner; none where the corner is gone."""

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Self:
        """Return the plan of a coverage, (M,)."""
        rings, owner = shapely.get_rings(polygons, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        first = np.append(True, ring[1:] != ring[:-1])
        places, corner = np.unique(xy[~first], axis=0, return_inverse=True)
        ends = np.flatnonzero(first) - np.arange(len(rings))
        made = [tuple(part.tolist()) for part in np.split(corner.ravel(), ends[1:])]
        at: list[set[int]] = [set() for _ in places]
        for k, corners in enumerate(made):
            for v in corners:
                at[v].add(k)
        of: list[list[int]] = [[] for _ in polygons]
        for k, i in enumerate(owner.tolist()):
            of[i].append(k)
        return cls(places, made, owner.tolist(), of, at)

    def place(self, corner: int) -> Place:
        """Return where a corner is."""
        x, y = self.places[corner].tolist()
        return x, y

    def beside(self, corner: int) -> list[int]:
        """Return the corners that walls link to one, ascending."""
        found = set()
        for k in self.rings_at[corner]:
            ring = self.rings[k]
            for at, v in enumerate(ring):
                if v == corner:
                    found |= {ring[at - 1], ring[(at + 1) % len(ring)]}
        return sorted(found)

    def walls(self, rings: set[int], shorter: float) -> list[tuple[float, int, int]]:
        """Return length and corners of the walls of some rings that are shorter than so much, the shortest first."""
        found = set()
        for k in rings:
            ring = self.rings[k]
            for a, b in zip(ring, (*ring[1:], *ring[:1]), strict=True):
                if (length := apart(self.place(a), self.place(b))) < shorter:
                    found.add((length, min(a, b), max(a, b)))
        return sorted(found)

    def polygon(self, building: int, changed: Mapping[int, Ring]) -> shapely.Polygon:
        """Return a building, with some rings changed."""
        shell, *holes = (self.places[list(changed.get(k, self.rings[k]))] for k in self.rings_of[building])
        return shapely.Polygon(shell, holes)

    def neighbours(self, buildings: set[int], rings: set[int]) -> set[int]:
        """Return the buildings that meet some rings, without ``buildings``."""
        return {self.owner[k] for r in rings for v in self.rings[r] for k in self.rings_at[v]} - buildings

    def redraw(self, changed: Mapping[int, Ring]) -> None:
        """Put other rings in the place of some."""
        for k, ring in changed.items():
            for v in self.rings[k]:
                self.rings_at[v].discard(k)
            self.rings[k] = ring
            for v in ring:
                self.rings_at[v].add(k)

    def polygons(self) -> NDArray[np.object_]:
        """Return the buildings, (M,)."""
        return np.array([self.polygon(i, {}) for i in range(len(self.rings_of))], object)


def apart(a: Place, b: Place) -> float:
    """Return the distance of two places."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    return sqrt(dx * dx + dy * dy)
