"""Polygons against polygons: those that stand on judged ground, and the scores of their shapes in metres."""

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.jobs.evaluate.ground import Ground
from geoseg.jobs.evaluate.sides import Layer
from geoseg.trust import PolygonScores, score_polygons


def objects_on(layer: Layer, ground: Ground, judged: NDArray[np.bool_]) -> gpd.GeoDataFrame:
    """Return single polygons that stand on judged ground (the pixel under a point inside them decides)."""
    frame = layer.read(ground.grid).explode()
    xy = shapely.get_coordinates(shapely.point_on_surface(shapely.make_valid(frame.geometry.values)))
    cols, rows = (np.floor(v).astype(int) for v in ~ground.grid.transform @ (xy[:, 0], xy[:, 1]))
    inside = (rows >= 0) & (cols >= 0) & (rows < ground.grid.height) & (cols < ground.grid.width)
    inside[inside] = judged[rows[inside], cols[inside]]
    return frame[inside]


def polygonal(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the single polygons that geometries hold."""
    parts = shapely.get_parts(shapely.get_parts(geometries))
    return parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]


def score_in_metres(truth: gpd.GeoDataFrame, answered: gpd.GeoDataFrame, tolerance_m: float) -> PolygonScores:
    """Score polygons in the UTM zone of the true ones, or, where there are none, of the others."""
    known = next((frame for frame in (truth, answered) if not frame.empty), None)
    metric = truth.crs if known is None else known.estimate_utm_crs()
    answered = answered.to_crs(metric)
    return score_polygons(
        polygonal(shapely.make_valid(truth.to_crs(metric).geometry.values)),
        np.asarray(answered.geometry.values),
        confidence=answered["confidence"].to_numpy(float) if "confidence" in answered else None,
        tolerance_m=tolerance_m,
    )
