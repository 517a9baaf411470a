"""Areas on disk: windows are those of the same pixels in memory, and the cache keeps to its limit."""

from mmap import mmap

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.training import areas, stream
from geoseg.training.areas import AreaPixels, Places
from geoseg.training.augment import Recipe, random_window
from geoseg.training.samples import Survey
from geoseg.training.spec import Augmentation
from geoseg.training.stream import BlockCache, BlockStore, StreamedArea
from geoseg.training.targets import IGNORE, UNKNOWN, BuildingTarget
from geoseg.values.box import Box
from geoseg.values.grid import Grid

SHAPE = (100, 150)
MEAN, STD = np.full(2, 100, np.float32), np.full(2, 20, np.float32)
TARGET = BuildingTarget(border_m=2.0)
GRID = Grid(CRS.from_epsg(32645), Affine(1, 0, 5e5, 0, -1, 3.06e6), (120, 160))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in (areas, stream):
        monkeypatch.setattr(module, "BLOCK_PX", 32)
    monkeypatch.setattr(areas, "CELL_PX", 16)
    monkeypatch.setattr(areas.blocks, "__defaults__", (32,))


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (10, 15)), np.ones((10, 10), np.int32)).astype(np.int32)
    valid = rng.random(SHAPE) < 0.95
    labels[:, 70:90] = UNKNOWN
    image = np.where(valid, rng.uniform(60, 140, (2, *SHAPE)), 0).astype(np.float32)
    return AreaPixels(image, valid, np.where(valid, labels, UNKNOWN).astype(np.int32), gsd_m=1.0, site="a")


def streamed(pixels, cache, read=None):
    def image(box):  # the area begins at (7, 3) of its working grid
        if read is not None:
            read.append(box)
        part = pixels.read(box.shifted(-7, -3))
        return part.image, part.valid

    def labels(box):
        return pixels.read(box.shifted(-7, -3)).labels

    box = Box(0, 0, *SHAPE).shifted(7, 3)
    return StreamedArea.drawn(image, labels, box, TARGET, grid=GRID, store=BlockStore(), cache=cache, site="a")


@pytest.mark.parametrize("scale", [(0.3, 0.5), (0.8, 1.3), (1.0, 1.0)])
def test_windows_from_disk_are_those_of_memory(pixels, scale):
    area = streamed(pixels, BlockCache(limit=30_000))
    recipe = Recipe(64, Augmentation(scale=scale), TARGET, MEAN, STD, (MEAN - 50, MEAN + 50))
    for seed in range(12):
        there, here = (random_window(a, recipe, np.random.default_rng(seed)) for a in (area, pixels))
        np.testing.assert_array_equal(there[1], here[1])
        np.testing.assert_allclose(there[0], here[0], atol=1e-4)


def test_the_cache_keeps_to_its_limit_and_reads_what_it_holds_once(pixels):
    read = []
    area = streamed(pixels, BlockCache(limit=40_000), read)
    area.read()
    assert area.cache._bytes <= 40_000
    read.clear()
    for _ in range(3):
        area.read(Box(40, 40, 60, 60))
    assert len(read) <= 1


def test_labels_are_counted_as_they_are_shown_and_drawn_evenly(pixels):
    area = streamed(pixels, BlockCache())
    shown = TARGET.labels(pixels.labels, gsd_m=1.0)
    expected = np.bincount(shown[shown != IGNORE], minlength=3)
    places = Places(area, TARGET)
    np.testing.assert_array_equal(places.counts, expected)
    rng = np.random.default_rng(1)
    for channel in (None, 0, 1, 2):
        drawn = [places.draw(rng, channel=channel) for _ in range(300)]
        found = np.array([shown[int(r), int(c)] for r, c in drawn])
        assert (found != IGNORE).all()
        if channel is not None:
            assert (found == channel).all()
        else:
            assert np.abs(np.bincount(found, minlength=3) / 300 - expected / expected.sum()).max() < 0.1


def test_the_survey_is_that_of_all_pixels(pixels):
    found = Survey.of([streamed(pixels, BlockCache()), pixels])
    values = np.concatenate([pixels.image[:, pixels.valid]] * 2, 1).astype(np.float64)
    np.testing.assert_array_equal(found.count, values.shape[1])
    np.testing.assert_allclose(found.mean, values.mean(1), rtol=1e-9)
    np.testing.assert_allclose(found.spread, values.std(1), rtol=1e-9)


def test_pixels_of_the_cache_lie_in_pages_of_their_own(pixels):
    """On the heap they leave holes when they are dropped: it grew by as much as the cache holds."""
    area = streamed(pixels, BlockCache())
    whole = area._block(Box(0, 0, 32, 32))
    assert all(isinstance(_root(array), mmap) for array in (whole.image, whole.valid, whole.labels))


def _root(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array.obj if isinstance(array, memoryview) else array


def test_an_area_that_is_dropped_leaves_nothing_to_the_next_one(pixels):
    cache, store = BlockCache(), BlockStore()

    def drawn(known):
        labels, box = np.where(known, pixels.labels, UNKNOWN), Box(0, 0, *SHAPE)
        area = StreamedArea.drawn(
            lambda part: (pixels.read(part).image, pixels.read(part).valid), lambda part: labels[part.within(box)], box,
            TARGET, grid=GRID, store=store, cache=cache,
        )  # fmt: skip
        return area.counts.sum()

    right = drawn(known=True)
    assert right > 0
    assert [int(drawn(known=known)) for known in (False, True) * 10] == [0, right] * 10
