"""Training, validation and test ground share no pixel, not even through resampling or augmentation."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geoseg.errors import ConfigError
from geoseg.tiling.resample import Resampling
from geoseg.tiling.taps import source_box
from geoseg.training.areas import AreaPixels
from geoseg.training.augment import Recipe, random_window
from geoseg.training.data_spec import Cut, Split
from geoseg.training.samples import working_box
from geoseg.training.spec import Augmentation
from geoseg.training.split import split_scene
from geoseg.training.targets import BuildingTarget

cuts = st.builds(Cut, side=st.sampled_from(["north", "south", "east", "west"]), share=st.floats(0.05, 0.6))
splits = st.builds(Split, test=st.none() | cuts, validation=cuts, buffer_px=st.integers(0, 12))
shapes = st.tuples(st.integers(8, 90), st.integers(8, 90))


def areas_of(shape, split):
    try:
        return split_scene(shape, split)
    except ConfigError:
        assume(False)


def owners(shape, boxes):
    """How many boxes hold each pixel, and the pixels of each."""
    count = np.zeros(shape, int)
    for box in boxes:
        count[box.row0 : box.row1, box.col0 : box.col1] += 1
    return count


@given(shapes, splits)
def test_areas_share_no_pixel_and_keep_the_buffer(shape, split):
    areas = areas_of(shape, split)
    assert sorted(a.role for a in areas) == sorted(["train", "validation"] + ["test"] * (split.test is not None))
    assert owners(shape, [a.box for a in areas]).max() == 1
    for a in areas:
        assert a.box.clip(type(a.box)(0, 0, *shape)) == a.box
    for a in areas:
        for b in areas:
            if a.role != b.role:  # apart by the buffer along rows or along columns
                rows = max(a.box.row0, b.box.row0) - min(a.box.row1, b.box.row1)
                cols = max(a.box.col0, b.box.col0) - min(a.box.col1, b.box.col1)
                assert max(rows, cols) >= split.buffer_px


@given(shapes, splits, st.floats(0.1, 4), st.floats(0.1, 4))
def test_working_pixels_of_an_area_are_made_of_its_pixels_alone(shape, split, rows, cols):
    resampling = Resampling(shape, (max(1, round(shape[0] * rows)), max(1, round(shape[1] * cols))))
    used = []
    for area in areas_of(shape, split):
        try:
            box = working_box(area, resampling)
        except ConfigError:
            continue
        source = source_box(resampling.to_working(box))
        assert source.clip(area.box) == source
        used.append(source)
        if resampling.is_identity:
            assert box == area.box
    assert owners(shape, used).max(initial=0) <= 1


def test_a_bilinear_pixel_on_the_line_is_left_out():
    # At twice the resolution the first pixel inside an area mixes in a quarter of the pixel beside it.
    area = next(
        a for a in split_scene((1, 20), Split(validation=Cut(side="east", share=0.5), buffer_px=0)) if a.role == "train"
    )
    assert area.box.col1 == 10
    assert working_box(area, Resampling((1, 20), (1, 40))).col1 == 19
    assert working_box(area, Resampling((1, 20), (1, 10))).col1 == 5


def test_an_area_smaller_than_a_pixel_of_the_model_is_an_error():
    areas = split_scene((100, 100), Split(validation=Cut(side="east", share=0.05), buffer_px=10))
    validation = next(a for a in areas if a.role == "validation")
    with pytest.raises(ConfigError, match=r"validation area .* smaller than a pixel of the model"):
        working_box(validation, Resampling((100, 100), (10, 10)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_augmented_windows_see_their_area_alone(seed, height, width):
    """The area's pixels lie around 100; whatever else were read (zeros, neighbours) would show."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(90, 110, (2, height, width)).astype(np.float32)
    area = AreaPixels(image, np.ones((height, width), bool), np.zeros((height, width), np.int32))
    plain = Augmentation(gain=0, band_gain=0, offset=0, gamma=(1, 1), noise=0, blur=0, erase=0)
    mean, std = np.full(2, 100, np.float32), np.full(2, 20, np.float32)
    recipe = Recipe(64, plain, BuildingTarget(), mean, std, (mean - 2.5 * std, mean + 2.5 * std))
    window, *_ = random_window(area, recipe, rng)
    assert window.shape == (2, 64, 64)
    assert image.min() - 0.01 <= (window * 20 + 100).min()
    assert (window * 20 + 100).max() <= image.max() + 0.01


@pytest.mark.parametrize("side", ["north", "south", "east", "west"])
def test_a_strip_lies_on_its_side(side):
    validation = split_scene((40, 80), Split(validation=Cut(side=side, share=0.25), buffer_px=3))[0]
    expected = {"north": (0, 0, 10, 80), "south": (30, 0, 40, 80), "east": (0, 60, 40, 80), "west": (0, 0, 40, 20)}
    box = validation.box
    assert (box.row0, box.col0, box.row1, box.col1) == expected[side]


@pytest.mark.parametrize(("share", "buffer_px"), [(0.9, 10), (0.001, 0), (0.5, 50)])
def test_a_split_that_leaves_nothing_is_an_error(share, buffer_px):
    with pytest.raises(ConfigError, match="leave nothing of 60 px"):
        split_scene((60, 60), Split(validation=Cut(side="north", share=share), buffer_px=buffer_px))
