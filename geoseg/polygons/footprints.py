"""Footprints: building polygons of a probability raster with what belongs to them, and the calls that make them."""

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.grid import Grid
from geoseg.polygons.components import find_components, threshold_byte
from geoseg.polygons.contours import pixel_contours
from geoseg.polygons.frame import GroundFrame

DEFAULT_TOLERANCE_PX = 2.0  # takes the steps out of slanted walls: a third of the vertices for 0.001 of IoU


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintRules:
    """What becomes a polygon, and how plain it is.

    threshold: pixels with at least this probability are inside. Holes below ``min_hole_m2`` are filled, with all that
    stands in them; then polygons below ``min_area_m2`` are dropped; both are true ground areas. tolerance_m: a vertex
    goes where its triangle is smaller than tolerance²; None means two pixels, 0 keeps the exact pixel edges.
    """

    threshold: float = 0.5
    min_area_m2: float = 0.0
    min_hole_m2: float = 0.0
    tolerance_m: float | None = None

    def __post_init__(self) -> None:
        threshold_byte(self.threshold)
        for name in ("min_area_m2", "min_hole_m2", "tolerance_m"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} is {value}; give 0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Polygons in the CRS of their raster, in raster order of their first pixel; all arrays have shape (N,).

    mean_probability and area_px are over the pixels of the component that a polygon outlines.
    """

    geometries: NDArray[np.object_]
    mean_probability: NDArray[np.float64]
    area_px: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.geometries)


def extract_footprints(probability: NDArray[np.uint8], grid: Grid, rules: FootprintRules) -> Footprints:
    """Return the building polygons of ``probability`` in the CRS of ``grid``, whatever its units.

    probability: (H, W) bytes, byte b means p = (b - 1) / 254, 0 is nodata and outside. Pixels that touch in a corner
    only are apart. Polygons are valid and do not overlap. Raises InputError for anything but a uint8 raster of the
    grid's shape.
    """
    if np.shape(probability) != grid.shape:
        raise InputError(f"the probability raster has shape {np.shape(probability)}, its grid {grid.shape}")
    return _extract(probability, GroundFrame.of_grid(grid), rules)


def polygonize_probability(
    probability: NDArray[np.uint8],
    transform: Affine,
    *,
    threshold: float = 0.5,
    min_area_m2: float = 0.0,
    min_hole_m2: float = 0.0,
    tolerance_m: float | None = None,
) -> NDArray[np.object_]:
    """Return the building polygons of a raster whose ``transform`` is in true metres, shape (N,), shapely Polygons.

    The keywords are those of ``FootprintRules``; ``extract_footprints`` serves degrees, feet and Web Mercator too.

    >>> p = np.zeros((5, 5), np.uint8)
    >>> p[1:3, 1:4] = 255
    >>> polygonize_probability(p, Affine(2, 0, 100, 0, -2, 50))[0].bounds
    (102.0, 44.0, 108.0, 48.0)
    """
    rules = FootprintRules(
        threshold=threshold, min_area_m2=min_area_m2, min_hole_m2=min_hole_m2, tolerance_m=tolerance_m
    )
    return _extract(probability, GroundFrame.of_metric(transform, height=len(probability)), rules).geometries


def _extract(probability: NDArray[np.uint8], frame: GroundFrame, rules: FootprintRules) -> Footprints:
    if probability.dtype != np.uint8 or probability.ndim != 2:
        raise InputError(
            f"probability is a {probability.ndim}-D {probability.dtype} array; give (H, W) uint8, 0 = nodata"
        )
    components = find_components(probability, threshold=rules.threshold)
    contours = pixel_contours(probability, components, threshold=rules.threshold)
    polygons, absorbed = _fill_holes(contours, frame, rules.min_hole_m2)
    keep = (_areas_m2(polygons, frame) >= rules.min_area_m2) & ~absorbed
    height_m, width_m = frame.pixel_size_m
    tolerance_m = DEFAULT_TOLERANCE_PX * (height_m * width_m) ** 0.5 if rules.tolerance_m is None else rules.tolerance_m
    return Footprints(
        geometries=_place(_simplify(polygons[keep], frame, tolerance_m), frame),
        mean_probability=components.mean_probability[keep],
        area_px=components.area_px[keep],
    )


def _areas_m2(pixel_polygons: NDArray[np.object_], frame: GroundFrame) -> NDArray[np.float64]:
    """Return the true ground areas of polygons given in pixel coordinates."""
    middle_rows = shapely.bounds(pixel_polygons)[:, [1, 3]].mean(axis=1)
    return shapely.area(pixel_polygons) * frame.pixel_areas_m2(middle_rows)


def _fill_holes(
    polygons: NDArray[np.object_], frame: GroundFrame, min_hole_m2: float
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Return the polygons without holes below ``min_hole_m2``, and which polygons stand in a hole that was filled."""
    out = polygons.copy()
    filled = [np.empty(0, object)]
    for i in np.flatnonzero(shapely.get_num_interior_rings(polygons)):
        shell, *rings = shapely.get_rings(polygons[i])
        holes = shapely.polygons(rings)
        small = _areas_m2(holes, frame) < min_hole_m2
        filled.append(holes[small])
        out[i] = shapely.Polygon(shell, [ring for ring, drop in zip(rings, small, strict=True) if not drop])
    absorbed = np.zeros(len(polygons), bool)
    absorbed[shapely.STRtree(polygons).query(np.concatenate(filled), predicate="covers")[1]] = True
    return out, absorbed


def _simplify(polygons: NDArray[np.object_], frame: GroundFrame, tolerance_m: float) -> NDArray[np.object_]:
    """Simplify all polygons together (Visvalingam and Whyatt 1993, on a square ground frame) so that none cross."""
    if tolerance_m == 0 or len(polygons) == 0:
        return polygons
    scale = np.array(frame.pixel_size_m[::-1])
    metric = shapely.transform(polygons, lambda xy: xy * scale)
    return shapely.transform(shapely.coverage_simplify(metric, tolerance_m), lambda xy: xy / scale)


def _place(polygons: NDArray[np.object_], frame: GroundFrame) -> NDArray[np.object_]:
    """Move pixel coordinates to the CRS; shells run counter-clockwise, as GeoPackage readers expect."""
    return shapely.orient_polygons(shapely.transform(polygons, frame.to_crs))
