"""Fitting the confidence of polygons: it finds the weights that made the labels, and says when it cannot."""

import numpy as np
import pytest

from geoseg.errors import InputError
from geoseg.training.confidence import fit_confidence
from geoseg.values.confidence import PolygonConfidence, polygon_features

TRUE = PolygonConfidence(constant=-0.5, probability=1.0, area=0.8, area_squared=-0.2, compactness=2.0, misfit=-6.0)


def polygons(n, seed):
    rng = np.random.default_rng(seed)
    features = polygon_features(
        mean_probability=rng.uniform(0.5, 1, n),
        area_m2=np.exp(rng.normal(4.5, 1, n)),
        perimeter_m=np.exp(rng.normal(4.0, 0.3, n)),
        iou_contour=rng.uniform(0.8, 1, n),
    )
    return features, rng.random(n) < TRUE.of(features)


def test_it_is_calibrated_on_polygons_it_has_not_seen():
    fitted = fit_confidence(*polygons(3000, 0))
    features, right = polygons(3000, 1)
    said = fitted.of(features)
    for low, high in ((0.0, 0.4), (0.4, 0.7), (0.7, 1.0)):
        here = (said >= low) & (said < high)
        assert here.sum() > 50
        assert right[here].mean() == pytest.approx(said[here].mean(), abs=0.06)


def test_a_higher_mean_probability_never_lowers_it():
    features, right = polygons(500, 0)
    upside_down = features.copy()
    upside_down[:, 0] *= -1
    assert fit_confidence(upside_down, right).probability == 0


def test_few_polygons_of_one_kind_are_refused():
    features, _ = polygons(100, 0)
    with pytest.raises(InputError, match="19 polygons of one kind"):
        fit_confidence(features, np.arange(100) < 19)
