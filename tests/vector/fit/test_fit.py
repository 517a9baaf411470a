"""Shapes whose right polygon is known, drawn as exact pixel coverage."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints, polygonize_probability
from geoseg.vector.fit.costs import COARSE_MISFIT_COST, DIAGONAL_PENALTY, MISFIT_COST, first_costs, learnt_costs
from geoseg.vector.fit.fit import CIRCLE, FREE, ORTHO, UNCHANGED, _is_cheaper, _regular, fit_ring
from geoseg.vector.fit.ring import find_breaks, find_vertices, least_scatter, sample_ring, scatter
from geoseg.vector.fit.walls import best_walls, find_directions, free_axes
from geoseg.vector.footprints.extract import draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.subpixel import signed_area

PIXEL_M = 0.3
OVERSAMPLING = 8


def drawn(*shapes, size_m=100.0):
    """Coverage of each pixel by the shapes as probability, and the transform; north is up, (0, 0) is bottom left."""
    n = round(size_m / PIXEL_M)
    fine = Affine(PIXEL_M / OVERSAMPLING, 0, 0, 0, -PIXEL_M / OVERSAMPLING, n * PIXEL_M)
    covered = rasterize(shapes, out_shape=(n * OVERSAMPLING,) * 2, transform=fine, dtype=np.uint8)
    share = covered.reshape(n, OVERSAMPLING, n, OVERSAMPLING).mean((1, 3))
    return (1 + np.rint(share * 254)).astype(np.uint8), Affine(PIXEL_M, 0, 0, 0, -PIXEL_M, n * PIXEL_M)


def redrawn(*shapes, **options):
    probability, transform = drawn(*shapes)
    return polygonize_probability(probability, transform, **options)


def corners_of(polygon):
    return len(polygon.exterior.coords) - 1


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


ANGLES_DEG = np.random.default_rng(7).uniform(0, 90, 36)


@pytest.mark.parametrize("angle_deg", ANGLES_DEG)
def test_a_rectangle_at_any_angle_comes_back(angle_deg):
    truth = affinity.rotate(shapely.box(20.07, 40.12, 80.07, 60.12), angle_deg)
    (polygon,) = redrawn(truth)
    assert corners_of(polygon) == 4
    assert iou(polygon, truth) >= 0.995
    assert shapely.hausdorff_distance(polygon, truth) < 0.1


SHAPES = {
    "trapezoid": [(20, 30), (70, 30), (60, 60), (35, 60)],
    "triangle": [(20, 30), (75, 35), (40, 75)],
    "hexagon": [(50 + 25 * np.cos(a), 50 + 25 * np.sin(a)) for a in np.radians(np.arange(6) * 60 + 10)],
    "with a jog of two pixels": [(20, 30), (80, 30), (80, 60), (50, 60), (50, 60.9), (20, 60.9)],
    "with a chamfer": [(20, 30), (80, 30), (80, 60), (26, 60), (20, 54)],
    "L": [(20, 20), (70, 20), (70, 40), (45, 40), (45, 75), (20, 75)],
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("angle_deg", [0, 17.3])
def test_simple_shapes_keep_their_corners(name, angle_deg):
    truth = affinity.rotate(shapely.Polygon(SHAPES[name]), angle_deg)
    (polygon,) = redrawn(truth)
    assert corners_of(polygon) == len(SHAPES[name])
    assert iou(polygon, truth) >= 0.99


def test_a_silo_is_a_circle():
    truth = shapely.Point(50, 50).buffer(8, quad_segs=64)
    probability, transform = drawn(truth)
    found = extract_footprints(probability, Grid(CRS.from_epsg(32633), transform, probability.shape), FootprintRules())
    assert found.fit.status.tolist() == [CIRCLE]
    assert iou(found.geometries[0], truth) > 0.98
    assert found.geometries[0].area == pytest.approx(truth.area, rel=0.01)


def test_a_courtyard_is_kept_and_square_to_its_building():
    truth = affinity.rotate(shapely.box(20, 20, 80, 80).difference(shapely.box(35, 35, 62, 60)), 12)
    (polygon,) = redrawn(truth)
    assert len(polygon.interiors) == 1
    assert len(polygon.interiors[0].coords) == corners_of(polygon) + 1 == 5
    assert iou(polygon, truth) > 0.99


def test_status_deviation_and_iou_tell_how_good_a_fit_is():
    square, blob = shapely.box(10, 10, 30, 30), shapely.Point(70, 70).buffer(15)
    wavy = shapely.transform(blob.segmentize(0.3), lambda xy: xy + 1.5 * np.sin(xy[:, ::-1] / 2))
    probability, transform = drawn(square, wavy)
    grid = Grid(CRS.from_epsg(32633), transform, probability.shape)
    fit = extract_footprints(probability, grid, FootprintRules()).fit
    assert fit.status[1] == ORTHO
    assert fit.direction_deg[1] % 90 == pytest.approx(0, abs=0.1) or fit.direction_deg[1] == pytest.approx(90, abs=0.1)
    assert fit.iou_contour[1] > fit.iou_contour[0] > 0.85
    assert fit.deviation_m[0] < (4 + 0.02 * wavy.area**0.5 / PIXEL_M) * PIXEL_M
    strict = extract_footprints(probability, grid, FootprintRules(tolerance_m=0.0)).fit
    assert strict.status[0] in (FREE, UNCHANGED)
    assert strict.iou_contour[0] > 0.97


def test_pixels_that_are_not_square_give_the_same_building():
    truth = affinity.rotate(shapely.box(20, 40, 80, 60), 25)
    probability, transform = drawn(truth)
    wide = np.ascontiguousarray(probability[:, ::2])
    (polygon,) = polygonize_probability(wide, transform @ Affine.scale(2, 1))
    assert corners_of(polygon) == 4
    assert iou(affinity.translate(polygon, -PIXEL_M / 2), truth) > 0.97


def test_a_building_in_degrees_is_square_on_the_ground():
    truth = affinity.rotate(shapely.box(20, 40, 80, 60), 25)
    probability, transform = drawn(truth)
    per_m = np.array([1 / 55800, 1 / 111412])  # degrees per metre at 60 degrees north
    degrees = Affine.scale(*per_m) * transform
    grid = Grid(CRS.from_epsg(4326), Affine.translation(25, 60) * degrees, probability.shape)
    (polygon,) = extract_footprints(probability, grid, FootprintRules()).geometries
    assert corners_of(polygon) == 4
    back = shapely.transform(polygon, lambda xy: (xy - (25, 60)) / per_m)
    assert iou(back, truth) > 0.99


def test_buildings_with_noise_come_out_valid_and_apart():
    rng = np.random.default_rng(5)
    boxes = [
        affinity.rotate(shapely.box(x, y, x + rng.uniform(4, 9), y + rng.uniform(4, 9)), rng.uniform(0, 90))
        for x in range(5, 90, 11)
        for y in range(5, 90, 11)
    ]
    probability, transform = drawn(*boxes)
    noise = ndimage.gaussian_filter(rng.standard_normal(probability.shape), 1.5) * 300
    probability = np.clip(ndimage.gaussian_filter(probability.astype(float), 1.5) + noise, 1, 255).astype(np.uint8)
    polygons = polygonize_probability(probability, transform)
    assert len(polygons) > 50
    assert shapely.is_valid(polygons).all()
    assert shapely.STRtree(polygons).query(polygons, predicate="overlaps").size == 0


def test_a_polygon_inside_a_crop_is_the_same_polygon():
    rng = np.random.default_rng(6)
    boxes = [affinity.rotate(shapely.box(x, x * 0.7, x + 8, x * 0.7 + 6), 3 * x) for x in range(5, 90, 12)]
    probability, _ = drawn(*boxes)
    probability = np.clip(probability + rng.normal(0, 15, probability.shape), 1, 255).astype(np.uint8)
    pixels = Affine.identity()
    whole = {p.wkb for p in polygonize_probability(probability, pixels, min_area_m2=20)}
    for row, col in ((30, 10), (7, 40), (55, 23)):
        part = polygonize_probability(probability[row:, col:], pixels, min_area_m2=20)
        inside = [p for p in part if p.bounds[0] > 2 and p.bounds[1] > 2]
        assert len(inside) > 2
        assert {shapely.transform(p, lambda xy, o=(col, row): xy + o).wkb for p in inside} <= whole


def test_a_diagonal_penalty_squares_what_is_nearly_square():
    chamfered = shapely.Polygon([(20, 30), (80, 30), (80, 60), (21.8, 60), (20, 58.2)])
    probability, transform = drawn(chamfered)
    grid = Grid(CRS.from_epsg(32633), transform, probability.shape)
    corners = [
        corners_of(
            extract_footprints(probability, grid, FootprintRules(diagonal_penalty=penalty, detail="fine")).geometries[0]
        )
        for penalty in (0.0, 40.0)
    ]
    assert corners[0] == 5
    statuses = extract_footprints(probability, grid, FootprintRules(diagonal_penalty=40.0, detail="fine")).fit.status
    assert statuses.tolist() == [ORTHO]
    assert corners[1] % 2 == 0  # right angles only


def wobbling_ring(angle_deg, seed):
    """The contour of an L-shaped house of 26 x 18 px that strays by a pixel, evenly over some pixels."""
    corner = np.array([[0, 0], [26, 0], [26, 10], [16, 10], [16, 18], [0, 18], [0, 0]], np.float64)
    ends = np.concatenate([[0], np.cumsum(np.abs(np.diff(corner, axis=0)).sum(1))])
    along = np.arange(ends[-1])
    xy = np.column_stack([np.interp(along, ends, corner[:, i]) for i in (0, 1)])
    strays = ndimage.gaussian_filter1d(np.random.default_rng(seed).standard_normal(xy.shape), 3, axis=0, mode="wrap")
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return sample_ring(((xy + strays / strays.std()) @ turn).astype(np.float32), np.zeros(len(xy), np.bool_), 1.0, 1.0)


def test_of_two_first_descriptions_the_cheaper_outcome_counts():
    chosen = set()
    for seed in range(30):
        ring = wobbling_ring(7 * seed, seed)
        area, breaks = signed_area(ring.xy), find_breaks(ring, find_vertices(ring))
        coarse, fine = (
            best_walls(ring, breaks, free_axes(), first_costs(ring, cost)) for cost in (COARSE_MISFIT_COST, MISFIT_COST)
        )
        costs = learnt_costs(ring, coarse, free_axes())
        outcomes = [
            _regular(ring, area, breaks, find_directions(ring, walls, np.nan), costs, DIAGONAL_PENALTY)
            for walls in (coarse, fine)
        ]
        cheaper = int(_is_cheaper(outcomes[1], outcomes[0]))
        outline, _, direction, _ = fit_ring(ring, np.nan, 5.0, DIAGONAL_PENALTY)
        assert np.array_equal(outline, outcomes[cheaper].outline)
        assert direction == outcomes[cheaper].direction
        chosen.add(cheaper)
    assert chosen == {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_the_walls_are_the_cheapest_of_all(seed):
    ring = wobbling_ring(20 * seed, seed)
    breaks = find_breaks(ring, find_vertices(ring))
    costs = first_costs(ring, MISFIT_COST)
    ends = [*breaks.tolist(), len(ring.xy)]
    best = [(0.0, [])]
    for end in ends[1:]:
        choices = []
        for (cost, before), begin in zip(best, ends, strict=False):
            s = scatter(ring, begin, end)
            misfit = costs.misfit * ring.step * (end - begin) / s.n * least_scatter(s)
            choices.append((cost + misfit + costs.corner * (begin > 0), [*before, begin]))
        best.append(min(choices))
    assert best_walls(ring, breaks, free_axes(), costs).begin.tolist() == best[-1][1]


def test_what_nothing_fits_keeps_corners_of_its_contour_and_fewer():
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((80, 80)), 2)
    probability = np.pad(np.clip(np.rint((0.5 + 2 * noise) * 254) + 1, 1, 255), 1, constant_values=1).astype(np.uint8)
    rules = FootprintRules(tolerance_m=0.8)
    found = draw_outlines(probability, GroundFrame.of_metric(Affine.scale(1, -1)), rules)
    kept = np.flatnonzero(found.fit.status == UNCHANGED)
    assert len(kept) > 3
    assert (found.fit.deviation_m[kept] <= found.bound_m[kept]).all()
    assert (
        shapely.get_num_coordinates(found.polygons[kept]).sum()
        < shapely.get_num_coordinates(found.contours[kept]).sum() / 2
    )
    for polygon, contour in zip(found.polygons[kept], found.contours[kept], strict=True):
        corners = {tuple(xy) for xy in shapely.get_coordinates(shapely.Polygon(polygon.exterior)).tolist()}
        assert corners <= {tuple(xy) for xy in shapely.get_coordinates(contour).tolist()}


@pytest.mark.parametrize("side_px", [9, 11, 12])
def test_a_blurred_house_of_few_pixels_is_no_circle(side_px):
    house = np.zeros((30, 30))
    house[9 : 9 + side_px, 9 : 9 + side_px] = 1
    probability = 1 + np.rint(254 * ndimage.gaussian_filter(house, 2.5)).astype(np.uint8)
    found = draw_outlines(probability, GroundFrame.of_metric(Affine.scale(1, -1)), FootprintRules())
    assert found.fit.status.tolist() == [ORTHO]


def test_specks_are_rectangles_where_those_share_enough_with_them():
    noise = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((150, 150)), 2)
    share = 0.1 + 0.4 * noise / noise.std()
    probability = np.pad(np.clip(np.rint(share * 254) + 1, 1, 255), 1, constant_values=1).astype(np.uint8)
    found = draw_outlines(probability, GroundFrame.of_metric(Affine.scale(1, -1)), FootprintRules(min_area_m2=6))
    speck = found.components.area_px < 20
    corners = shapely.get_num_coordinates(found.polygons[speck]) - 1
    assert len(corners) > 30
    assert np.mean(corners == 4) > 0.8
    assert np.mean(found.fit.status[speck] == UNCHANGED) < 0.15  # a third where contours take their place
    assert found.fit.iou_contour[speck].min() >= 0.8
