"""Rules over reflectance go the way of every model: the same bytes in any chunks, and refusals with a way on."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg import RunOptions, predict
from geoseg.errors import InputError
from geoseg.scenes.open import open_scene

NAMES = ("blue", "green", "red", "nir", "swir16")


def write(path, values, dtype):
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[2], height=values.shape[1], count=5, dtype=dtype, tiled=True,
        blockxsize=256, blockysize=256, crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6),
    ) as out:  # fmt: skip
        out.write(values.astype(dtype))
        out.descriptions = NAMES
    return path


@pytest.fixture(scope="module")
def reflectance():
    """(5, 560, 530): a patchwork of spectra between black and bright."""
    rng = np.random.default_rng(0)
    return np.kron(rng.uniform(0, 0.6, (5, 56, 53)), np.ones((10, 10))).astype(np.float32)


def test_chunks_and_the_way_numbers_are_stored_change_no_class(tmp_path, reflectance):
    coded = write(tmp_path / "coded.tif", np.round(reflectance * 10000) + 1000, "uint16")
    plain = write(tmp_path / "plain.tif", np.round(reflectance * 10000) / 10000, "float32")
    runs = {
        "whole": predict(coded, "spectral", tmp_path / "whole", options=RunOptions(chunk_px=1024)),
        "chunks": predict(coded, "spectral", tmp_path / "chunks", options=RunOptions(chunk_px=512)),
        "plain": predict(plain, "spectral", tmp_path / "plain", options=RunOptions(chunk_px=512)),
    }
    whole = (tmp_path / "whole" / "classes.tif").read_bytes()
    assert whole == (tmp_path / "chunks" / "classes.tif").read_bytes()
    maps = [rasterio.open(run.folder / "classes.tif").read(1) for run in runs.values()]
    assert (maps[0] == maps[2]).mean() > 0.999  # float32 rounds them otherwise at a threshold
    assert len(np.unique(maps[0])) == 5
    assert any("+ 1000" in note for note in runs["whole"].run["plan"]["notes"])


def test_bytes_are_refused_with_the_ways_to_say_what_they_mean(tmp_path, reflectance):
    scene = open_scene(write(tmp_path / "bytes.tif", reflectance * 255, "uint8"))
    with pytest.raises(InputError, match=r"takes reflectance 0 to 1; .*--scale 0.0001 --offset -0.1"):
        predict(scene, "spectral", tmp_path / "out")
