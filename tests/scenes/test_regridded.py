"""Bands of other pixel sizes on the scene's grid: by the definition of each rule, the same in every box."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.scenes import reading
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.regridded import Regridded
from geoseg.tiling.taps import AxisMap
from geoseg.values.box import Box
from geoseg.values.grid import Grid

FINE = Affine(10, 0, 6e5, 0, -10, 5e6)
COARSE = FINE @ Affine.scale(2)
SHAPE = (60, 90)
UTM = CRS.from_epsg(32632)


def write(path, data, transform=FINE, crs="EPSG:32632", **profile):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=data.shape[0], width=data.shape[1], dtype=data.dtype, crs=crs,
        transform=transform, **profile,
    ) as dst:  # fmt: skip
        dst.write(data, 1)
    return path


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def brought(tmp_path, coarse, *, rule, transform=COARSE, **profile):
    """Return what a scene of a fine band gives for a second band of other pixels, with its validity."""
    scene = open_scene(pair(tmp_path, coarse, transform=transform, **profile), resampling=rule)
    raster = read(scene, scene.grid.box)
    return raster.data[1], raster.valid


def pair(tmp_path, coarse, *, transform=COARSE, **profile):
    return [write(tmp_path / "B04.tif", noise(SHAPE)), write(tmp_path / "B05.tif", coarse, transform, **profile)]


# --- an axis


@given(
    length=st.integers(1, 30), start=st.integers(-40, 40), step=st.integers(1, 40), unit=st.integers(1, 12),
    rule=st.sampled_from(["nearest", "bilinear", "average"]), lo=st.integers(0, 20), n=st.integers(1, 20),
)  # fmt: skip
def test_weights_are_the_definition_s(length, start, step, unit, rule, lo, n):
    taps = AxisMap(length, start, step, unit).taps(lo, lo + n, rule)
    for row, i in enumerate(range(lo, lo + n)):
        first, last = (start + i * step) / unit, (start + (i + 1) * step) / unit
        found = np.zeros(length)
        np.add.at(found, taps.index[row] + taps.source[0], taps.weight[row])
        np.testing.assert_allclose(found, slow(first, last, length, rule), atol=1e-6)


def slow(first, last, length, rule):
    """Return the weights of the source pixels for a target pixel that covers [first, last) of them."""
    centre, cells = (first + last) / 2, np.arange(length)
    if rule == "average":
        return np.maximum(np.minimum(last, cells + 1) - np.maximum(first, cells), 0) / (last - first)
    if not 0 <= centre <= length:
        return np.zeros(length)
    if rule == "nearest":
        return (cells == min(int(np.floor(centre)), length - 1)).astype(float)
    return np.maximum(1 - np.abs(np.clip(centre - 0.5, 0, length - 1) - cells), 0)


# --- scenes


def test_nearest_repeats_and_average_means_pixels_that_nest(tmp_path):
    coarse = noise((30, 45), seed=1)
    data, valid = brought(tmp_path, coarse, rule="nearest")
    np.testing.assert_array_equal(data, coarse.repeat(2, 0).repeat(2, 1))
    assert valid.all()
    fine = noise((180, 270), seed=2)
    data, valid = brought(tmp_path, fine, rule="average", transform=FINE @ Affine.scale(1 / 3))
    np.testing.assert_array_equal(data, np.rint(fine.reshape(60, 3, 90, 3).mean((1, 3))))
    assert valid.all()


def test_a_plane_stays_a_plane_by_half_pixels(tmp_path):
    """Bilinear values lie where pixels' centres lie: a ramp over the ground has the same values on both grids."""
    rows, cols = np.mgrid[:30, :45] * 2.0 + 0.5  # centres of coarse pixels, in fine pixels from the first centre
    data, _ = brought(tmp_path, (3 * rows + 7 * cols).astype("float64"), rule="bilinear")
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_allclose(data[1:-1, 1:-1], (3.0 * rows + 7 * cols)[1:-1, 1:-1], atol=1e-9)


