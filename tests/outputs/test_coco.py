"""COCO values of a raster of ids: pycocotools reads back the pixels that went in, whatever the blocks."""

import numpy as np
import pytest
from pycocotools import mask as coco

from geoseg.errors import ConfigError
from geoseg.outputs.coco import MOST_ID, Extents, category, masks, refuse_for_coco
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo

SHAPE = (37, 29)


def blocks(ids, side):
    return ((box, ids[box.within(Box(0, 0, *ids.shape))]) for box in Box(0, 0, *ids.shape).blocks(side))


def scattered():
    """Ids in pieces all over a raster, with columns that are one object from top to bottom, up to the last pixel."""
    ids = np.random.default_rng(0).choice(np.array([0, 3, 256, 257, 900], np.uint32), SHAPE)
    ids[:, 10:12] = 300
    ids[:, -1] = 301
    ids[2:5, 2:4] = 70_000
    return ids


@pytest.mark.parametrize("side", [1, 8, 64])
def test_masks_boxes_and_areas_are_those_that_pycocotools_makes_of_the_pixels(side):
    ids = scattered()
    extents = Extents.of(blocks(ids, side), SHAPE[0], 70_000)
    found = dict(masks(blocks(ids, side), extents, SHAPE))
    assert sorted(found) == [256, 257, 300, 301, 900, 70_000]
    for value, runs in found.items():
        packed, true = coco.frPyObjects(runs, *SHAPE), coco.encode(np.asfortranarray(ids == value))
        np.testing.assert_array_equal(coco.decode(packed), ids == value)
        segment = extents.segment(value, 4)
        assert segment["bbox"] == coco.toBbox(true).tolist()
        assert segment["area"] == coco.area(true) == coco.area(packed)
    assert extents.segment(3, 3)["area"] == (ids == 3).sum()


def test_a_raster_without_objects_has_no_masks():
    ids = np.full(SHAPE, 2, np.uint32)
    assert list(masks(blocks(ids, 8), Extents.of(blocks(ids, 8), SHAPE[0], 255), SHAPE)) == []


def test_what_coco_cannot_hold_is_refused():
    refuse_for_coco((65_535, 65_537), MOST_ID)
    with pytest.raises(ConfigError, match=r"object 16777216: COCO's panoptic files hold ids of 1\.\.16777215"):
        refuse_for_coco(SHAPE, MOST_ID + 1)
    with pytest.raises(ConfigError, match="65536 x 65536 px: COCO's masks"):
        refuse_for_coco((65_536, 65_536), 300)


def test_a_class_is_a_category():
    stuff = category(ClassInfo(2, "water", (70, 110, 200)), thing=False)
    assert stuff == {"id": 2, "name": "water", "supercategory": "stuff", "isthing": 0, "color": [70, 110, 200]}
