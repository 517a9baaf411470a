"""Scores of polygons against true polygons: shape, corners and boundaries of those found; faults of the whole set."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.trust.objects import average_precision, match_pairs, ratio

MIN_IOU = 0.5  # a building is found from here on
SAMPLE_M = 0.5  # boundaries are compared at points no farther apart than this
RIGHT_ANGLE_DEG = 2.0  # either side of 90°
SHORTEST_EDGE_M = 1e-6  # shorter ones have no direction
PAIRS_AT_ONCE = 2000  # some 200 sample points each


@dataclass(frozen=True, slots=True)
class PolygonScores:
    """Scores of predicted polygons, in metres.

    truth, predicted, matched: numbers of polygons; matched have an IoU of at least 0.5 (``match_pairs``). f1_50, f1_75,
    f1_90: object F1 = 2 TP / (truth + predicted) at that IoU. ap: COCO's average precision over IoU 0.50 to 0.95, NaN
    without confidences; ap_50: at IoU 0.5. Means over the matched, see ``measure_pairs``: iou, c_iou, n_ratio, polis_m,
    hausdorff_m, boundary_f1; and right_angle_share of the matched predictions, see ``right_angle_shares``. valid_share:
    valid predictions by the OGC's rules. overlap_m2: ground that predictions share, see ``overlap_area``. What there is
    nothing to average of is NaN.
    """

    truth: int
    predicted: int
    matched: int
    f1_50: float
    f1_75: float
    f1_90: float
    ap: float
    ap_50: float
    iou: float
    c_iou: float
    n_ratio: float
    polis_m: float
    hausdorff_m: float
    boundary_f1: float
    right_angle_share: float
    valid_share: float
    overlap_m2: float


class PairMeasures(NamedTuple):
    """How alike the two polygons of each pair are; all (N,)."""

    iou: NDArray[np.float64]
    c_iou: NDArray[np.float64]
    n_ratio: NDArray[np.float64]
    polis_m: NDArray[np.float64]
    hausdorff_m: NDArray[np.float64]
    boundary_f1: NDArray[np.float64]


def score_polygons(
    truth: NDArray[np.object_],
    predicted: NDArray[np.object_],
    *,
    confidence: NDArray[np.floating] | None = None,
    tolerance_m: float = 0.5,
) -> PolygonScores:
    """Score predicted polygons against true ones, both Polygons in one CRS of true metres.

    An invalid prediction is counted as such, and its largest valid part is scored. confidence: (N,), needed for the
    average precision only. tolerance_m: of the boundary F1. Raises InputError for anything but Polygons.

    >>> house, shifted = shapely.box(0, 0, 10, 10), shapely.box(1, 0, 11, 10)
    >>> s = score_polygons(np.array([house]), np.array([shifted]))
    >>> s.f1_50, s.f1_90, round(s.iou, 3), s.n_ratio, s.right_angle_share, s.hausdorff_m
    (1.0, 0.0, 0.818, 1.0, 1.0, 1.0)
    """
    truth, predicted = _polygons(truth, "truth"), _polygons(predicted, "prediction")
    valid = shapely.is_valid(predicted)
    sound = np.where(valid, predicted, _largest_parts(predicted, ~valid))
    pairs = match_pairs(truth, sound, min_iou=MIN_IOU)
    measures = measure_pairs(truth[pairs.truth], sound[pairs.predicted], tolerance_m=tolerance_m)
    ap = np.full(2, np.nan) if confidence is None else average_precision(truth, sound, confidence)
    f1 = [ratio(2 * int((pairs.iou >= least).sum()), len(truth) + len(predicted)) for least in (0.5, 0.75, 0.9)]
    return PolygonScores(
        truth=len(truth),
        predicted=len(predicted),
        matched=len(pairs.iou),
        f1_50=f1[0],
        f1_75=f1[1],
        f1_90=f1[2],
        ap=float(ap.mean()),
        ap_50=float(ap[0]),
        iou=_mean(measures.iou),
        c_iou=_mean(measures.c_iou),
        n_ratio=_mean(measures.n_ratio),
        polis_m=_mean(measures.polis_m),
        hausdorff_m=_mean(measures.hausdorff_m),
        boundary_f1=_mean(measures.boundary_f1),
        right_angle_share=_mean(right_angle_shares(sound[pairs.predicted])),
        valid_share=ratio(int(valid.sum()), len(valid)),
        overlap_m2=overlap_area(sound),
    )


def measure_pairs(
    truth: NDArray[np.object_], predicted: NDArray[np.object_], *, tolerance_m: float = 0.5
) -> PairMeasures:
    """Measure how alike ``truth[i]`` and ``predicted[i]`` are: valid Polygons in metres, shape (N,).

    iou: intersection over union. n_ratio: vertices of the prediction over those of the truth, all rings, the closing
    point of a ring not counted. c_iou: complexity-aware IoU = IoU (1 - |Np - Nt| / (Np + Nt)) (Zorzi et al., PolyWorld,
    CVPR 2022). polis_m: the mean distance of a vertex to the other's boundary, averaged over both sides (Avbelj, Müller
    and Bamler 2015). hausdorff_m: the largest distance of a boundary point to the other boundary, either way.
    boundary_f1: harmonic mean of the shares of either boundary within ``tolerance_m`` of the other (as Csurka et al.,
    BMVC 2013, on pixels). The last two take boundary points no farther apart than 0.5 m, vertices included.
    """
    parts = [
        _measure(truth[k : k + PAIRS_AT_ONCE], predicted[k : k + PAIRS_AT_ONCE], tolerance_m)
        for k in range(0, max(len(truth), 1), PAIRS_AT_ONCE)
    ]
    return PairMeasures(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _measure(truth: NDArray[np.object_], predicted: NDArray[np.object_], tolerance_m: float) -> PairMeasures:
    shared = shapely.area(shapely.intersection(truth, predicted))
    iou = shared / (shapely.area(truth) + shapely.area(predicted) - shared)
    boundaries = shapely.boundary(truth), shapely.boundary(predicted)
    vertices = _vertex_counts(truth), _vertex_counts(predicted)
    polis, farthest, near = [], [], []
    for own, other in (boundaries, boundaries[::-1]):
        polis.append(_means(*_distances(own, other), len(truth)))
        distance, owner = _distances(shapely.segmentize(own, SAMPLE_M), other)
        farthest.append(np.zeros(len(truth)))
        np.maximum.at(farthest[-1], owner, distance)
        near.append(_means(distance <= tolerance_m, owner, len(truth)))
    both = near[0] + near[1]
    return PairMeasures(
        iou=iou,
        c_iou=iou * (1 - np.abs(vertices[1] - vertices[0]) / (vertices[1] + vertices[0])),
        n_ratio=vertices[1] / vertices[0],
        polis_m=0.5 * (polis[0] + polis[1]),
        hausdorff_m=np.maximum(*farthest),
        boundary_f1=np.divide(2 * near[0] * near[1], both, out=np.zeros(len(truth)), where=both > 0),
    )


def right_angle_shares(polygons: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return for each Polygon the share of its corners, holes included, that are within 2° of 90° or 270°; (N,).

    >>> right_angle_shares(np.array([shapely.box(0, 0, 2, 1), shapely.Polygon([(0, 0), (2, 0), (0, 2)])])).round(2)
    array([1.  , 0.33])
    """
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    step = np.diff(xy, axis=0)
    edge = (ring[1:] == ring[:-1]) & (np.hypot(step[:, 0], step[:, 1]) > SHORTEST_EDGE_M)
    angle, ring = np.degrees(np.arctan2(step[edge, 1], step[edge, 0])), ring[1:][edge]
    last = np.append(ring[1:] != ring[:-1], True)[: len(ring)]
    after = np.where(last, np.searchsorted(ring, ring), np.arange(1, len(ring) + 1))  # the last edge meets the first
    right = np.abs((angle[after] - angle) % 180 - 90) < RIGHT_ANGLE_DEG
    return _means(right, polygon[ring], len(polygons))


