"""Products as they are delivered, made up here with the layout and the metadata of true ones."""

import tarfile
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import write_tif

from geoseg.errors import InputError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read

NAME = "S2A_MSIL2A_20240503T101031_N0510_R022_T33UUP_20240503T160000"
SIZES = {
    "R10m": (10, 24, ("B02", "B03", "B04", "B08")),
    "R20m": (20, 12, ("B05", "B11", "B02")),
    "R60m": (60, 4, ("B01",)),
}
VALUE = 3000


def place(size, east=3e5):
    return Affine(size, 0, east, 0, -size, 5.9e6)


def band(path, size, side, value, *, east=3e5, dtype="uint16"):
    """Write a JPEG 2000 file of one value, whose name GDAL needs not know."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.full((1, side, side), value, dtype)
    return write_tif(path, data, crs="EPSG:32633", transform=place(size, east))


def safe(folder, *, level="2A", offset=-1000, east=3e5):
    """Make a SAFE folder: the layout of ESA's, of one granule."""
    root = folder / f"{NAME.replace('2A_2024', f'{level}_2024')}.SAFE"
    granule, images = "GRANULE/L2A_T33UUP_A046_20240503T101034", []
    for res, (size, side, bands) in SIZES.items():
        for name in bands:
            inner = f"{granule}/IMG_DATA/" + (
                f"{res}/T33UUP_20240503_{name}_{size}m" if level == "2A" else f"T33_{name}"
            )
            if level == "1C" and inner in images:
                continue
            images.append(inner)
            band(root / f"{inner}.jp2", size, side, VALUE + 10 * size, east=east)
    if level == "2A":
        images.append(f"{granule}/IMG_DATA/R20m/T33UUP_20240503_SCL_20m")
        classes = np.full((1, 12, 12), 4, np.uint8)
        classes[0, :3, :3] = 9  # cloud
        write_tif(root / f"{images[-1]}.jp2", classes, crs="EPSG:32633", transform=place(20, east))
    kind, quantity = ("BOA", "BOA_QUANTIFICATION_VALUE") if level == "2A" else ("RADIO", "QUANTIFICATION_VALUE")
    adds = "".join(f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>' for i in range(13))
    listed = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    (root / f"MTD_MSIL{level}.xml").write_text(
        f'<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/x.xsd"><n1:General_Info>'
        f"<Product_Info><PRODUCT_START_TIME>2024-05-03T10:10:31.024Z</PRODUCT_START_TIME><PROCESSING_BASELINE>05.10"
        f"</PROCESSING_BASELINE><Granule_List>{listed}</Granule_List></Product_Info><Product_Image_Characteristics>"
        f"<QUANTIFICATION_VALUES_LIST><{quantity} unit='none'>10000</{quantity}></QUANTIFICATION_VALUES_LIST>"
        f"<{kind}_ADD_OFFSET_VALUES_LIST>{adds if offset else ''}</{kind}_ADD_OFFSET_VALUES_LIST>"
        f"</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>"
    )
    return root


def physical(scene):
    raster = read(scene, scene.grid.box)
    return dict(zip(scene.bands.names, scene.physical(raster.data.astype(np.float32)), strict=True)), raster.valid


@pytest.mark.parametrize(("level", "offset"), [("2A", -1000), ("1C", -1000), ("2A", 0)])
def test_a_safe_is_one_grid_of_reflectance_with_the_offset_of_its_metadata(tmp_path, level, offset):
    scene = open_scene(safe(tmp_path, level=level, offset=offset))
    assert scene.bands.names == ("B01", "B02", "B03", "B04", "B05", "B08", "B11")
    assert scene.grid.shape == (24, 24)
    assert scene.bands[3].wavelength_nm == 664.6
    values, valid = physical(scene)
    assert valid.all()
    for name, size in (("B01", 60), ("B02", 10), ("B11", 20)):
        np.testing.assert_allclose(values[name], (VALUE + 10 * size + offset) / 1e4, atol=1e-6)
    assert f"level {level}, baseline 05.10: reflectance is (value + {offset}) / 10000" in scene.notes[0]


def test_the_scene_classification_masks_where_that_is_asked_for(tmp_path):
    scene = open_scene(safe(tmp_path), mask_quality=True)
    valid = physical(scene)[1]
    assert not valid[:6, :6].any()
    assert valid.sum() == 24 * 24 - 36
    assert any(name.endswith("SCL_20m.jp2") for name in scene.inputs)


def test_zips_metadata_files_and_folders_of_products_are_taken(tmp_path):
    root = safe(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip", "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, f"{root.name}/{file.relative_to(root)}")
    plain = physical(open_scene(root))[0]
    for path in (tmp_path / f"{NAME}.zip", root / "MTD_MSIL2A.xml", tmp_path / "a"):
        np.testing.assert_array_equal(physical(open_scene(path))[0]["B11"], plain["B11"])


def test_two_products_are_a_mosaic(tmp_path):
    safe(tmp_path / "x", east=3e5).rename(tmp_path / "a.SAFE")
    safe(tmp_path / "y", east=3e5 + 240, offset=0).rename(tmp_path / "b.SAFE")
    scene = open_scene(tmp_path / "*.SAFE", mask_quality=True)
    assert scene.grid.shape == (24, 48)
    values, valid = physical(scene)
    np.testing.assert_allclose(values["B05"][valid & (np.arange(48) < 24)], 0.22, atol=1e-6)
    np.testing.assert_allclose(values["B05"][valid & (np.arange(48) >= 24)], 0.32, atol=1e-6)
    assert (~valid).sum() == 2 * 36


def test_a_products_own_quality_band_masks_each_date_by_itself(tmp_path):
    may, june = safe(tmp_path / "may"), safe(tmp_path / "june", offset=0)
    classes = next(june.rglob("*SCL_20m.jp2"))
    with rasterio.open(classes, "r+") as dst:
        dst.write(np.full((1, 12, 12), 4, np.uint8))
    scene = open_scene([f"2024-06-01={june}", f"2024-05-03={may}"], mask_quality=True)
    values, valid = physical(scene)
    assert valid.all()
    assert np.isnan(values["B05@1"]).sum() == 36
    np.testing.assert_allclose(values["B05@2"], 0.32, atol=1e-6)
    assert sum(name.endswith("SCL_20m.jp2") for name in scene.inputs) == 2


def test_a_safe_with_files_missing_is_refused(tmp_path):
    root = safe(tmp_path)
    next(root.rglob("*B08_10m.jp2")).unlink()
    with pytest.raises(InputError, match=r"B08_10m\.jp2 is missing, though the metadata lists it"):
        open_scene(root)
    (root / "MTD_MSIL2A.xml").write_text("<cut")
    with pytest.raises(InputError, match="no metadata of Sentinel-2"):
        open_scene(root)
    (root / "MTD_MSIL2A.xml").unlink()
    with pytest.raises(InputError, match=r"MTD_MSIL2A\.xml or MTD_MSIL1C\.xml is missing"):
        open_scene(root)
    with pytest.raises(InputError, match=r"is named as another band \(\w+\) of the ground of .*; name the files"):
        open_scene(next(root.glob("GRANULE/*/IMG_DATA")))
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no end")
    with pytest.raises(InputError, match=r"cut\.zip: an archive that cannot be read"):
        open_scene(tmp_path / "cut.zip")
    with pytest.raises(InputError, match="level 1C has no scene classification"):
        open_scene(safe(tmp_path / "c", level="1C"), mask_quality=True)


LANDSAT = "LC09_L2SP_193023_20240503_20240505_02_T1"


def landsat(folder, *, level=2):
    """Make a folder of a Landsat product of Collection 2."""
    folder.mkdir()
    files = {f"BAND_{n}": f"{LANDSAT}_{'SR_' if level == 2 else ''}B{n}.TIF" for n in range(1, 8)}
    files["QUALITY_L1_PIXEL"] = f"{LANDSAT}_QA_PIXEL.TIF"
    for key, name in files.items():
        band(folder / name, 30, 16, 21824 if "QA" in name else 10000 + int(key[-1]))
    with rasterio.open(folder / files["QUALITY_L1_PIXEL"], "r+") as dst:
        quality = dst.read(1)
        quality[:2, :2] = 22280  # a cloud
        quality[4, 4] = 23888  # its shadow
        dst.write(quality, 1)
    contents = "".join(f'    FILE_NAME_{key} = "{name}"\n' for key, name in files.items())
    one, two = (
        "".join(f"    REFLECTANCE_{k}_BAND_{n} = {v}\n" for n in range(1, 8) for k, v in values.items())
        for values in ({"MULT": "2.0000E-05", "ADD": -0.1}, {"MULT": "2.75e-05", "ADD": -0.2})
    )
    surface = (
        f"  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS\n{two}  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS\n"
    )
    (folder / f"{LANDSAT}_MTL.txt").write_text(
        f"GROUP = LANDSAT_METADATA_FILE\n  GROUP = PRODUCT_CONTENTS\n{contents}  END_GROUP = PRODUCT_CONTENTS\n"
        f'  GROUP = IMAGE_ATTRIBUTES\n    SPACECRAFT_ID = "LANDSAT_9"\n    SUN_ELEVATION = 30.0\n'
        f"    DATE_ACQUIRED = 2024-05-03\n  END_GROUP = IMAGE_ATTRIBUTES\n{surface if level == 2 else ''}"
        f"  GROUP = LEVEL1_RADIOMETRIC_RESCALING\n{one}  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING\n"
        f"END_GROUP = LANDSAT_METADATA_FILE\nEND\n"
    )
    return folder


@pytest.mark.parametrize(("level", "value"), [(2, 10004 * 2.75e-5 - 0.2), (1, (10004 * 2e-5 - 0.1) / 0.5)])
def test_landsat_has_the_scales_of_its_level(tmp_path, level, value):
    scene = open_scene(landsat(tmp_path / LANDSAT, level=level))
    assert scene.bands.names == ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
    assert scene.bands[3].wavelength_nm == 654.6
    np.testing.assert_allclose(physical(scene)[0]["B4"], value, atol=1e-6)


def test_a_tar_of_landsat_masks_by_its_bits(tmp_path):
    folder = landsat(tmp_path / LANDSAT)
    with tarfile.open(tmp_path / f"{LANDSAT}.tar", "w") as tar:
        for file in folder.iterdir():
            tar.add(file, file.name)
    valid = physical(open_scene(tmp_path / f"{LANDSAT}.tar", mask_quality=True))[1]
    assert (~valid).sum() == 5
    (folder / f"{LANDSAT}_SR_B5.TIF").unlink()
    with pytest.raises(InputError, match=r"SR_B5\.TIF is missing"):
        open_scene(folder)
    (folder / f"{LANDSAT}_MTL.txt").unlink()
    with pytest.raises(InputError, match=r"_MTL\.txt is missing; .* name band files one by one"):
        open_scene(folder)


def test_planetscope_is_masked_by_its_usable_data_mask(tmp_path):
    name, data = "20240503_101500_12_2460_3B", np.full((8, 8, 8), 2000, np.uint16)
    write_tif(tmp_path / f"{name}_AnalyticMS_SR_8b_clip.tif", data, nodata=0)
    clear = np.ones((8, 8, 8), np.uint8)
    clear[0, :2] = 0
    write_tif(tmp_path / f"{name}_udm2_clip.tif", clear)
    scene = open_scene(tmp_path, mask_quality=True)
    assert scene.bands.names == ("CB", "B", "GI", "G", "Y", "R", "RE", "N")
    values, valid = physical(scene)
    assert (~valid).sum() == 16
    np.testing.assert_allclose(values["N"], 0.2)
    (tmp_path / f"{name}_udm2_clip.tif").unlink()
    with pytest.raises(InputError, match="no usable data mask"):
        open_scene(tmp_path, mask_quality=True)
    (tmp_path / f"{name}_AnalyticMS_SR_8b_clip.tif").rename(tmp_path / f"{name}_udm2_clip.tif")
    with pytest.raises(InputError, match=r"udm2_clip\.tif has no image beside it"):
        open_scene(tmp_path)
