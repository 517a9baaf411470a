"""Oversized components: too large to be held as pixels, they are drawn from their runs as exact pixel edges."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.values.box import Box
from geoseg.vector.footprints.extract import FootprintRules
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import find_components
from geoseg.vector.pixels.contours import trace_edges
from geoseg.vector.pixels.rings import wanted_rings
from geoseg.vector.pixels.runs import Runs, inside_runs
from geoseg.vector.tiles.outlines import ComponentTable, Fit, Outlines
from geoseg.vector.tiles.tile_borders import CrossingComponents, pixel_key

HALF_PIXEL = 0.5**0.5  # how far a pixel's edge may be from the sub-pixel contour, along a diagonal


@dataclass(frozen=True, slots=True, eq=False)
class RunTable:
    """K runs of pixels of some components, in raster order, in pixels of the scene."""

    row: NDArray[np.int32]
    """Row of each run, (K,)."""
    first: NDArray[np.int32]
    """Its first column, (K,)."""
    end: NDArray[np.int32]
    """The column after its last one, (K,)."""

    def __len__(self) -> int:
        return len(self.row)

    def within(self, box: Box) -> "RunTable":
        """Return the parts of the runs that lie in ``box``."""
        rows = slice(*np.searchsorted(self.row, (box.row0, box.row1)))
        first, end = np.maximum(self.first[rows], box.col0), np.minimum(self.end[rows], box.col1)
        inside = first < end
        return RunTable(self.row[rows][inside], first[inside], end[inside])

    def boxes(self) -> NDArray[np.object_]:
        """Return the runs as rectangles in pixel coordinates (col, row), (K,)."""
        return shapely.box(self.first, self.row, self.end, self.row + 1)


def runs_of(probability: NDArray[np.uint8], tile: Box, low: int, *, pieces: NDArray[np.int64]) -> RunTable:
    """Return the runs of a tile's pieces; pieces: first pixel (row, col) of each, (N, 2) in the scene."""
    runs = inside_runs(probability, low)
    found = find_components(runs)
    wanted = np.isin(pixel_key(found.first_pixel + np.array([tile.row0, tile.col0])), pixel_key(pieces))
    chosen = wanted[found.of_run]
    row = np.repeat(np.arange(len(runs.start) - 1, dtype=np.int32), np.diff(runs.start))
    return RunTable(
        row[chosen] + np.int32(tile.row0),
        runs.first[chosen] + np.int32(tile.col0),
        runs.end[chosen] + np.int32(tile.col0),
    )


def joined_runs(tables: Iterable[RunTable]) -> RunTable:
    """Join the runs of all tiles, and into one run those that meet at a tile border."""
    several = list(tables) or [RunTable(*(np.empty(0, np.int32) for _ in range(3)))]
    row, first, end = (np.concatenate([getattr(t, name) for t in several]) for name in RunTable.__slots__)
    order = np.lexsort((first, row))
    row, first, end = row[order], first[order], end[order]
    continues = np.zeros(len(row) + 1, np.bool_)
    continues[1:-1] = (row[1:] == row[:-1]) & (first[1:] == end[:-1])
    return RunTable(row[~continues[:-1]], first[~continues[:-1]], end[~continues[1:]])


def oversized_outlines(
    runs: RunTable, crossing: CrossingComponents, frame: GroundFrame, rules: FootprintRules
) -> tuple[Outlines, NDArray[np.object_]]:
    """Return outlines along the exact pixel edges of oversized components, and their holes that are filled.

    runs: all runs of ``crossing``, the oversized components. The filled holes are polygons in pixel coordinates, (H,);
    components in them are not drawn. Memory grows with the number of runs.
    """
    height = int(runs.row[-1]) + 1 if len(runs) else 0
    start = np.searchsorted(runs.row, np.arange(height + 1)).astype(np.int64)
    width = int(runs.end.max(initial=0))
    by_row = Runs(width, start, runs.first, runs.end, np.ones(len(runs), np.int32))
    rings = trace_edges(by_row, find_components(by_row))  # components and crossing come in the same order
    wanted = wanted_rings(rings, frame, min_area_m2=rules.min_area_m2, min_hole_m2=rules.min_hole_m2)
    wanted_shells = wanted[rings.parent < 0]
    hole = rings.parent >= 0
    polygons = rings.polygons(wanted)
    pixel_m = frame.pixel_sizes_m(crossing.first_pixel[wanted_shells].astype(np.float64))[:, ::-1]
    n = len(polygons)
    fit = replace(Fit.of_contours(n), deviation_m=HALF_PIXEL * np.sqrt(pixel_m.prod(axis=1)))
    components = ComponentTable(
        first_pixel=crossing.first_pixel[wanted_shells],
        area_px=crossing.area_px[wanted_shells],
        byte_sum=crossing.byte_sum[wanted_shells],
        blocked_by_oversized=np.ones(n, np.bool_),
    )
    outlines = Outlines(
        polygons=polygons,
        contours=polygons,
        iou=np.ones(n),
        pixel_m=pixel_m,
        bound_m=np.full(n, np.inf),
        components=components,
        fit=fit if rules.method == "regular" else None,
    )
    return outlines, rings.filled(hole & ~wanted & wanted[rings.shell])
