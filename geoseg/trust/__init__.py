"""How far a prediction can be trusted: scores against truth. Pure: arrays in, values out."""

from geoseg.trust.scores import (
    BoundaryMatch,
    Confusion,
    ObjectMatch,
    match_boundaries,
    match_objects,
)

__all__ = ["BoundaryMatch", "Confusion", "ObjectMatch", "match_boundaries", "match_objects"]
