"""Where a binary mask is narrow, and where it only looks so."""

import numpy as np
import pytest
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely import LineString, affinity, box, union_all

from geoseg.vector.pixels.necks import label_necks


def mask(*shapes):
    return np.where(rasterize(shapes, out_shape=(120, 160), transform=Affine.identity()) > 0, 255, 1).astype(np.uint8)


@pytest.mark.parametrize("angle_deg", [0, 31])
def test_a_bridge_parts_two_houses_at_its_narrowest(angle_deg):
    houses = [affinity.rotate(box(20, 40, 60, 75), angle_deg), affinity.rotate(box(90, 40, 130, 75), angle_deg)]
    probability = mask(*houses, LineString([(40, 57), (110, 57)]).buffer(2.5))
    labels = label_necks(probability)
    np.testing.assert_array_equal(labels > 0, probability >= 128)
    assert labels.max() == 2
    alone = [mask(house) == 255 for house in houses]
    most = [int(np.bincount(labels[house]).argmax()) for house in alone]
    assert sorted(most) == [1, 2]
    for house, label in zip(alone, most, strict=True):
        assert (labels[house] == label).mean() > 0.98


@pytest.mark.parametrize(
    "shape",
    [
        box(20, 40, 140, 60),
        union_all([box(20, 20, 100, 60), box(80, 20, 100, 110)]),
        union_all([box(20, 20, 60, 60), box(60, 35, 120, 55)]),
        LineString([(20, 20), (140, 20), (140, 100), (20, 100)]).buffer(8),
        union_all([box(10, 20, 60, 100), box(60, 50, 90, 60), box(90, 20, 140, 100)]),
    ],
    ids=["long", "L", "wing", "corridor", "passage of a large house"],
)
def test_wings_and_corridors_stay_with_their_house(shape):
    assert label_necks(mask(shape)).max() == 1


def test_bumps_and_specks_are_no_houses():
    rng = np.random.default_rng(4)
    rough = ndimage.gaussian_filter(mask(box(20, 20, 140, 100)).astype(float) + rng.normal(0, 60, (120, 160)), 1.0)
    probability = np.clip(rough, 1, 255).astype(np.uint8)
    labels = label_necks(probability)
    assert labels.max() == ndimage.label(probability >= 128)[1]


def test_a_larger_ratio_parts_more():
    probability = mask(box(20, 20, 28, 60), box(28, 38, 50, 43), box(50, 20, 58, 60))
    assert label_necks(probability, neck_ratio=0.5).max() == 1
    assert label_necks(probability, neck_ratio=0.8).max() == 2


def test_an_empty_raster_has_no_labels():
    assert label_necks(np.ones((5, 6), np.uint8)).max() == 0
