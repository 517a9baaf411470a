"""Images without any place: maps and polygons in pixel coordinates where --no-crs says so."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.cli import main
from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate import evaluate
from geoseg.options.scene import SceneOptions
from geoseg.outputs.class_raster import ClassRaster
from geoseg.outputs.run_json import RunJson
from geoseg.outputs.stac_item import stac_item
from geoseg.scenes.open import open_scene
from geoseg.scenes.raster_grid import raster_grid
from geoseg.scenes.xarray_view import to_xarray

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def image(tmp_path, tiny_scene):
    """The tiny scene as a PNG."""
    with rasterio.open(tiny_scene) as src:
        data = src.read()
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=192, height=160, count=3, dtype="uint8") as dst:
        dst.write(data)
    return tmp_path / "a.png"


def test_maps_and_polygons_are_in_pixel_coordinates(tmp_path, image, tiny_scene, tiny_bundle):
    flags = ["-m", str(tiny_bundle), "--split", "none", "--device", "cpu", "-q"]
    assert main(["buildings", str(image), "-o", str(tmp_path / "out"), "--no-crs", *flags]) == 0
    assert main(["buildings", str(tiny_scene), "-o", str(tmp_path / "true"), *flags]) == 0
    assert main(["check", str(tmp_path / "out")]) == 0
    with rasterio.open(tmp_path / "out/classes.tif") as found, rasterio.open(tmp_path / "true/classes.tif") as true:
        assert (found.crs, found.transform) == (None, Affine.identity())
        np.testing.assert_array_equal(found.read(), true.read())
        to_pixels = ~true.transform
    drawn, wanted = (gpd.read_file(tmp_path / folder / "buildings.gpkg") for folder in ("out", "true"))
    assert drawn.crs is None
    assert len(drawn) == len(wanted) > 0
    assert drawn.area_m2.sum() == pytest.approx(
        wanted.area_m2.sum(), rel=5e-3
    )  # half a metre, as the model was trained
    shape = list(to_pixels)[:2] + list(to_pixels)[3:5] + [to_pixels.c, to_pixels.f]
    np.testing.assert_allclose(
        drawn.total_bounds[[0, 2]], wanted.affine_transform(shape).total_bounds[[0, 2]], atol=0.6
    )
    assert open_scene(tmp_path / "out/classes.tif").grid.has_place is False
    assert evaluate(tmp_path / "out", tmp_path / "out/classes.tif").as_json()["classes"][-1]["iou"] == 1
    item = stac_item(RunJson.read(tmp_path / "out"), name="out")
    assert (item["geometry"], item["properties"]["proj:code"], "bbox" in item) == (None, None, False)
    with pytest.raises(InputError, match="the image has no place"):
        evaluate(tmp_path / "out", tmp_path / "true/buildings.gpkg")


@pytest.mark.nightly
def test_maps_without_a_place_go_on(tmp_path, image, tiny_bundle):
    out, drawn = tmp_path / "out", tmp_path / "v.gpkg"
    flags = ["-m", str(tiny_bundle), "--split", "none", "--device", "cpu", "-q", "--report"]
    assert main(["buildings", str(image), "-o", str(out), "--no-crs", *flags]) == 0
    assert main(["check", str(out)]) == 0
    wanted = gpd.read_file(out / "buildings.gpkg", layer="buildings").area_m2.sum()
    for flags in (["--class-id", "2"], ["--kind", "coverage"]):
        assert main(["vectorize", str(out / "classes.tif"), "-o", str(drawn), *flags, "--overwrite"]) == 0
        again = gpd.read_file(drawn)
        assert again.crs is None
        assert again[again["class_name"] == "building"].area_m2.sum() == pytest.approx(wanted, rel=0.05)
        scores = evaluate(out, drawn, column="class_name", errors=tmp_path / f"errors{len(flags[0])}.tif")
        assert scores.as_json()["classes"][-1]["iou"] > 0.9


def test_rasters_without_a_place_are_refused_where_nothing_says_their_pixels(tmp_path, image):
    mask = tmp_path / "mask.tif"
    with rasterio.open(mask, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as dst:
        dst.write(np.eye(8, dtype=np.uint8), 1)
        dst.update_tags(GEOSEG_PIXEL_M="-3")
    with pytest.raises(InputError, match="says '-3' of its pixels"):
        ClassRaster.open(mask)
    with rasterio.open(mask, "r+") as dst:
        dst.update_tags(GEOSEG_PIXEL_M="0.3")
    assert ClassRaster.open(mask).grid.ground_resolution_m() == pytest.approx((0.3, 0.3), rel=1e-6)
    with rasterio.open(image) as src, pytest.raises(InputError, match="no CRS; set it"):
        raster_grid(src)


def test_a_place_is_never_guessed(tmp_path, image, tiny_scene):
    with pytest.raises(InputError, match=r"no geotransform.*--no-crs"):
        open_scene(image)
    with pytest.raises(InputError, match="has a place, EPSG:32645; leave --no-crs out"):
        open_scene(tiny_scene, no_crs=True)
    with pytest.raises(ConfigError, match="pixel_m is for images without a place"):
        SceneOptions(pixel_m=0.5)
    scene = open_scene(image, no_crs=True, pixel_m=0.25)
    assert scene.grid.ground_resolution_m() == pytest.approx((0.25, 0.25), rel=1e-6)
    assert to_xarray(scene).rio.crs is None