def test_a_panchromatic_grid_half_a_pixel_off(tmp_path):
    coarse = noise((30, 45), seed=3).astype("float32")
    half = FINE @ Affine.translation(-1, -1) @ Affine.scale(2)
    data, valid = brought(tmp_path, coarse, rule="bilinear", transform=half)
    # The scene's pixel (0, 1) is centred at row 0.75, column 1.25 of the coarse file.
    weights = np.array([[0.75 * 0.25, 0.75 * 0.75], [0.25 * 0.25, 0.25 * 0.75]])
    np.testing.assert_allclose(data[0, 1], (weights * coarse[:2, :2]).sum(), rtol=1e-6)
    assert valid[:59, :89].all()
    assert not valid[59].any()


@pytest.mark.parametrize("rule", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize("block_px", [7, 64, 256])
def test_every_box_gives_the_same_pixels(tmp_path, monkeypatch, rule, block_px):
    scene = open_scene(pair(tmp_path, noise((25, 41), seed=4), transform=FINE @ Affine.scale(2.4)), resampling=rule)
    whole = read(scene, scene.grid.box)
    monkeypatch.setattr(reading, "BLOCK_PX", block_px)
    rng = np.random.default_rng(block_px)
    for _ in range(20):
        (r0, r1), (c0, c1) = (sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in SHAPE)
        box = Box(r0, c0, r1, c1)
        part, crop = read(scene, box), read(scene.crop(box), Box(0, 0, *box.shape))
        for raster in (part, crop):
            np.testing.assert_array_equal(raster.data, whole.data[:, r0:r1, c0:c1])
            np.testing.assert_array_equal(raster.valid, whole.valid[r0:r1, c0:c1])


def test_masked_and_nodata_pixels_make_no_values(tmp_path):
    coarse = noise((30, 45), "int16", seed=5)
    coarse[3, 4], coarse[10:20, 10:20] = -99, -99
    data, valid = brought(tmp_path, coarse, rule="bilinear", nodata=-99)
    assert data[valid].min() > 0
    assert not valid[22:38, 22:38].any()
    assert valid[6:8, 8:10].all()  # made of its neighbours
    assert set(data[22:38, 22:38].ravel().tolist()) == {-99}


def test_what_lies_beyond_a_file_is_invalid(tmp_path):
    _, valid = brought(tmp_path, noise((10, 45)), rule="nearest")
    assert valid[:20].all()
    assert not valid[20:].any()


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (FINE @ Affine.rotation(5), "EPSG:32632"),
        (FINE @ Affine.scale(1, -1), "EPSG:32632"),
        (FINE @ Affine.scale(2), "EPSG:32633"),
        (FINE @ Affine.translation(500, 0), "EPSG:32632"),
        (FINE @ Affine.scale(1 / 500), "EPSG:32632"),
    ],
    ids=["turned", "upside down", "another CRS", "elsewhere", "far finer"],
)
def test_what_no_rule_brings_together_is_refused(tmp_path, transform, crs):
    with pytest.raises(InputError, match=r"B05.tif: its grid .*\(--warp-to EPSG:32632"):
        open_scene(pair(tmp_path, noise((30, 45)), transform=transform, crs=crs), resampling="nearest")


def test_a_rule_is_told_and_part_of_the_source(tmp_path):
    files = pair(tmp_path, noise((30, 45)))
    with pytest.raises(InputError, match="--resampling bilinear, nearest or average"):
        open_scene(files)
    scene = open_scene(files, resampling="bilinear")
    assert "20 x -20 are brought to those of" in scene.notes[0]
    other = open_scene(files, resampling="nearest")
    assert scene.sources[1] != other.sources[1]
    assert repr(scene.sources[1].placing) != repr(other.sources[1].placing)


def test_noise_in_a_transform_is_no_other_grid():
    fine, coarse = Grid(UTM, FINE, SHAPE), Grid(UTM, FINE @ Affine.scale(2.0000000001), (30, 45))
    exact = Regridded.between(replace(coarse, transform=FINE @ Affine.scale(2)), fine, "bilinear")
    assert Regridded.between(coarse, fine, "bilinear") == exact
