"""Coverages: polygons of all classes of a map that tile it without gap or overlap."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.values.grid import Grid
from geoseg.vector.coverage.patches import RUN_BYTES, measure_patches
from geoseg.vector.coverage.sieve import sieve
from geoseg.vector.coverage.simplify import simplify
from geoseg.vector.pixels.arcs import NODE, count_corners, find_arcs, find_corners
from geoseg.vector.pixels.components import label_runs
from geoseg.vector.pixels.patch_rings import PatchRings, RaggedPolygons, find_rings
from geoseg.vector.pixels.runs import Runs

# At the peak of all stages after the sieve. Measured with 3000 x 3000 px: at most 65 bytes for a corner of lone squares
# and 190 for a node of noise, where nearly every corner is one.
CORNER_BYTES, NODE_BYTES, PATCH_BYTES = 72, 220, 20
POINT_BYTES = 320  # of a large polygon on its way to the file
BATCH_POINTS, BATCH_BYTES = 2**16, 80 * 2**20  # of polygons on their way to the file, lone squares at worst


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRules:
    """How small and how plain the polygons of a coverage are; 0 switches a rule off.

    min_area_m2: smaller patches, in true ground area, go to the neighbour they share most border with. tolerance_m: how
    far a border may stray from the edges of the pixels.
    """

    min_area_m2: float = 0.0
    tolerance_m: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_area_m2", "tolerance_m"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """The patches of a class map in raster order of their first pixels.

    value: (N,) class of each. area_px: (N,) its pixels, before borders are made plainer.
    """

    value: NDArray[np.int32]
    area_px: NDArray[np.int64]
    rings: PatchRings
    grid: Grid

    def __len__(self) -> int:
        return len(self.value)

    def batches(self, max_points: int = BATCH_POINTS) -> Iterator[tuple[slice, RaggedPolygons]]:
        """Yield which patches, and their polygons in the CRS of the grid, until there are all of them."""
        for part in self.rings.slices(max_points):
            yield part, self.rings.polygons(part, self.grid.transform)


def extract_coverage(
    runs: Runs, grid: Grid, rules: CoverageRules, *, allow: Callable[[int], None] = lambda _: None
) -> Coverage:
    """Return the polygons of a class map on ``grid``: valid, without gap or overlap, equal for any strips it came in.

    allow: called before each stage with the bytes that it holds at most; it may raise. Raises InputError where the grid
    has no place on Earth.
    """
    row_areas_m2, pixel_size_m = grid.row_areas_m2(), grid.ground_resolution_m()
    if rules.min_area_m2 > 0:
        runs = sieve(runs, rules.min_area_m2, row_areas_m2=row_areas_m2, pixel_size_m=pixel_size_m, allow=allow)
    patch = label_runs(runs)
    patches = measure_patches(runs, patch, row_areas_m2)
    held = RUN_BYTES * len(runs) + PATCH_BYTES * len(patches)
    allow(held + CORNER_BYTES * count_corners(runs, patch))
    corners = find_corners(runs, patch)
    nodes = int(np.count_nonzero(corners.edges & NODE))
    allow(held + CORNER_BYTES * (len(corners.x) - nodes) + NODE_BYTES * nodes)
    arcs = find_arcs(corners, runs, patch)
    del runs, patch
    if rules.tolerance_m > 0:
        arcs = simplify(corners, arcs, tolerance_m=rules.tolerance_m, pixel_size_m=pixel_size_m)
    rings = find_rings(corners, arcs, len(patches))
    allow(rings.nbytes + PATCH_BYTES * len(patches) + max(BATCH_BYTES, POINT_BYTES * rings.largest))
    return Coverage(patches.value, patches.area_px, rings, grid)
