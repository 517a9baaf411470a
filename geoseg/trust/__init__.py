"""How far a prediction can be trusted: scores against truth. Pure: arrays in, values out."""

from geoseg.trust.changes import Change, changes, tally
from geoseg.trust.numbers import Differences, differences
from geoseg.trust.objects import ObjectMatch, average_precision, match_objects
from geoseg.trust.polygon_scores import (
    PairMeasures,
    PolygonScores,
    measure_pairs,
    overlap_area,
    right_angle_shares,
    score_polygons,
)
from geoseg.trust.scores import BoundaryMatch, Confusion, match_boundaries

__all__ = [
    "BoundaryMatch",
    "Change",
    "Confusion",
    "Differences",
    "ObjectMatch",
    "PairMeasures",
    "PolygonScores",
    "average_precision",
    "changes",
    "differences",
    "match_boundaries",
    "match_objects",
    "measure_pairs",
    "overlap_area",
    "right_angle_shares",
    "score_polygons",
    "tally",
]
