"""Buildings cut off by the scene's edge, pixels without data or the AOI: they go up to the cut, which says nothing."""

import numpy as np
import pytest
import shapely
from affine import Affine
from scipy import ndimage
from shapely import affinity

from geoseg.vector.footprints.extract import FootprintRules, draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.cuts import cut_lines, find_cuts
from geoseg.vector.pixels.runs import inside_runs
from geoseg.vector.pixels.subpixel import trace_rings

SIZE = 90
FRAME = GroundFrame.of_metric(Affine(0.5, 0, 0, 0, -0.5, 0))
HOUSE = affinity.rotate(shapely.box(25, 30, 65, 54), 24)
ROWS, COLS = np.indices((SIZE, SIZE)) + 0.5
CUTS = {"edge": COLS < 45, "nodata": ROWS > 36, "aoi": COLS + 0.4 * ROWS < 70}


def bytes_of(shape):
    """Coverage by a shape in pixels, blurred as a network would."""
    steps = (np.arange(4) + 0.5) / 4
    inside = [shapely.contains_xy(shape, COLS - 0.5 + x, ROWS - 0.5 + y) for x in steps for y in steps]
    return 1 + np.rint(254 * ndimage.gaussian_filter(np.mean(inside, axis=0), 1)).astype(np.uint8)


def seen(name):
    """The ground of a cut in pixels: its pixels with the straight line along them."""
    return {
        "edge": shapely.box(0, 0, 45, SIZE),
        "nodata": shapely.box(0, 36, SIZE, SIZE),
        "aoi": shapely.Polygon([(0, 0), (70, 0), (70 - 0.4 * SIZE, SIZE), (0, SIZE)]),
    }[name]


def drawn(probability, name, labels=None):
    """Outlines of what is seen of a raster; at the edge nothing else is there."""
    probability = np.where(CUTS[name], probability, 0).astype(np.uint8)
    if name == "edge":
        probability, labels = probability[:, :45], None if labels is None else labels[:, :45]
    return draw_outlines(probability, FRAME, FootprintRules(detail="fine"), labels=labels).resolved()


@pytest.mark.parametrize("name", CUTS)
def test_a_building_goes_straight_up_to_a_cut_with_its_own_directions(name):
    found, ground = drawn(bytes_of(HOUSE), name), seen(name)
    (polygon,), truth = found.polygons, HOUSE.intersection(ground)
    assert len(polygon.exterior.coords) == len(truth.exterior.coords)
    assert shapely.hausdorff_distance(polygon, truth) < 0.1
    beyond = polygon.difference(ground).area
    assert beyond <= (0.5 if name == "aoi" else 0.0)
    assert found.fit.direction_deg[0] == pytest.approx(24, abs=0.6)
    assert found.fit.status[0] == 0  # ortho, whatever the cut's direction


@pytest.mark.parametrize("name", CUTS)
def test_touching_buildings_go_up_to_a_cut_and_share_their_wall(name):
    half = shapely.box(0, 42, 90, 90) if name == "edge" else shapely.box(25, 0, 45, 90)  # both halves meet the cut
    half = affinity.rotate(half, 24, origin=(45, 42))
    probability, labels = bytes_of(HOUSE), np.where(shapely.contains_xy(half, COLS, ROWS), 1, 2)
    found, ground = drawn(probability, name, np.where(probability >= 128, labels, 0).astype(np.int32)), seen(name)
    assert len(found) == 2
    assert shapely.coverage_is_valid(found.polygons)
    whole, truth = shapely.union_all(found.polygons), HOUSE.intersection(ground)
    assert shapely.hausdorff_distance(whole, truth) < 0.4
    beyond = whole.difference(ground).area
    assert beyond <= (2.0 if name == "aoi" else 0.0)
    np.testing.assert_allclose(found.fit.direction_deg, 24, atol=1.0)


def test_a_cut_is_where_pixels_without_data_begin():
    probability = np.ones((6, 8), np.uint8)
    probability[1:4, 2:6], probability[:, 5:7] = 255, 0
    rings = trace_rings(probability, inside_runs(probability, 128), 128)
    (line,) = cut_lines(rings, find_cuts(probability, rings), np.array([0]))
    assert sorted(line.coords) == [(5, 1.5), (5, 2.5), (5, 3.5)]
    probability[probability == 0] = 1
    rings = trace_rings(probability, inside_runs(probability, 128), 128)
    assert not find_cuts(probability, rings).any()
