"""Footprints: building polygons of a probability raster with what belongs to them, and the calls that make them."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.values.grid import Grid
from geoseg.vector.adjacent.block import Whole, find_blocks, label_table
from geoseg.vector.fit.costs import DIAGONAL_PENALTY
from geoseg.vector.fit.polygons import DETAIL_M, fit_units, regular_outlines
from geoseg.vector.footprints.least import without_small
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.components import find_components, sum_bytes
from geoseg.vector.pixels.contours import edge_outlines, trace_edges
from geoseg.vector.pixels.cuts import cut_lines, find_cuts
from geoseg.vector.pixels.necks import label_necks
from geoseg.vector.pixels.rings import wanted_rings
from geoseg.vector.pixels.runs import inside_runs, threshold_byte
from geoseg.vector.pixels.subpixel import trace_rings
from geoseg.vector.tiles.outlines import ComponentTable, Fit, Outlines

Method = Literal["regular", "contour"]
Detail = Literal["plain", "normal", "fine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintRules:
    """What becomes a polygon, and how plain it is.

    threshold: pixels with at least this probability are inside. Holes below ``min_hole_m2`` are filled, with all that
    stands in them; then polygons below ``min_area_m2`` are dropped; both are true ground areas, of contours and then of
    the polygons made of them.
    method "regular": straight walls and right corners through the sub-pixel contour; detail is how small a thing may be
    that is drawn, "plain" 1 m, "normal" 0.45 m, "fine" what pixels show, see DETAIL_M; tolerance_m is how far a wall
    may be from the contour (to which 2 % of the root of the area is added), None: see ``fit_units``; diagonal_penalty
    is how many corners a wall off the building's main direction must save, 0 squares nothing.
    method "contour": the edges of the pixels; a vertex goes where its triangle is smaller than tolerance²; None means
    two pixels, 0 keeps the exact edges.
    split_necks: part what is connected where it is narrow, see ``label_necks``; other labels go before.
    """

    threshold: float = 0.5
    min_area_m2: float = 0.0
    min_hole_m2: float = 0.0
    tolerance_m: float | None = None
    method: Method = "regular"
    detail: Detail = "normal"
    diagonal_penalty: float = DIAGONAL_PENALTY
    split_necks: bool = False

    def __post_init__(self) -> None:
        threshold_byte(self.threshold)
        for name in ("min_area_m2", "min_hole_m2", "tolerance_m", "diagonal_penalty"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise ConfigError(f"{name} is {value}; give 0 or more")
        if self.method not in get_args(Method):
            raise ConfigError(f"method {self.method!r} is not known; there are {', '.join(get_args(Method))}")
        if self.detail not in DETAIL_M:
            raise ConfigError(f"detail {self.detail!r} is not known; there are {', '.join(DETAIL_M)}")

    def of_size(self, outlines: Outlines, frame: GroundFrame) -> Outlines:
        """Return settled outlines without the holes and polygons that are too small."""
        return without_small(outlines, frame, min_area_m2=self.min_area_m2, min_hole_m2=self.min_hole_m2)


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Polygons in the CRS of their raster, in raster order of their first pixel; all arrays have shape (N,).

    mean_probability and area_px are over the pixels of the component that a polygon outlines. fit: how the regular
    polygons came about, None for contours.
    """

    geometries: NDArray[np.object_]
    mean_probability: NDArray[np.float64]
    area_px: NDArray[np.int64]
    fit: Fit | None = None

    def __len__(self) -> int:
        return len(self.geometries)


def extract_footprints(
    probability: NDArray[np.uint8], grid: Grid, rules: FootprintRules, *, labels: NDArray[np.int32] | None = None
) -> Footprints:
    """Return the building polygons of ``probability`` in the CRS of ``grid``, whatever its units.

    probability: (H, W) bytes, byte b means p = (b - 1) / 254, 0 is nodata and outside. Pixels that touch in a corner
    only are apart. labels: (H, W) the building of each pixel inside, see ``label_instances``; without them what touches
    is one building. Polygons are valid and do not overlap; those that touch share their walls exactly. Raises
    InputError for anything but a uint8 raster of the grid's shape.
    """
    if np.shape(probability) != grid.shape:
        raise InputError(f"the probability raster has shape {np.shape(probability)}, its grid {grid.shape}")
    frame = GroundFrame.of_grid(grid)
    return to_footprints(
        rules.of_size(draw_outlines(probability, frame, rules, labels=labels).resolved(), frame), frame
    )


