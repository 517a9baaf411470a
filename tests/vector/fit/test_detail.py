"""What is drawn of a building that a network has seen: its walls and corners, and no wobble of the network's."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity, box

from geoseg.errors import ConfigError
from geoseg.vector import FootprintRules, polygonize_probability

PIXEL_M = 0.13


def seen(building, *, seed=0, wobble_m=0.2, correlation_m=2.0, size_m=40.0):
    """A building in metres as a network sees it: its edge strays by waves of metres, its corners are round."""
    size = round(size_m / PIXEL_M)
    grid = Affine(PIXEL_M, 0, 0, 0, PIXEL_M, 0)
    inside = rasterize([building], out_shape=(size, size), transform=grid, dtype=np.uint8).astype(np.float64)
    rng = np.random.default_rng(seed)
    shift = []
    for _ in range(2):
        field = ndimage.gaussian_filter(rng.standard_normal((size, size)), correlation_m / PIXEL_M / 2)
        shift.append(wobble_m / PIXEL_M * field / field.std())
    inside = ndimage.map_coordinates(inside, np.indices((size, size)) + np.array(shift), order=1)
    return (1 + np.rint(254 * np.clip(ndimage.gaussian_filter(inside, 0.4 / PIXEL_M), 0, 1))).astype(np.uint8)


def drawn(building, *, detail="normal", **how):
    (polygon,) = polygonize_probability(
        seen(building, **how), Affine(PIXEL_M, 0, 0, 0, PIXEL_M, 0), min_area_m2=5, detail=detail
    )
    return polygon


def corner_count(polygon):
    return shapely.get_num_coordinates(polygon) - 1


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


@pytest.mark.parametrize("degrees", [0, 25])
def test_long_waves_leave_a_rectangle_its_four_corners(degrees):
    building = affinity.rotate(box(13, 14, 27, 25), degrees)
    found = [drawn(building, seed=seed) for seed in range(5)]
    assert sorted(map(corner_count, found))[:4] == [4] * 4
    assert min(iou(one, building) for one in found) > 0.9


def test_a_real_l_keeps_its_six_corners():
    building = affinity.rotate(box(10, 10, 28, 20).union(box(10, 10, 18, 29)), 12)
    found = [drawn(building, seed=seed) for seed in range(5)]
    assert sorted(map(corner_count, found))[:4] == [6] * 4
    assert min(iou(one, building) for one in found) > 0.9


def test_a_step_that_the_probability_insists_on_stays():
    building = box(10, 10, 20, 24).union(box(20, 12.5, 30, 24))
    assert corner_count(drawn(building, wobble_m=0.1)) == 6


def test_less_detail_draws_fewer_steps():
    notched = box(10, 10, 26, 24).difference(box(16, 9, 19, 11))
    counts = {detail: corner_count(drawn(notched, wobble_m=0.0, detail=detail)) for detail in ("fine", "plain")}
    assert counts == {"fine": 8, "plain": 4}


def test_an_unknown_detail_is_refused():
    with pytest.raises(ConfigError, match="plain, normal, fine"):
        FootprintRules(detail="most")
