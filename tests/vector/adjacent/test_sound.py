"""What compiled code finds surely valid, and what it leaves to GEOS."""

import numpy as np
import shapely
from shapely import box

from geoseg.vector.adjacent import sound
from geoseg.vector.adjacent.loops import Loops


def test_validity_is_that_of_geos_and_most_rings_are_not_asked_for(monkeypatch):
    draw = np.random.default_rng(0)
    angles = np.sort(draw.uniform(0, 2 * np.pi, (300, 7)), axis=1)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * draw.uniform(2, 10, (300, 7, 1))
    turned = corners[:150]
    turned[:, 3:5] = turned[:, 4:2:-1]  # half of them may cross themselves
    asked, is_valid = [], shapely.is_valid
    truth = is_valid(shapely.polygons(corners))
    monkeypatch.setattr(sound.shapely, "is_valid", lambda shapes: asked.extend(shapes) or is_valid(shapes))
    found = sound.are_valid(Loops.of(shapely.polygons(corners)))
    assert (found == truth).all()
    assert 20 < (~truth).sum() < len(asked) + 1 < 1.2 * (~truth).sum()


def test_holes_corners_that_meet_and_walls_there_and_back_are_left_to_geos():
    court = box(0, 0, 9, 9) - box(3, 3, 6, 6)
    pinched = shapely.Polygon([(0, 0), (4, 4), (8, 0), (8, 8), (4, 4), (0, 8)])
    spike = shapely.Polygon([(0, 0), (4, 0), (4, 4), (4, 9), (4, 4), (0, 4)])
    polygons = np.array([court, pinched, spike, box(0, 0, 1, 1)], object)
    assert sound.are_valid(Loops.of(polygons)).tolist() == [True, False, False, True]
    assert sound._surely_valid(Loops.of(polygons)).tolist() == [False, False, False, True]