def polygonize_probability(
    probability: NDArray[np.uint8],
    transform: Affine,
    *,
    threshold: float = 0.5,
    min_area_m2: float = 0.0,
    min_hole_m2: float = 0.0,
    tolerance_m: float | None = None,
    method: Method = "regular",
    detail: Detail = "fine",
) -> NDArray[np.object_]:
    """Return the building polygons of a raster whose ``transform`` is in true metres, shape (N,), shapely Polygons.

    The keywords are those of ``FootprintRules``, but that all is drawn that pixels show: of a network's output, whose
    walls stray by more, ask for less detail. ``extract_footprints`` serves degrees, feet and Web Mercator too.

    >>> p = np.zeros((50, 50), np.uint8)
    >>> p[10:20, 10:40] = 255
    >>> [round(v) for v in polygonize_probability(p, Affine(2, 0, 100, 0, -2, 50))[0].bounds]
    [120, 10, 180, 30]
    """
    rules = FootprintRules(
        threshold=threshold,
        min_area_m2=min_area_m2,
        min_hole_m2=min_hole_m2,
        tolerance_m=tolerance_m,
        method=method,
        detail=detail,
    )
    frame = GroundFrame.of_metric(transform)
    return to_footprints(rules.of_size(draw_outlines(probability, frame, rules).resolved(), frame), frame).geometries


def draw_outlines(
    probability: NDArray[np.uint8],
    frame: GroundFrame,
    rules: FootprintRules,
    *,
    origin: tuple[int, int] = (0, 0),
    labels: NDArray[np.int32] | None = None,
) -> Outlines:
    """Draw each component of a window whose first pixel lies at ``origin`` (row, col) of the scene, for itself.

    frame: that of the scene. labels: as in ``extract_footprints``; ``Outlines.resolved`` splits what they tell apart.
    What is drawn of a component depends on its pixels and their neighbours alone, and on
    what its holes hold. Outlines may reach into each other, see ``Outlines.resolved``.
    """
    if probability.dtype != np.uint8 or probability.ndim != 2:
        raise InputError(
            f"probability is a {probability.ndim}-D {probability.dtype} array; give (H, W) uint8, 0 = nodata"
        )
    probability = np.ascontiguousarray(probability)
    low = threshold_byte(rules.threshold)
    runs = inside_runs(probability, low)
    components = find_components(runs)
    regular = rules.method == "regular"
    rings = trace_rings(probability, runs, low) if regular else trace_edges(runs, components)
    cut = find_cuts(probability, rings)
    rings = rings.moved(*origin)
    wanted = wanted_rings(rings, frame, min_area_m2=rules.min_area_m2, min_hole_m2=rules.min_hole_m2)
    kept = wanted[rings.parent < 0]  # shells and components come in the same order
    first_pixel = components.first_pixel[kept] + np.array(origin)
    drawn = ComponentTable(
        first_pixel=first_pixel,
        area_px=components.area_px[kept],
        byte_sum=sum_bytes(probability, runs, components)[kept],
        blocked_by_oversized=np.zeros(len(first_pixel), np.bool_),
    )
    if regular:
        outlines = regular_outlines(
            rings,
            wanted,
            frame,
            drawn,
            detail=rules.detail,
            tolerance_m=rules.tolerance_m,
            cut=cut,
            diagonal_penalty=rules.diagonal_penalty,
        )
    else:
        outlines = edge_outlines(rings, wanted, frame, drawn, tolerance_m=rules.tolerance_m)
    if labels is None and rules.split_necks:
        labels = label_necks(probability, threshold=rules.threshold)
    if labels is None:
        return outlines
    table = label_table(labels, probability, runs, components)
    several = np.bincount(table.component[table.component >= 0], minlength=len(components)) > 1
    unit_m, tolerance = fit_units(outlines.pixel_m, detail=rules.detail, tolerance_m=rules.tolerance_m)
    polygons, blocks = outlines.polygons.copy(), np.full(len(outlines), None, object)
    shells, is_cut = np.flatnonzero(rings.parent < 0), rings.with_any(cut)
    rows = np.flatnonzero(several[np.flatnonzero(kept)])
    wholes = [
        Whole(
            component=int(component),
            box=components.box[component],
            outline=outlines.polygons[i],
            contour=outlines.contours[i],
            scale=outlines.pixel_m[i] / unit_m[i],
            tolerance=outlines.tolerance(i),
            tolerance_units=float(tolerance[i]),
            cuts=cut_lines(rings, cut, np.flatnonzero(is_cut[rings.shell] & (rings.shell == shells[component]))),
        )
        for i, component in zip(rows.tolist(), np.flatnonzero(kept)[rows], strict=True)
    ]
    made = find_blocks(labels, table, wholes, penalty=rules.diagonal_penalty, origin=origin)
    for i, block in zip(rows, made, strict=True):
        blocks[i] = block
        if block.split is not None:
            polygons[i] = block.split.outline
    return replace(outlines, polygons=polygons, blocks=blocks)


def to_footprints(outlines: Outlines, frame: GroundFrame) -> Footprints:
    """Move settled outlines to the CRS."""
    return Footprints(
        geometries=frame.placed(outlines.polygons),
        mean_probability=outlines.mean_probability,
        area_px=outlines.components.area_px,
        fit=outlines.fit,
    )
