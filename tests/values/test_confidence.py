"""The confidence of polygons: what is weighed, and the same answer however many are asked at once."""

import numpy as np
import pytest

from geoseg.errors import ConfigError
from geoseg.values.confidence import PolygonConfidence, polygon_features

WEIGHTS = {"constant": -1.0, "probability": 0.8, "area": 0.3, "area_squared": -0.1, "compactness": 1.5, "misfit": -4.0}


def features(n, seed=0):
    rng = np.random.default_rng(seed)
    return polygon_features(
        mean_probability=rng.random(n),
        area_m2=rng.uniform(5, 900, n),
        perimeter_m=rng.uniform(40, 300, n),
        iou_contour=rng.uniform(0.8, 1, n),
    )


def test_a_disk_of_a_hundred_square_metres_has_plain_features():
    disk = polygon_features(
        mean_probability=np.array([0.5]),
        area_m2=np.array([100.0]),
        perimeter_m=np.array([2 * np.sqrt(np.pi * 100)]),
        iou_contour=np.array([0.9]),
    )
    np.testing.assert_allclose(disk, [[0, 0, 0, 1, 0.1]], atol=1e-12)
    only = PolygonConfidence(**{**dict.fromkeys(WEIGHTS, 0.0), "compactness": np.log(3)})
    assert only.of(disk)[0] == pytest.approx(0.75)


def test_exact_contours_and_fits_that_are_not_known_have_no_misfit():
    same = {"mean_probability": np.array([0.7]), "area_m2": np.array([50.0]), "perimeter_m": np.array([30.0])}
    exact, unknown = (polygon_features(**same, iou_contour=iou) for iou in (None, np.array([np.nan])))
    np.testing.assert_array_equal(exact, unknown)
    assert exact[0, 4] == 0


def test_a_polygon_has_one_confidence_whatever_it_is_asked_with():
    rule, many = PolygonConfidence(**WEIGHTS), features(1001)
    together = rule.of(many)
    assert ((together > 0) & (together < 1)).all()
    alone = np.concatenate([rule.of(many[i : i + 7]) for i in range(0, 1001, 7)])
    np.testing.assert_array_equal(together.astype(np.float32), alone.astype(np.float32))


def test_weights_are_finite():
    with pytest.raises(ConfigError, match="no finite number"):
        PolygonConfidence(**{**WEIGHTS, "area": float("nan")})
