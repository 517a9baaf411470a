"""Coverages: against rasterio's polygons, GEOS's judge of coverages, and shapes that are hard to trace."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.features import rasterize, shapes
from test_coverage_runs import runs_of

from geoseg.errors import ConfigError
from geoseg.values.grid import Grid
from geoseg.vector.coverage.coverage import Coverage, CoverageRules, extract_coverage

STEP_M = 2.0
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))
NOISE = arrays(np.uint8, SIZES, elements=st.integers(0, 3))
BLOCKS = arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 3)).map(
    lambda a: np.kron(a, np.ones((3, 4), np.uint8))
)


def grid_of(shape: tuple[int, int]) -> Grid:
    return Grid(CRS.from_epsg(32633), Affine(STEP_M, 0, 500_000, 0, -STEP_M, 5_000_000), shape)


def coverage_of(classes, valid=None, **rules) -> Coverage:
    return extract_coverage(runs_of(classes, valid), grid_of(classes.shape), CoverageRules(**rules))


def polygons_of(coverage: Coverage, *, max_points: int = 2**18) -> np.ndarray:
    return np.concatenate([np.empty(0, object), *(p.geometries() for _, p in coverage.batches(max_points))])


def assert_tiles(polygons: np.ndarray, area_m2: float | None = None) -> None:
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert (shapely.area(polygons) > 0).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    if area_m2 is not None:
        assert shapely.area(polygons).sum() == pytest.approx(area_m2, rel=1e-12)
        assert shapely.union_all(polygons).area == pytest.approx(area_m2, rel=1e-12)


@given(NOISE | BLOCKS, st.data())
def test_exact_polygons_are_those_of_rasterio_and_tile_the_scene(classes, data):
    valid = data.draw(st.none() | arrays(np.bool_, classes.shape))
    grid = grid_of(classes.shape)
    found = coverage_of(classes, valid)
    polygons = polygons_of(found)
    assert_tiles(polygons, (classes.size if valid is None else valid.sum()) * STEP_M**2)
    assert (shapely.area(polygons) == found.area_px * STEP_M**2).all()
    by_value = sorted(zip(found.value.tolist(), shapely.area(polygons), shapely.length(polygons), strict=True))
    theirs = [(int(v), shapely.geometry.shape(g)) for g, v in shapes(classes, mask=valid, transform=grid.transform)]
    assert by_value == sorted((value, g.area, g.length) for value, g in theirs)
    if len(found):
        numbers = zip(polygons, range(1, len(found) + 1), strict=True)
        drawn = rasterize(numbers, classes.shape, transform=grid.transform, dtype=np.int32)
        assert [int(np.flatnonzero(drawn == i)[0]) for i in range(1, len(found) + 1)] == sorted(
            int(np.flatnonzero(drawn == i)[0]) for i in range(1, len(found) + 1)
        )  # in raster order of their first pixels
        np.testing.assert_array_equal(found.value[drawn[drawn > 0] - 1], classes[drawn > 0])
        assert ((drawn > 0) == (True if valid is None else valid)).all()


@given(
    NOISE | BLOCKS,
    st.booleans(),
    st.sampled_from([0.0, 5.0, 20.0, 100.0]),
    st.sampled_from([1.0, 2.0, 3.1, 8.0, 1000.0]),
    st.integers(0, 2**32 - 1),
)
def test_plainer_polygons_still_tile_the_scene_within_the_tolerance(classes, holes, min_area_m2, tolerance_m, seed):
    valid = np.random.default_rng(seed).random(classes.shape) < 0.9 if holes else None
    exact = coverage_of(classes, valid, min_area_m2=min_area_m2)
    plain = coverage_of(classes, valid, min_area_m2=min_area_m2, tolerance_m=tolerance_m)
    assert plain.value.tolist() == exact.value.tolist()
    before, after = polygons_of(exact), polygons_of(plain)
    assert_tiles(after, None if holes else classes.size * STEP_M**2)
    assert shapely.get_num_interior_rings(after).tolist() == shapely.get_num_interior_rings(before).tolist()
    if len(after):
        strays = shapely.hausdorff_distance(shapely.boundary(after), shapely.boundary(before))
        assert strays.max() <= tolerance_m * 1.001  # UTM: 0.04 % off true metres here


@given(BLOCKS, st.integers(1, 40))
def test_batches_change_nothing(classes, max_points):
    found = coverage_of(classes, tolerance_m=3.0)
    whole, parts = polygons_of(found), polygons_of(found, max_points=max_points)
    assert shapely.to_wkb(whole).tolist() == shapely.to_wkb(parts).tolist()


def checkerboard(n: int) -> np.ndarray:
    return (np.indices((n, n)).sum(0) % 2).astype(np.uint8)


def nested(n: int) -> np.ndarray:
    """Squares in squares, of classes in turn."""
    i, j = np.indices((n, n))
    return (np.minimum(np.minimum(i, j), np.minimum(n - 1 - i, n - 1 - j)) % 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("classes", "polygons", "holes"),
    [
        (np.ones((1, 1), np.uint8), 1, 0),
        (np.ones((7, 13), np.uint8), 1, 0),
        (checkerboard(9), 81, 0),
        (nested(11), 6, 5),
        (np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8), 3, 1),  # a hole that touches its shell in one point
        (np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], np.uint8), 3, 2),  # holes that touch
        (np.eye(6, dtype=np.uint8), 8, 0),
    ],
)
@pytest.mark.parametrize("tolerance_m", [0.0, 4.0])
def test_shapes_that_are_hard_to_trace(classes, polygons, holes, tolerance_m):
    found = polygons_of(coverage_of(classes, tolerance_m=tolerance_m))
    assert_tiles(found, classes.size * STEP_M**2)
    assert (len(found), shapely.get_num_interior_rings(found).sum()) == (polygons, holes)


def test_a_slanted_border_becomes_one_line_and_the_scene_keeps_its_corners():
    rows, cols = np.indices((40, 60))
    classes = (cols > rows + 10).astype(np.uint8)
    exact, plain = (polygons_of(coverage_of(classes, tolerance_m=t)) for t in (0.0, STEP_M))
    assert shapely.get_num_coordinates(exact).sum() > 150
    assert shapely.get_num_coordinates(plain).sum() <= 12
    assert shapely.equals(shapely.union_all(plain), shapely.box(*shapely.total_bounds(exact)))


def test_lone_pixels_stay_squares():
    classes = np.zeros((20, 20), np.uint8)
    classes[3::5, 3::5] = 1
    found = coverage_of(classes, tolerance_m=50.0)
    small = polygons_of(found)[found.value == 1]
    assert set(shapely.get_num_coordinates(small)) == {5}
    assert set(shapely.area(small)) == {STEP_M**2}


def test_shared_corners_are_bit_equal_on_a_turned_grid():
    grid = Grid(CRS.from_epsg(32633), Affine(1.7, 0.3, 500_000.1, -0.4, -1.9, 5_000_000.7), (30, 30))
    classes = np.random.default_rng(3).integers(0, 3, grid.shape, np.uint8)
    found = extract_coverage(runs_of(classes), grid, CoverageRules(tolerance_m=2.0))
    polygons = polygons_of(found, max_points=7)
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(900 * abs(grid.transform.determinant))


def test_tolerance_is_in_metres_where_the_crs_is_in_degrees():
    rows, cols = np.indices((60, 60))
    classes = (cols > rows).astype(np.uint8)
    grid = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 10, 0, -1e-4, 60), classes.shape)  # 11 m high, 6 m wide
    counts = [
        shapely.get_num_coordinates(polygons_of(extract_coverage(runs_of(classes), grid, CoverageRules(tolerance_m=t))))
        for t in (1.0, 6.0)
    ]
    assert counts[0].sum() > 200
    assert counts[1].sum() < 16


def test_rules_refuse_what_makes_no_sense():
    for wrong in ({"min_area_m2": -1.0}, {"tolerance_m": np.nan}, {"tolerance_m": np.inf}):
        with pytest.raises(ConfigError, match="0 or more"):
            CoverageRules(**wrong)
