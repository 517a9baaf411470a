"""Objects from boxes and regions from lines, on twenty toys: shapes on ground whose colours drift, in four bands."""

import numpy as np
import pytest
from scipy import ndimage

from geoseg.classical.grabcut import grabcut
from geoseg.classical.walker import walked

SIDE, BANDS, TOYS = 56, 4, range(20)


def toy(seed):
    """Return an image (4, H, W) and its object: a rectangle, an ellipse, an L, or a turned rectangle."""
    made = np.random.default_rng(seed)
    rows, cols = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    height, width = made.integers(9, 16, 2)
    turn = made.uniform(0, np.pi)
    along, across = rows * np.cos(turn) + cols * np.sin(turn), cols * np.cos(turn) - rows * np.sin(turn)
    rectangle = (abs(rows) < height) & (abs(cols) < width)
    mask = (
        rectangle,
        (rows / height) ** 2 + (cols / width) ** 2 <= 1,
        rectangle & ~((rows < 0) & (cols > 0)),
        (abs(along) < height) & (abs(across) < 2 * width / 3),
    )[seed % 4]
    ground = np.stack([6 * ndimage.gaussian_filter(made.normal(size=mask.shape), 3) for _ in range(BANDS)])
    colour = made.normal(size=BANDS)
    colour *= made.uniform(2.5, 4) / np.linalg.norm(colour)
    return ground + mask * colour[:, None, None] + made.normal(0, 0.8, (BANDS, *mask.shape)), mask


def iou(found, mask):
    return (found & mask).sum() / (found | mask).sum()


def test_objects_come_out_of_their_boxes():
    scores = []
    for image, mask in map(toy, TOYS):
        rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = np.zeros_like(mask)
        box[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
        scores.append(iou(grabcut(image, box, ~box), mask))
    assert min(scores) >= 0.85


def test_regions_come_out_of_lines():
    scores = []
    for image, mask in map(toy, TOYS):
        seeds = np.zeros(mask.shape, np.uint8)
        middle = int(np.flatnonzero(mask.sum(1) == mask.sum(1).max()).mean())
        seeds[middle, np.flatnonzero(mask[middle])[3:-3]] = 2
        seeds[4, 4:-4] = seeds[-4, 4:-4] = seeds[4:-4, 4] = 1
        found = walked(image, seeds)
        assert (found[seeds > 0] == seeds[seeds > 0]).all()
        scores.append(iou(found == 2, mask))
    assert min(scores) >= 0.9


def test_nothing_is_found_where_a_box_looks_as_its_surroundings_and_other_objects_say_nothing():
    image, mask = toy(0)
    empty = np.zeros_like(mask)
    empty[4:12, 4:12] = True
    near = ~ndimage.binary_dilation(mask, iterations=2)
    assert grabcut(image, empty, ~empty & near).mean() < 0.02
    box = ndimage.binary_dilation(mask, iterations=2)
    image[:, :, :10] = image[:, mask].mean(1)[:, None, None]  # another object of that colour beside it
    around = ~box
    around[:, :10] = False
    assert iou(grabcut(image, box, around), mask) >= 0.85


def test_marks_of_any_number_of_classes_and_none():
    image = np.repeat(np.arange(3.0), 10)[None, None].repeat(12, 1)
    seeds = np.zeros((12, 30), np.uint8)
    seeds[6, [4, 14, 24]] = 7, 3, 9
    found = walked(image, seeds)
    assert (found == np.repeat([7, 3, 9], 10)).all()
    assert (walked(image, found) == found).all()
    with pytest.raises(ValueError, match="no seed"):
        walked(image, np.zeros((12, 30), np.uint8))
