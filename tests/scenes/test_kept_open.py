"""Files that are read in many pieces are opened once, and give what they give when they are opened for each piece."""

import numpy as np
import pytest
from conftest import write_tif

from geoseg.scenes import kept_open, sample
from geoseg.scenes.kept_open import KeptOpen
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import open_raster, read
from geoseg.values.box import Box

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 700, 300), np.uint8)
LARGE = np.random.default_rng(1).integers(20, 230, (3, 1500, 1450), np.uint8)
BOXES = [Box(row, 0, row + 200, 300) for row in range(0, 600, 100)]


class Counted:
    """Opens rasters and remembers them."""

    def __init__(self):
        self.opened = []

    def __call__(self, path):
        self.opened.append(open_raster(path))
        return self.opened[-1]


def test_boxes_of_a_file_kept_open_are_those_of_one_opened_for_each(tmp_path):
    scene, counted = open_scene(write_tif(tmp_path / "a.tif", PIXELS, photometric="RGB")), Counted()
    with KeptOpen(counted) as opener:
        for box in BOXES:
            kept, own = read(scene, box, opener=opener), read(scene, box)
            assert np.array_equal(kept.data, own.data)
            assert np.array_equal(kept.valid, own.valid)
    assert len(counted.opened) == 1
    assert counted.opened[0].closed


def test_one_that_raises_is_closed_and_opened_anew(tmp_path):
    path, counted = str(write_tif(tmp_path / "a.tif", PIXELS, photometric="RGB")), Counted()
    opener = KeptOpen(counted)
    with pytest.raises(ValueError, match="broken"), opener(path):
        raise ValueError("broken")
    with opener(path) as src:
        assert src.read(1).shape == (700, 300)
    assert [src.closed for src in counted.opened] == [True, False]


def test_those_that_were_used_last_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_open, "MOST", 2)
    files = [str(write_tif(tmp_path / f"{name}.tif", PIXELS, photometric="RGB")) for name in "abc"]
    opener = KeptOpen(Counted())
    for file in (files[0], files[1], files[0], files[2]):
        with opener(file):
            pass
    assert list(opener._held) == [files[0], files[2]]


def test_a_look_at_a_large_scene_opens_its_file_once_a_thread(tmp_path, monkeypatch):
    stored = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    scene, counted = open_scene(write_tif(tmp_path / "a.tif", LARGE, photometric="RGB", **stored)), Counted()
    monkeypatch.setattr(sample, "open_raster", counted)
    assert len(sample.sample(scene).data) == sample.PATCHES**2
    assert len(counted.opened) == sample.READERS
