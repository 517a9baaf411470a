import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage

from geoseg.errors import ConfigError, InputError
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints, geodesic_area_m2, polygonize_probability
from geoseg.vector.footprints.extract import draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.instances import label_instances

METRE = Affine(1, 0, 0, 0, -1, 0)
UTM = CRS.from_epsg(32633)


def blobs(seed, *, size=80, smooth=2.0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), smooth)
    return np.clip(128 + noise / noise.std() * 60, 1, 255).astype(np.uint8)


@given(
    arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.sampled_from([None, 0, 0.7, 3.0]),
    st.sampled_from(["contour", "regular"]),
)
def test_polygons_are_valid_and_apart_at_any_tolerance(inside, tolerance_m, method):
    polygons = polygonize_probability(
        np.where(inside, 255, 1).astype(np.uint8), METRE, tolerance_m=tolerance_m, method=method
    )
    assert len(polygons) == ndimage.label(inside)[1]
    assert shapely.is_valid(polygons).all()
    assert shapely.get_type_id(polygons).tolist() == [3] * len(polygons)
    assert shapely.area(shapely.unary_union(polygons)) == pytest.approx(shapely.area(polygons).sum())


@pytest.mark.parametrize("transform", [METRE, Affine(0.5, 0, 9, 0, 0.5, 4), Affine(1.7, 1, 0, 1, -1.7, 0)])
def test_zero_tolerance_keeps_every_pixel_where_it_was(transform):
    probability = blobs(1)
    polygons = polygonize_probability(probability, transform, tolerance_m=0, method="contour")
    assert shapely.area(polygons).sum() == pytest.approx((probability >= 128).sum() * abs(transform.determinant))
    back = rasterize(((p, 1) for p in polygons), out_shape=probability.shape, transform=transform)
    assert (back == (probability >= 128)).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()


def test_mean_probability_and_pixel_count_belong_to_the_polygon():
    probability = np.ones((6, 9), np.uint8)
    probability[1:3, 1:3] = [[255, 255], [128, 128]]
    probability[4:5, 5:8] = 204
    found = extract_footprints(probability, Grid(UTM, METRE, (6, 9)), FootprintRules(tolerance_m=0, method="contour"))
    assert found.area_px.tolist() == [4, 3]
    assert found.mean_probability.tolist() == [(254 + 127) / 2 / 254, 203 / 254]
    assert [p.bounds for p in found.geometries] == [(1, -3, 3, -1), (5, -5, 8, -4)]


def test_nodata_and_the_threshold_decide_what_is_inside():
    probability = np.array([[0, 128, 127, 255]], np.uint8)
    bounds = [p.bounds for p in polygonize_probability(probability, METRE, tolerance_m=0, method="contour")]
    assert bounds == [(1, -1, 2, 0), (3, -1, 4, 0)]
    for method in ("contour", "regular"):
        assert len(polygonize_probability(probability, METRE, threshold=0.499, method=method)) == 2
        assert len(polygonize_probability(probability, METRE, threshold=126 / 254, method=method)) == 1


def test_small_holes_are_filled_with_all_that_stands_in_them_and_large_ones_kept():
    probability = np.full((20, 30), 255, np.uint8)
    probability[2:7, 2:7] = 1  # 25 m² hole
    probability[4, 4] = 255  # with a 1 m² island
    probability[10:19, 10:29] = 1  # 171 m² hole
    probability[12:15, 12:15] = 255  # with a 9 m² island
    rules = FootprintRules(min_hole_m2=30, tolerance_m=0, method="contour")
    found = extract_footprints(probability, Grid(UTM, METRE, (20, 30)), rules)
    assert [p.area for p in found.geometries] == [600 - 171, 9]
    assert [len(p.interiors) for p in found.geometries] == [1, 0]
    for method, islands in (("contour", [9]), ("regular", [9])):
        rules = FootprintRules(min_hole_m2=30, method=method)
        areas = [p.area for p in extract_footprints(probability, Grid(UTM, METRE, (20, 30)), rules).geometries]
        assert areas[1:] == pytest.approx(islands, rel=0.2)
        assert len(polygonize_probability(probability, METRE, min_hole_m2=30, min_area_m2=9.5, method=method)) == 1


@pytest.mark.parametrize(
    ("epsg", "x", "y", "units_per_m"),
    [(4326, 24.0, 60.0, (1 / 55800, 1 / 111412)), (3857, 2.67e6, 8.4e6, (2.0, 2.0)), (2225, 6e6, 2e6, (3.28, 3.28))],
)
def test_areas_are_true_metres_in_any_unit(epsg, x, y, units_per_m):
    probability = np.ones((60, 60), np.uint8)
    probability[5:15, 5:15] = 255  # about 100 m²
    probability[30:41, 30:41] = 255  # about 121 m²
    grid = Grid(CRS.from_epsg(epsg), Affine(units_per_m[0], 0, x, 0, -units_per_m[1], y), (60, 60))
    exact = extract_footprints(probability, grid, FootprintRules(tolerance_m=0, method="contour"))
    true_areas = geodesic_area_m2(exact.geometries, grid.crs)
    assert true_areas == pytest.approx([100, 121], rel=0.05)
    just_above = float(true_areas[0]) * 1.0001
    assert len(extract_footprints(probability, grid, FootprintRules(min_area_m2=just_above, method="contour"))) == 1
    just_below = float(true_areas[0]) * 0.9999
    assert len(extract_footprints(probability, grid, FootprintRules(min_area_m2=just_below, method="contour"))) == 2
    for min_area_m2, left in ((97, 2), (103, 1), (124, 0)):
        assert len(extract_footprints(probability, grid, FootprintRules(min_area_m2=min_area_m2))) == left


