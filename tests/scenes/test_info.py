import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import rasterio.shutil
from affine import Affine
from conftest import write_tif

from geoseg.cli import main
from geoseg.scenes.describe import describe
from geoseg.scenes.open import open_scene


def test_bands_grid_and_storage_are_told(tiny_scene):
    facts = describe(open_scene(tiny_scene))
    wavelengths = {b["name"]: b["wavelength_nm"] for b in facts["bands"]}
    assert wavelengths == {"red": 665.0, "green": 560.0, "blue": 490.0}
    assert (facts["grid"]["height_px"], facts["grid"]["width_px"]) == (160, 192)
    assert facts["grid"]["crs"] == "EPSG:32645"
    assert facts["grid"]["bounds"] == [3e5, 3.06e6 - 80, 3e5 + 96, 3.06e6]
    assert facts["grid"]["transform"] == [0.5, 0, 3e5, 0, -0.5, 3.06e6]
    assert not facts["grid"]["rotated"]
    assert facts["dtype"] == "uint8"
    assert facts["files"][0]["masks"] == []


def test_the_ground_resolution_is_true_in_web_mercator_and_degrees(tmp_path):
    data = np.zeros((1, 40, 40), np.uint8)
    mercator = write_tif(tmp_path / "m.tif", data, crs="EPSG:3857", transform=Affine(2, 0, 0, 0, -2, 8_399_737.9))
    assert describe(open_scene(mercator))["ground_resolution_m"] == pytest.approx([1.0, 1.0], rel=0.01)  # 60° north
    degrees = write_tif(tmp_path / "d.tif", data, crs="EPSG:4326", transform=Affine(1e-4, 0, 10, 0, -1e-4, 60))
    height, width = describe(open_scene(degrees))["ground_resolution_m"]
    assert (height, width) == pytest.approx((11.14, 5.58), rel=0.01)


def test_masks_scales_overviews_and_odd_grids_are_told(tmp_path):
    import rasterio

    data = np.ones((2, 512, 512), np.int16)
    path = write_tif(
        tmp_path / "s.tif", data, nodata=-9999, transform=Affine(0.5, 0.1, 3e5, 0.1, 0.5, 3.06e6), compress="deflate",
        tiled=True, blockxsize=256, blockysize=128,
    )  # fmt: skip
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = (0.5, 1.0), (3.0, 0.0)
        dst.build_overviews([2, 4])
    facts = describe(open_scene(path))
    assert (facts["bands"][0]["scale"], facts["bands"][0]["offset"], facts["bands"][0]["nodata"]) == (0.5, 3.0, -9999)
    assert facts["grid"]["rotated"]
    assert facts["grid"]["south_up"]
    (file,) = facts["files"]
    assert (file["compression"], file["block_px"], file["overviews"]) == ("deflate", [128, 256], [2, 4])
    assert file["masks"] == ["nodata"]


def test_alpha_and_mask_bands_are_told_apart(tmp_path):
    import rasterio

    rgba = write_tif(tmp_path / "a.tif", np.ones((4, 8, 8), np.uint8), photometric="RGB", alpha="YES")
    facts = describe(open_scene(rgba))
    assert len(facts["bands"]) == 3
    assert facts["files"][0]["masks"] == ["alpha"]
    masked = write_tif(tmp_path / "m.tif", np.ones((3, 8, 8), np.uint8), photometric="RGB")
    with rasterio.open(masked, "r+") as dst:
        dst.write_mask(np.eye(8, dtype=bool))
    assert describe(open_scene(masked))["files"][0]["masks"] == ["mask band"]


def test_nodata_nan_is_json(tmp_path, capsys):
    path = write_tif(tmp_path / "n.tif", np.ones((1, 8, 8), np.float32), nodata=float("nan"))
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bands"][0]["nodata"] == "nan"


def test_the_table_names_sensor_bands_and_metres(tmp_path, capsys):
    files = [write_tif(tmp_path / f"S2_{b}.tif", np.ones((1, 8, 8), np.uint16)) for b in ("B02", "B08")]
    assert main(["info", *map(str, files), "--sensor", "sentinel-2"]) == 0
    out = capsys.readouterr().out
    for part in ("8 rows x 8 columns, 2 bands, uint16", "EPSG:32645", "UTM zone 45N", "0.5", "B08", "832.8", "no mask"):
        assert part in out


@pytest.mark.parametrize("shape", [(2**31 - 1, 10), (10, 2**31 - 1), (10**9, 10**9)])
def test_a_look_at_a_scene_takes_the_same_memory_whatever_its_size(tmp_path, shape):
    band = '<VRTRasterBand dataType="Byte" band="1"/>'
    path = tmp_path / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{shape[1]}" rasterYSize="{shape[0]}"><SRS>EPSG:32645</SRS>'
        f"<GeoTransform>5e5, 1e-4, 0, 3e6, 0, -1e-4</GeoTransform>{band}</VRTDataset>"
    )
    scene = replace(open_scene(path), block=(1, shape[1]))  # as a file in strips
    tracemalloc.start()
    facts = describe(scene)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts["ground_area_ha"] == pytest.approx(shape[0] * shape[1] * 1e-12, rel=2e-3)
    assert peak < 2**27


def test_formats_with_words_of_their_own_are_described(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8), photometric="RGB")
    rasterio.shutil.copy(path, tmp_path / "a.mrf", driver="MRF")
    assert describe(open_scene(tmp_path / "a.mrf"))["files"][0]["driver"] == "MRF"
