"""Least areas hold for what is written, whatever fits, cuts and trimming made of it."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from test_buildings import HOUSE, drawing, drawn, town

from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints
from geoseg.vector.ground import geodesic_area_m2

UTM = CRS.from_epsg(32633)


def holes_of(geometries):
    rings, owner = shapely.get_rings(shapely.get_parts(geometries), return_index=True)
    return shapely.polygons(rings[np.diff(owner, prepend=-1) == 0])


def overlap(geometries):
    return shapely.area(geometries).sum() - shapely.area(shapely.union_all(geometries))


@pytest.mark.parametrize("method", ["regular", "contour"])
@pytest.mark.parametrize("split", [False, True])
def test_no_smaller_polygon_and_no_smaller_hole_is_written(method, split):
    rules = FootprintRules(min_area_m2=60, min_hole_m2=25, method=method, split_necks=split, tolerance_m=3)
    table = drawn(drawing(town(3, smooth=2, share=0.5), rules=rules, tile_px=90))
    polygons = shapely.from_wkb(table["geom"].to_pylist())
    assert len(polygons) > 15
    assert min(table["area_m2"].to_pylist()) >= 60
    assert geodesic_area_m2(holes_of(polygons), UTM).min() >= 25
    assert shapely.is_valid(polygons).all()
    assert overlap(polygons) == pytest.approx(0, abs=1e-6)
    assert set(table["class_id"].to_pylist()) == {HOUSE.id}


def labelled():
    """A house of 30 x 30 m with a shed of 4 x 4 m at its wall, and one of 3 x 3 m in its middle."""
    probability, labels = np.ones((50, 50), np.uint8), np.zeros((50, 50), np.int32)
    probability[10:40, 5:35] = probability[20:24, 35:39] = 255
    labels[10:40, 5:35], labels[20:24, 35:39], labels[22:25, 15:18] = 1, 2, 3
    return probability, labels


def test_what_a_block_is_split_into_is_left_out_where_it_is_too_small():
    probability, labels = labelled()
    grid = Grid(UTM, Affine(1, 0, 5e5, 0, -1, 5e6), probability.shape)
    for rules, count, area in (
        (FootprintRules(), 3, 916),
        (FootprintRules(min_area_m2=12), 2, 907),
        (FootprintRules(min_area_m2=20), 1, 891),
        (FootprintRules(min_area_m2=20, min_hole_m2=12), 1, 900),
    ):
        found = extract_footprints(probability, grid, rules, labels=labels)
        assert len(found) == count, rules
        assert shapely.is_valid(found.geometries).all()
        assert overlap(found.geometries) == pytest.approx(0, abs=1e-6)
        assert shapely.area(found.geometries).sum() == pytest.approx(area, abs=6), rules
        assert (found.fit.iou_contour > 0.8).all()