def overlap_area(polygons: NDArray[np.object_]) -> float:
    """Return the sum over all pairs of the area that two valid polygons share, in the CRS's units squared."""
    a, b = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = a < b
    return float(shapely.area(shapely.intersection(polygons[a[once]], polygons[b[once]])).sum())


def _polygons(given: NDArray[np.object_], name: str) -> NDArray[np.object_]:
    out = np.asarray(given, dtype=object)
    if not (shapely.get_type_id(out) == shapely.GeometryType.POLYGON).all() or shapely.is_empty(out).any():
        raise InputError(f"the {name} holds something else than polygons; take it apart with shapely.get_parts first")
    return out


def _largest_parts(polygons: NDArray[np.object_], wanted: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the largest polygon in each of the ``wanted`` invalid ones, an empty one where there is none."""
    out = polygons.copy()
    for i in np.flatnonzero(wanted):
        parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygons[i])))
        parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
        out[i] = parts[np.argmax(shapely.area(parts))] if len(parts) else shapely.Polygon()
    return out


def _vertex_counts(polygons: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the number of vertices, the closing points of the rings not counted."""
    return shapely.get_num_coordinates(polygons) - 1 - shapely.get_num_interior_rings(polygons)


def _distances(own: NDArray[np.object_], other: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distance of each vertex of the boundaries ``own`` to its counterpart, and whose vertex it is."""
    lines, owner = shapely.get_parts(own, return_index=True)
    xy, line = shapely.get_coordinates(lines, return_index=True)
    vertex = np.append(line[1:] == line[:-1], False)[: len(line)]  # the last point of a ring is its first
    owner = owner[line[vertex]]
    return shapely.distance(shapely.points(xy[vertex]), other[owner]), owner


def _means(values: NDArray[np.bool_ | np.float64], owner: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    number = np.bincount(owner, minlength=count)
    return np.divide(np.bincount(owner, weights=values, minlength=count), number, where=number > 0, out=np.zeros(count))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
