"""The lazy scene equals what is read, is chunked by native blocks, and works with rioxarray."""

import dask
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.xarray_view import to_xarray

NORTH_UP = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)


def write(path, data, *, transform=NORTH_UP, **profile):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2], dtype=data.dtype,
        crs="EPSG:32645", transform=transform, **profile,
    ) as dst:  # fmt: skip
        dst.write(data)
        dst.scales, dst.offsets = [0.5] * len(data), [10.0] * len(data)
    return path


@pytest.fixture
def scene(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (3, 150, 210), np.uint8)
    data[:, 20:30, 40:50] = 0
    path = write(
        tmp_path / "a.tif",
        data,
        nodata=0,
        tiled=True,
        blockxsize=64,
        blockysize=32,
        photometric="RGB",
        compress="deflate",
    )
    return open_scene(path)


def test_it_is_the_scene_lazily(scene):
    lazy = to_xarray(scene, chunk_px=60)
    raster = read(scene, scene.grid.box)
    assert (lazy.dims, lazy.dtype, lazy.band.values.tolist()) == (("band", "y", "x"), "uint8", ["red", "green", "blue"])
    assert lazy.chunks == ((3,), (64, 64, 22), (64, 64, 64, 18))  # whole blocks, all bands
    np.testing.assert_array_equal(lazy.values, raster.data)
    np.testing.assert_array_equal(lazy.sel(band="green")[20:90, 33:100].values, raster.data[1, 20:90, 33:100])


def test_masked_is_physical_and_nan_where_invalid(scene):
    masked = to_xarray(scene, masked=True)
    raster = read(scene, scene.grid.box)
    assert masked.dtype == np.float32
    assert np.isnan(masked.rio.nodata)
    np.testing.assert_array_equal(np.isnan(masked.values[0]), ~raster.valid)
    np.testing.assert_array_equal(masked.values[:, raster.valid], raster.data[:, raster.valid] * 0.5 + 10)


def test_graphs_are_equal_and_hold_no_pixels(scene):
    keys = [sorted(map(str, dict(to_xarray(scene).__dask_graph__()))) for _ in range(2)]
    assert keys[0] == keys[1]
    assert to_xarray(scene).name == to_xarray(scene).name
    assert to_xarray(scene, masked=True).data.name != to_xarray(scene).data.name
    with dask.config.set(scheduler="sync"):
        assert to_xarray(scene)[:, :3, :3].compute().shape == (3, 3, 3)


def test_rio_accessors(scene):
    lazy = to_xarray(scene)
    assert lazy.rio.crs == scene.grid.crs
    assert lazy.rio.transform() == scene.grid.transform
    assert lazy.rio.bounds() == pytest.approx(scene.grid.bounds)
    assert lazy.rio.nodata == 0
    left, _, _, top = scene.grid.bounds
    part = lazy.rio.clip([shapely.box(left + 5, top - 20, left + 25, top - 10)])
    assert part.shape == (3, 20, 40)
    np.testing.assert_array_equal(part.values, read(scene, scene.grid.box).data[:, 20:40, 10:50])
    assert lazy.rio.reproject("EPSG:4326").rio.crs.to_epsg() == 4326


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_thin_scenes(tmp_path, shape):
    scene = open_scene(write(tmp_path / "a.tif", np.ones((2, *shape), np.uint16)))
    lazy = to_xarray(scene)
    assert lazy.shape == (2, *shape)
    assert lazy.rio.bounds() == pytest.approx(scene.grid.bounds)
    assert (lazy.values == 1).all()


def test_a_rotated_scene_is_placed_by_its_transform(tmp_path):
    transform = NORTH_UP @ Affine.rotation(30)
    scene = open_scene(write(tmp_path / "a.tif", np.ones((2, 8, 9), np.uint16), transform=transform))
    lazy = to_xarray(scene)
    assert lazy.rio.transform().almost_equals(transform)
    assert "x" not in lazy.coords
    assert (lazy.values == 1).all()
