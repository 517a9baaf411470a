"""array.geoseg.predict: any georeferenced array, lazy or not, gives the maps that its file would."""

import numpy as np
import pytest
import rasterio

import geoseg.integrations.xarray  # noqa: F401  # registers .geoseg
from geoseg.errors import InputError
from geoseg.scenes.open import open_scene


def test_a_lazy_array_gives_the_maps_of_its_file(tiny_scene, tiny_bundle, finished_run):
    array = open_scene(tiny_scene).to_xarray(chunk_px=64)
    made = array.geoseg.predict(tiny_bundle)
    with rasterio.open(finished_run / "classes.tif") as src:
        np.testing.assert_array_equal(made["classes"].to_numpy(), src.read(1))
        assert made.rio.crs == src.crs
    assert made["classes"].attrs["flag_meanings"] == "background building"
    assert made["classes"].attrs["flag_values"].tolist() == [1, 2]
    plain = array.compute().to_dataset("band")
    assert plain.geoseg.scene().bands.names == ("red", "green", "blue")


def test_an_array_without_a_place_is_refused(tiny_scene):
    with pytest.raises(InputError, match="no CRS"):
        open_scene(tiny_scene).to_xarray().drop_vars("spatial_ref").geoseg.scene()