def test_simplification_takes_the_steps_out_of_a_slanted_wall():
    rows, cols = np.indices((60, 60))
    probability = np.where((cols > rows * 0.4 + 5) & (cols < rows * 0.4 + 25) & (rows > 5) & (rows < 50), 255, 1)
    (polygon,) = polygonize_probability(probability.astype(np.uint8), METRE, method="contour")
    assert shapely.get_num_coordinates(polygon) < 12
    assert polygon.area == pytest.approx((probability == 255).sum(), rel=0.03)


def test_empty_and_bad_input():
    assert len(polygonize_probability(np.ones((4, 4), np.uint8), METRE)) == 0
    assert len(extract_footprints(np.ones((4, 4), np.uint8), Grid(UTM, METRE, (4, 4)), FootprintRules())) == 0
    assert len(polygonize_probability(np.full((4, 4), 255, np.uint8), METRE, min_area_m2=17)) == 0
    with pytest.raises(InputError, match="uint8"):
        polygonize_probability(np.ones((4, 4)), METRE)
    with pytest.raises(InputError, match="shape"):
        extract_footprints(np.ones((4, 4), np.uint8), Grid(UTM, METRE, (4, 5)), FootprintRules())
    with pytest.raises(InputError, match="transform"):
        polygonize_probability(np.ones((4, 4), np.uint8), Affine(1, 0, 0, 0, 0, 0))
    with pytest.raises(ConfigError, match="min_hole_m2"):
        FootprintRules(min_hole_m2=-1)
    with pytest.raises(ConfigError, match="method"):
        FootprintRules(method="orthogonal")
    with pytest.raises(ConfigError, match="threshold"):
        FootprintRules(threshold=50)


def test_buildings_told_apart_by_a_border_share_a_straight_wall():
    rows, cols = np.mgrid[:120, :160]
    across, along = 0.9 * cols + 0.44 * rows, -0.44 * cols + 0.9 * rows
    inside = (across > 40) & (across < 140) & (along > -10) & (along < 50)
    probability = np.where(inside, 230, 20).astype(np.uint8)
    border = np.where(inside & (np.abs(across - 92) < 1.5), 200, 10).astype(np.uint8)
    grid = Grid(CRS.from_epsg(32633), Affine(0.2, 0, 5e5, 0, -0.2, 5e6), probability.shape)
    labels = label_instances(probability, border)
    found = extract_footprints(probability, grid, FootprintRules(), labels=labels)
    a, b = found.geometries
    assert shapely.is_valid([a, b]).all()
    assert a.touches(b)
    assert a.intersection(b).length == pytest.approx(12, abs=0.5)
    assert shapely.get_num_coordinates([a, b]).tolist() == [5, 5]
    assert found.area_px.tolist() == [(labels == 1).sum(), (labels == 2).sum()]
    assert a.area + b.area == pytest.approx(inside.sum() * 0.04, rel=0.02)
    merged = extract_footprints(probability, grid, FootprintRules())
    assert merged.geometries[0].area == pytest.approx(a.area + b.area, rel=1e-3)


@pytest.mark.parametrize("method", ["regular", "contour"])
@pytest.mark.parametrize("corner", [(0, 0), (37, 90), (101, 5)])
def test_a_crop_gives_the_same_polygons_to_the_last_bit(method, corner):
    probability = np.clip(blobs(7, size=320, smooth=3.0), 41, 255) - 40  # islands
    row, col = corner
    crop = probability[row : row + 200, col : col + 190]
    whole = polygonize_probability(probability, Affine.identity(), method=method)
    part = polygonize_probability(crop, Affine.translation(col, row), method=method)
    halo = 40  # farther than any neighbour's reach
    inner = shapely.box(col + halo, row + halo, col + 190 - halo, row + 200 - halo)
    of_whole, of_part = (p[shapely.contains_properly(inner, p)] for p in (whole, part))
    assert len(of_whole) > 5
    assert shapely.to_wkb(of_whole).tolist() == shapely.to_wkb(of_part).tolist()


def test_a_crop_in_degrees_gives_the_same_polygons_in_its_pixels():
    probability = np.clip(blobs(8, size=240, smooth=3.0), 41, 255) - 40
    grid = Grid(CRS.from_epsg(4326), Affine(1.1e-5, 0, 24.3, 0, -6e-6, 60.2), probability.shape)
    box = Box(30, 20, 230, 220)
    crop = np.ascontiguousarray(probability[30:230, 20:220])
    rules = FootprintRules(min_area_m2=1)
    whole = draw_outlines(probability, GroundFrame.of_grid(grid), rules).resolved()
    part = draw_outlines(crop, GroundFrame.of_grid(grid.crop(box)), rules).resolved()
    theirs = shapely.transform(part.polygons, lambda xy: xy + np.array([20, 30]))
    inner = shapely.box(60, 70, 180, 190)
    of_whole, of_part = (p[shapely.contains_properly(inner, p)] for p in (whole.polygons, theirs))
    assert len(of_whole) > 5
    assert shapely.to_wkb(of_whole).tolist() == shapely.to_wkb(of_part).tolist()
