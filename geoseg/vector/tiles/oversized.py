"""Streamed blocks: components too large to be held as pixels, drawn from their runs as exact pixel edges."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.values.grid import Box
from geoseg.vector.fit.fit import KEPT
from geoseg.vector.footprints.extract import FootprintRules
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import find_components
from geoseg.vector.pixels.contours import trace_edges
from geoseg.vector.pixels.rings import wanted_rings
from geoseg.vector.pixels.runs import Runs, find_runs
from geoseg.vector.tiles.outlines import Drawn, Fit, Outlines
from geoseg.vector.tiles.tile_borders import Blocks, pixel_key

HALF_PIXEL = 0.5**0.5  # how far a pixel's edge may be from the sub-pixel contour, along a diagonal


@dataclass(frozen=True, slots=True, eq=False)
class RunTable:
    """Runs of some components, in raster order: run k covers columns first[k] <= col < end[k] of row[k]; (K,) int32."""

    row: NDArray[np.int32]
    first: NDArray[np.int32]
    end: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def within(self, box: Box) -> "RunTable":
        """Return what lies in ``box``."""
        rows = slice(*np.searchsorted(self.row, (box.row0, box.row1)))
        first, end = np.maximum(self.first[rows], box.col0), np.minimum(self.end[rows], box.col1)
        inside = first < end
        return RunTable(self.row[rows][inside], first[inside], end[inside])

    def boxes(self) -> NDArray[np.object_]:
        """Return the runs as rectangles in pixel coordinates (col, row), (K,)."""
        return shapely.box(self.first, self.row, self.end, self.row + 1)


def runs_of(probability: NDArray[np.uint8], tile: Box, low: int, *, pieces: NDArray[np.int64]) -> RunTable:
    """Return the runs of a tile's pieces, told by their first pixels (N, 2), in pixels of the scene."""
    runs = find_runs(probability, low)
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
    """Join the runs of all tiles; those that meet at a border of tiles become one."""
    several = list(tables) or [RunTable(*(np.empty(0, np.int32) for _ in range(3)))]
    row, first, end = (np.concatenate([getattr(t, name) for t in several]) for name in RunTable.__slots__)
    order = np.lexsort((first, row))
    row, first, end = row[order], first[order], end[order]
    continues = np.zeros(len(row) + 1, np.bool_)
    continues[1:-1] = (row[1:] == row[:-1]) & (first[1:] == end[:-1])
    return RunTable(row[~continues[:-1]], first[~continues[:-1]], end[~continues[1:]])


def streamed_outlines(
    runs: RunTable, blocks: Blocks, frame: GroundFrame, rules: FootprintRules
) -> tuple[Outlines, NDArray[np.object_]]:
    """Return the exact pixel edges of ``blocks``, all of whose ``runs`` are given, and their holes that are filled.

    The holes are polygons in pixel coordinates; what stands in them is not drawn. Memory grows with the runs.
    """
    height = int(runs.row[-1]) + 1 if len(runs) else 0
    start = np.searchsorted(runs.row, np.arange(height + 1)).astype(np.int64)
    by_row = Runs(start, runs.first, runs.end)
    rings = trace_edges(by_row, find_components(by_row))  # components and blocks come in the same order
    wanted = wanted_rings(rings, frame, min_area_m2=rules.min_area_m2, min_hole_m2=rules.min_hole_m2)
    kept = wanted[rings.parent < 0]
    hole = rings.parent >= 0
    polygons = rings.polygons(wanted)
    pixel_m = frame.pixel_sizes_m(blocks.first_pixel[kept].astype(np.float64))[:, ::-1]
    n = len(polygons)
    fit = Fit(
        status=np.full(n, KEPT, np.int8),
        direction_deg=np.full(n, np.nan),
        deviation_m=HALF_PIXEL * np.sqrt(pixel_m.prod(axis=1)),
        rms_m=np.zeros(n),
        iou_contour=np.ones(n),
    )
    of = Drawn(
        first_pixel=blocks.first_pixel[kept],
        area_px=blocks.area_px[kept],
        byte_sum=blocks.byte_sum[kept],
        hemmed=np.ones(n, np.bool_),
    )
    outlines = Outlines(
        polygons=polygons,
        contours=polygons,
        iou=np.ones(n),
        pixel_m=pixel_m,
        bound_m=np.full(n, np.inf),
        of=of,
        fit=fit if rules.method == "regular" else None,
    )
    return outlines, rings.filled(hole & ~wanted & wanted[rings.shell])
