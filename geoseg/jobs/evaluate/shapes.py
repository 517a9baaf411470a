"""Polygons against polygons: those that stand on judged ground, class by class, and their shapes in metres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geoseg.jobs.evaluate.ground import Ground
from geoseg.jobs.evaluate.sides import BUILDING, Layer
from geoseg.trust import ObjectMatch, PolygonScores, average_precision, score_polygons
from geoseg.trust.objects import COCO_MIN_IOUS, match_pairs, rim_ious
from geoseg.values.grid import PLACELESS, Grid
from geoseg.vector.ground import geodesic_area_m2

CONFIDENCES = ("confidence", "score")  # columns that say how sure a prediction is


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Polygons of one side, and the class id of each (N,); whole: an object may have several parts."""

    frame: gpd.GeoDataFrame
    ids: NDArray[np.intp]
    whole: bool = False

    @classmethod
    def on(
        cls,
        layer: Layer,
        ground: Ground,
        judged: NDArray[np.bool_],
        *,
        column: str | None,
        ids: Mapping[str, int],
        whole: bool = False,
    ) -> "Objects":
        """Take those that stand on judged ground; the pixel under a point inside them decides.

        column: of their classes, None: all are buildings; ids: class by what the column says.
        """
        frame = layer.read(ground.grid) if whole else layer.read(ground.grid).explode()
        classes = [BUILDING] * len(frame) if column is None else [ids[t] for t in layer.class_texts(frame, column)]
        xy = shapely.get_coordinates(shapely.point_on_surface(shapely.make_valid(frame.geometry.values)))
        cols, rows = (np.floor(v).astype(int) for v in ~ground.grid.transform @ (xy[:, 0], xy[:, 1]))
        inside = (rows >= 0) & (cols >= 0) & (rows < ground.grid.height) & (cols < ground.grid.width)
        inside[inside] = judged[rows[inside], cols[inside]]
        return cls(frame[inside], np.array(classes, np.intp)[inside], whole)

    def from_area(self, least_m2: float, grid: Grid) -> "Objects":
        """Leave out those of less true ground; ``grid`` says what CRS they are in, and whether it has a place."""
        if not least_m2:
            return self
        parts, of = polygonal(np.asarray(shapely.make_valid(self.frame.geometry.values), object))
        areas = geodesic_area_m2(parts, grid.crs) if grid.has_place else shapely.area(parts)
        large = np.bincount(of, weights=areas, minlength=len(self.frame)) >= least_m2
        return Objects(self.frame[large], self.ids[large], self.whole)

    def counts(self, zones: NDArray[np.object_], class_ids: Sequence[int]) -> NDArray[np.intp]:
        """Return how many objects of the classes each zone holds, (Z,); a point inside an object decides."""
        own = self.frame[np.isin(self.ids, class_ids)]
        points = shapely.point_on_surface(shapely.make_valid(own.geometry.values))
        zone, _ = shapely.STRtree(points).query(zones, predicate="contains")
        return np.bincount(zone, minlength=len(zones))

    def of_class(self, class_id: int) -> tuple[NDArray[np.object_], NDArray[np.float64] | None]:
        """Return the valid polygons of a class, and how sure each is, None where no column says it."""
        frame = self.frame[self.ids == class_id]
        polygons = np.asarray(shapely.make_valid(frame.geometry.values), object)
        which = np.arange(len(polygons))
        if not self.whole:
            polygons, which = polygonal(polygons)
        column = next((name for name in CONFIDENCES if name in frame), None)
        return polygons, None if column is None else frame[column].to_numpy(float)[which]


@dataclass(frozen=True, slots=True)
class ClassObjects:
    """The objects of one class."""

    match: ObjectMatch
    """How many are found."""
    ap: tuple[float, ...]
    """The average precision at COCO's ten IoUs, NaN without a confidence."""
    boundary_iou: float
    """The mean boundary IoU of those found, NaN without any."""


def match_class(truth: Objects, answered: Objects, class_id: int, tolerance_m: float) -> ClassObjects:
    """Match the objects of one class; their rims are ``tolerance_m`` wide."""
    (right, _), (said, sure) = truth.of_class(class_id), answered.of_class(class_id)
    ap = np.full(len(COCO_MIN_IOUS), np.nan) if sure is None else average_precision(right, said, sure)
    pairs, rims = match_pairs(right, said), np.nan
    if len(pairs.iou):
        metric = _metric(truth.frame)
        found = (gpd.GeoSeries(side, crs=truth.frame.crs) for side in (right[pairs.truth], said[pairs.predicted]))
        one, other = (np.asarray(side.to_crs(metric).values, object) for side in found)
        rims = float(rim_ious(one, other, tolerance_m).mean())
    return ClassObjects(ObjectMatch.of(pairs.iou, len(right), len(said)), tuple(ap.tolist()), rims)


def _metric(frame: gpd.GeoDataFrame) -> CRS:
    """Return the UTM zone of polygons, or their own CRS where they have no place."""
    return frame.crs if PLACELESS in frame.crs.to_wkt() else frame.estimate_utm_crs()


def polygonal(geometries: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """Return the single polygons that geometries hold, and the index of the geometry that each is from."""
    outer, index = shapely.get_parts(geometries, return_index=True)
    parts, inner = shapely.get_parts(outer, return_index=True)
    areal = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[areal], index[inner[areal]]


def score_in_metres(truth: gpd.GeoDataFrame, answered: gpd.GeoDataFrame, tolerance_m: float) -> PolygonScores:
    """Score polygons in the UTM zone of the true ones, or, where there are none, of the others; or without a place."""
    known = next((frame for frame in (truth, answered) if not frame.empty), None)
    metric = truth.crs if known is None else _metric(known)
    answered = answered.to_crs(metric)
    return score_polygons(
        polygonal(shapely.make_valid(truth.to_crs(metric).geometry.values))[0],
        np.asarray(answered.geometry.values),
        confidence=answered["confidence"].to_numpy(float) if "confidence" in answered else None,
        tolerance_m=tolerance_m,
    )
