"""Scenes of every kind that files come in, read as rasterio reads them, and the errors of those that cannot be used."""

import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from geoseg.errors import ConfigError, InputError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import _nodata_mask, read
from geoseg.values.bands import BandSet
from geoseg.values.box import Box

NORTH_UP = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
SHAPE = (37, 53)


def write(path, data, *, colors=None, names=None, crs="EPSG:32645", transform=NORTH_UP, mask=None, **profile):
    """Write (C, H, W) data with what a file may say of its bands."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2], dtype=data.dtype,
        crs=crs, transform=transform, **profile,
    ) as dst:  # fmt: skip
        dst.write(data)
        if colors:
            dst.colorinterp = [ColorInterp[c] for c in colors]
        for i, name in enumerate(names or (), 1):
            dst.set_band_description(i, name)
        if mask is not None:
            dst.write_mask(mask)
    return path


def noise(dtype, bands=3, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 1000, (bands, *shape)).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, (bands, *shape), kind, endpoint=True)


def whole(scene):
    return read(scene, scene.grid.box)


@pytest.fixture
def rgb(tmp_path):
    return write(tmp_path / "rgb.tif", noise("uint8"), photometric="RGB")


TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
LAYOUTS = {
    "strips": {},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"},
    "planar": {"interleave": "band", "compress": "lzw"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_and_layout_is_read_as_rasterio_reads_it(tmp_path, dtype, layout):
    path = write(tmp_path / "a.tif", noise(dtype), **LAYOUTS[layout])
    scene = open_scene(path)
    assert (scene.dtype, scene.grid.shape, scene.grid.transform) == (dtype, SHAPE, NORTH_UP)
    box = Box(3, 17, 36, 50)
    raster = read(scene, box)
    with rasterio.open(path) as src:
        np.testing.assert_array_equal(raster.data, src.read(window=((3, 36), (17, 50))))
        assert scene.block == src.block_shapes[0]
    assert raster.valid.all()
    assert raster.grid == scene.grid.crop(box)
    assert raster.data.dtype == dtype


def test_single_bits_and_single_pixels(tmp_path):
    bits = noise("uint8", 1) % 2
    path = write(tmp_path / "bits.tif", bits, nbits=1)
    np.testing.assert_array_equal(whole(open_scene(path)).data, bits)
    one = write(tmp_path / "one.tif", noise("uint16", 3, (1, 1)))
    assert whole(open_scene(one)).data.shape == (3, 1, 1)


MASKS = {  # file's dtype, nodata tag, other ways to mask
    "black bytes": ("uint8", 0, None),
    "white bytes": ("uint8", 255, None),
    "shorts": ("int16", -9999, None),
    "NaN": ("float32", np.nan, None),
    "floats": ("float32", -3.4e38, None),
    "alpha": ("uint8", None, "alpha"),
    "alpha of shorts": ("uint16", None, "alpha"),
    "alpha and nodata": ("uint8", 0, "alpha"),
    "mask": ("uint8", None, "mask"),
    "mask file": ("int16", None, "msk"),
    "mask and nodata": ("uint16", 0, "mask"),
}


@pytest.mark.parametrize("case", MASKS)
def test_what_is_masked_in_the_file_is_invalid(tmp_path, case):
    dtype, nodata, how = MASKS[case]
    data = np.clip(noise(dtype), 1, 200).astype(dtype)
    empty = np.zeros(SHAPE, bool)
    if nodata is not None:
        empty[5:9, 4:20] = True
        data[:, empty] = nodata
    hidden = np.zeros(SHAPE, bool)
    hidden[20:30, 30:50] = how is not None
    kept = np.where(hidden, 0, 255)
    if how == "alpha":
        data = np.concatenate([data, kept[None].astype(dtype)])
    options = {"nodata": nodata} if nodata is not None else {}
    colors = ["red", "green", "blue", "alpha"] if how == "alpha" else None
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how == "mask"):
        mask = kept.astype(np.uint8) if how in ("mask", "msk") else None
        path = write(tmp_path / "a.tif", data, colors=colors, mask=mask, **options)
    scene = open_scene(path)
    raster = whole(scene)
    assert len(scene.bands) == 3
    np.testing.assert_array_equal(raster.valid, ~empty & ~hidden)
    if "and" not in case:  # of two ways GDAL heeds one
        with rasterio.open(path) as src:
            np.testing.assert_array_equal(raster.valid, src.dataset_mask() > 0)


def test_nan_and_infinity_are_invalid_without_a_tag_or_beside_it(tmp_path):
    data = noise("float32", 2)
    data[0, 2, 3], data[1, 4, 5], data[0, 6, 7] = np.nan, np.inf, 0
    plain = whole(open_scene(write(tmp_path / "a.tif", data))).valid
    assert np.argwhere(~plain).tolist() == [[2, 3], [4, 5]]
    data[:, 6, 7] = 0
    tagged = whole(open_scene(write(tmp_path / "b.tif", data, nodata=0))).valid
    assert np.argwhere(~tagged).tolist() == [[2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("dtype", "values", "nodata", "invalid"),
    [
        ("uint8", (0, 90, 80), (0, 0, 0), False),  # a colour
        ("uint8", (0, 0, 0), (0, 0, 0), True),
        ("uint8", (255, 255, 254), (255, 255, 255), False),
        ("uint8", (255, 255, 255), (255, 255, 255), True),
        ("uint16", (65535, 9, 9), (65535, 65535, 65535), False),  # saturated in one band
        ("uint16", (0, 7, 7), (0, 0, 0), False),
        ("int16", (0, 7, 7), (0, 0, 0), False),
        ("float32", (0, 0.1, 0.1), (0, 0, 0), False),  # reflectance clamped to 0
        ("int16", (-9999, 7, 7), (-9999, -9999, -9999), True),  # nothing measures -9999
        ("float32", (1, 2, -9999), (-9999, -9999, -9999), True),
        ("uint8", (1, 7, 7), (1, 1, 1), True),
        ("uint8", (0, 7, 7), (0, 255, None), True),  # each band its own: each counts
        ("uint8", (0, 7, 7), (0, 0, None), True),
        ("uint8", (1, 7, 7), (-1, 256, np.nan), False),  # no byte holds these
        ("float32", (np.float32(-3.4028235e38), 1, 1), (-3.40282346639e38,) * 3, True),  # a tag written with 12 digits
    ],
)
def test_which_pixels_are_nodata(dtype, values, nodata, invalid):
    assert _nodata_mask(np.array(values, dtype)[:, None, None], nodata).tolist() == [[invalid]]


def test_nodata_override_masks_a_white_collar_but_no_saturated_band(tmp_path):
    data = np.clip(noise("uint8", 8), 0, 254)
    data[:, :, :6] = 255
    data[2, 30, 30] = 255
    path = write(tmp_path / "a.tif", data)
    assert whole(open_scene(path)).valid.all()
    valid = whole(open_scene(path, nodata=255)).valid
    assert not valid[:, :6].any()
    assert valid[:, 6:].all()


def test_a_tag_per_band_in_a_vrt(tmp_path, rgb):
    data = np.full((3, *SHAPE), 50, np.uint8)
    data[0, 1, 1], data[1, 2, 2], data[2, 3, 3] = 7, 7, 9
    write(rgb, data)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><NoDataValue>{n}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">rgb.tif</SourceFilename><SourceBand>{i}</SourceBand>'
        f"</SimpleSource></VRTRasterBand>"
        for i, n in ((1, 7), (2, 8), (3, 9))
    )
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}"><SRS>EPSG:32645</SRS>'
        f"<GeoTransform>3e5, 0.5, 0, 3.06e6, 0, -0.5</GeoTransform>{bands}</VRTDataset>"
    )
    assert np.argwhere(~whole(open_scene(vrt)).valid).tolist() == [[1, 1], [3, 3]]


def test_scale_and_offset_are_applied_on_demand(tmp_path):
    path = write(tmp_path / "a.tif", noise("int16", 2))
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = (1e-4, 2.0), (-0.1, 5.0)
    scene = open_scene(path)
    stored = whole(scene).data
    expected = stored * np.array([1e-4, 2.0])[:, None, None] + np.array([-0.1, 5.0])[:, None, None]
    np.testing.assert_allclose(scene.physical(stored.astype(np.float32)), expected, rtol=1e-5, atol=1e-6)
    turned = scene.select(BandSet.parse("a,b")).physical(stored.astype(np.float32))
    np.testing.assert_array_equal(turned, scene.physical(stored.astype(np.float32)))


# --- which band is which


def test_colours_name_bands_and_the_alpha_band_masks(tmp_path):
    path = write(tmp_path / "a.tif", noise("uint16", 4), colors=["blue", "green", "red", "alpha"])
    scene = open_scene(path)
    assert (scene.bands.names, scene.named) == (("blue", "green", "red"), True)
    chosen = scene.select(BandSet.parse("red,blue"))
    assert [s.index for s in chosen.sources] == [3, 1]
    np.testing.assert_array_equal(whole(chosen).data, whole(scene).data[[2, 0]])
    np.testing.assert_array_equal(whole(chosen).valid, noise("uint16", 4)[3] > 0)


@pytest.mark.parametrize("how", ["described", "named", "picked"])
def test_near_infrared_marked_as_alpha_is_a_band(tmp_path, how):
    data = noise("uint8", 4)
    data[3, 5:9] = 0  # dark in near infrared: water, not nodata
    names = ["red", "green", "blue", "nir"] if how == "described" else None
    path = write(tmp_path / "a.tif", data, colors=["red", "green", "blue", "alpha"], names=names)
    scene = open_scene(path, bands={"named": "R,G,B,N", "picked": "1,2,3,4"}.get(how))
    assert len(scene.bands) == 4
    for part in (scene, scene.select(BandSet.parse("red,nir")) if how != "picked" else scene):
        assert whole(part).valid.all()
    np.testing.assert_array_equal(whole(scene).data, data)


def test_a_fourth_band_without_a_name_is_no_near_infrared(tmp_path):
    path = write(tmp_path / "a.tif", noise("uint8", 4), photometric="RGB", alpha="NO")
    scene = open_scene(path)
    assert scene.bands.names == ("red", "green", "blue", "band4")
    assert scene.select(BandSet.parse("green,red")).bands.names == ("green", "red")
    with pytest.raises(InputError, match=r"a.tif: band nir not found among .*--bands"):
        scene.select(BandSet.parse("red,green,blue,nir"))
    assert open_scene(path, sensor="naip").bands.names == ("R", "G", "B", "N")


def test_bands_without_names_are_taken_in_order_only_when_the_count_fits(tmp_path):
    path = write(tmp_path / "a.tif", noise("uint16", 4), names=["Band 1", "Layer_2", "3", ""], photometric="MINISBLACK")
    scene = open_scene(path)
    assert not scene.named
    assert scene.select(BandSet.parse("blue,green,red,nir")).bands.names == ("blue", "green", "red", "nir")
    with pytest.raises(InputError, match=r"4 bands without names, the model needs 3 .*--bands"):
        scene.select(BandSet.parse("red,green,blue"))
    picked = open_scene(path, bands="3,2,1").select(BandSet.parse("red,green,blue"))
    np.testing.assert_array_equal(whole(picked).data, noise("uint16", 4)[[2, 1, 0]])


def test_descriptions_and_sensors_name_bands(tmp_path):
    path = write(
        tmp_path / "a.tif",
        noise("uint16"),
        names=["B4, central wavelength 665 nm", "B8", "SCL"],
        photometric="MINISBLACK",
    )
    scene = open_scene(path, sensor="sentinel-2")
    assert scene.bands.names == ("B04", "B08", "SCL")
    assert [b.wavelength_nm for b in scene.bands] == [664.6, 832.8, None]
    assert open_scene(path, bands="B02,B03,B04", sensor="sentinel-2").bands.names == ("B02", "B03", "B04")


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (["b1", "b2", "b3"], ("red", "green", "blue")),  # counts
        (["b0", "b1", "b2"], ("b0", "b1", "b2")),
        (["ortho", "ortho", "ortho"], ("red", "green", "blue")),
    ],
)
def test_colours_are_believed_of_all_bands_or_of_none(tmp_path, names, bands):
    assert open_scene(write(tmp_path / "a.tif", noise("uint8"), names=names, photometric="RGB")).bands.names == bands


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bands": "R,G"}, "names 2 bands, .* has 3"),
        ({"bands": "0,1,2"}, r"bands 1\.\.3"),
        ({"bands": "1,2,4"}, r"bands 1\.\.3"),
        ({"bands": ""}, r"bands 1\.\.3"),
        ({"bands": "R,R,G"}, "unique"),
        ({"bands": "1,2,3", "sensor": "naip"}, "numbers pick"),
        ({"bands": "B1,B2,B99", "sensor": "landsat-8"}, "no band 'B99'"),
        ({"sensor": "spot"}, "unknown sensor 'spot'; did you mean spot-"),
        ({"sensor": "sentinel-2"}, "3 bands, not all named; .*--bands"),
    ],
)
def test_band_options_that_make_no_sense(tmp_path, options, words):
    path = write(tmp_path / "a.tif", noise("uint8"), photometric="MINISBLACK")
    with pytest.raises(ConfigError, match=words) as caught:
        open_scene(path, **options)
    assert "\n" not in str(caught.value)


def test_a_sensor_s_order_never_overrules_what_the_file_says(tmp_path):
    path = write(tmp_path / "a.tif", noise("uint8", 4), colors=["blue", "green", "red", "undefined"])
    with pytest.raises(ConfigError, match="--bands"):
        open_scene(path, sensor="naip")


# --- several files


def test_single_band_files_are_one_scene_named_by_their_files(tmp_path):
    types = {"B02": "uint16", "B08": "uint16", "B04": "uint8"}
    data = {name: noise(kind, 1, seed=i) for i, (name, kind) in enumerate(types.items())}
    paths = [write(tmp_path / f"T32UMA_20260101_{name}_10m.tif", d) for name, d in data.items()]
    scene = open_scene(paths, sensor="sentinel-2")
    assert (scene.bands.names, scene.dtype) == (("B02", "B08", "B04"), "uint16")
    assert scene.files == tuple(map(str, paths))
    assert scene.name == "T32UMA_20260101_B02_10m.tif (+2 files)"
    chosen = scene.select(BandSet.parse("red,blue"))
    np.testing.assert_array_equal(whole(chosen).data, np.concatenate([data["B04"], data["B02"]]))
    signed = write(tmp_path / "x_B03.tif", noise("int16", 1))
    assert open_scene([*paths, signed]).dtype == "int32"  # holds both 65535 and -32768


def test_a_letter_names_the_band_of_a_file_among_others_and_not_of_one_alone(tmp_path):
    files = {name: write(tmp_path / f"{name}.tif", noise("uint8", 1)) for name in ("b", "n", "a", "B04", "scene-r")}
    assert open_scene([files["b"], files["n"]]).bands.names == ("blue", "nir")
    assert [open_scene(files[name]).bands.names for name in ("b", "n", "a")] == [("band1",)] * 3
    assert [open_scene(files[name]).bands.names for name in ("B04", "scene-r")] == [("B04",), ("red",)]


def test_masks_of_all_files_count(tmp_path):
    a, b = noise("uint8", 1) | 1, noise("int16", 1)
    a[0, 1, 1], b[0, 2, 2] = 0, -9999
    files = [write(tmp_path / "a_R.tif", a, nodata=0), write(tmp_path / "b_N.tif", b, nodata=-9999)]
    assert np.argwhere(~whole(open_scene(files)).valid).tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    "other",
    [
        {"transform": NORTH_UP @ Affine.translation(0.5, 0)},  # half a pixel, as panchromatic grids are
        {"crs": "EPSG:32644"},
        {"shape": (37, 54)},
        {"transform": NORTH_UP @ Affine.scale(2)},
    ],
)
def test_files_on_different_grids_are_told_apart(tmp_path, other):
    first = write(tmp_path / "a_B4.tif", noise("uint8", 1))
    second = write(tmp_path / "b_B8.tif", noise("uint8", 1, other.pop("shape", SHAPE)), **other)
    with pytest.raises(
        InputError, match=r"b_B8.tif: its grid \(.*\) differs from that of .*a_B4.tif .*(--warp-to|--res)"
    ):
        open_scene([first, second])


# --- places


@pytest.mark.parametrize(
    "transform",
    [Affine(0.5, 0, 3e5, 0, 0.5, 3.06e6), NORTH_UP @ Affine.rotation(30), Affine(0.5, 0.1, 3e5, 0.2, -0.4, 3e6)],
)
def test_south_up_rotated_and_sheared_scenes_stay_as_they_are(tmp_path, transform):
    data = noise("uint8")
    raster = whole(open_scene(write(tmp_path / "a.tif", data, transform=transform)))
    np.testing.assert_array_equal(raster.data, data)
    assert raster.grid.transform.almost_equals(transform)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_crs_is_there_or_assumed(tmp_path):
    path = write(tmp_path / "a.tif", noise("uint8"), crs=None)
    with pytest.raises(InputError, match=r"a.tif: no CRS; .*--assume-crs"):
        open_scene(path)
    with pytest.raises(ConfigError, match="--assume-crs EPSG:words: not a CRS"):
        open_scene(path, assume_crs="EPSG:words")
    assert open_scene(path, assume_crs="EPSG:32645").grid.crs == CRS.from_epsg(32645)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["gcps", "rpcs"])
@pytest.mark.parametrize("assume", [None, "EPSG:32645"])
def test_ground_control_points_and_rpcs_are_no_grid(tmp_path, kind, assume):
    path = write(tmp_path / "a.tif", noise("uint8"), crs=None, transform=Affine.identity())
    with rasterio.open(path, "r+") as dst:
        if kind == "gcps":
            points = [GroundControlPoint(r, c, 85 + c / 1e4, 27 - r / 1e4) for r in (0, 30) for c in (0, 50)]
            dst.gcps = (points, CRS.from_epsg(4326))
        else:
            ones = [1.0] + [0.0] * 19
            dst.rpcs = RPC(0, 1, 27, 1, ones, ones, 18, 18, 85, 1, ones, ones, 26, 26)
    with pytest.raises(InputError, match="--warp-to EPSG:32645"):
        open_scene(path, assume_crs=assume)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("crs", [None, "EPSG:32645"])
@pytest.mark.parametrize("transform", [Affine.identity(), Affine(0, 0, 0, 0, 0, 0)])
def test_a_scene_without_a_geotransform_has_no_place(tmp_path, crs, transform):
    path = write(tmp_path / "a.tif", noise("uint8"), crs=crs, transform=transform)
    with pytest.raises(InputError, match=r"a.tif: no geotransform, .*gdal_edit -a_ullr"):
        open_scene(path, assume_crs="EPSG:32645")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("Red (665 nm)", "Green (560 nm)", "Blue (490 nm)"), ("Red", "Green", "Blue")),
        (("Band 1 (Red)", "Band 2 (Green)", "Band 3 (Blue)"), ("Red", "Green", "Blue")),
        (("rot", "gruen", "blau"), ("red", "green", "blue")),
        (("red_mean", "green_mean", "blue_mean"), ("red", "green", "blue")),
        (("B4", "B3", "B2"), ("red", "green", "blue")),
        (("B1", "B2", "B3"), ("red", "green", "blue")),
        (("2020 r1", "2020 r2", "2020 r3"), ("red", "green", "blue")),
        (("B8", "B4", "B3"), None),
        (("842 nm", "665 nm", "560 nm"), None),
        (("nir", "red", "green"), None),
        (("red_edge", "swir", "ndvi"), None),
    ],
)
def test_rgb_is_known_by_colour_interpretation_where_no_description_speaks_against_it(tmp_path, names, found):
    scene = open_scene(write(tmp_path / "a.tif", noise("uint8"), names=names, photometric="RGB"))
    if found is None:
        with pytest.raises(InputError, match="not found among"):
            scene.select(BandSet.parse("red,green,blue"))
    else:
        assert [s.index for s in scene.select(BandSet.parse("red,green,blue")).sources] == [1, 2, 3]
        told = "" if found[0] == "Red" else f"'{names[0]}' as red, '{names[1]}' as green, '{names[2]}' as blue"
        assert [note.partition("takes ")[2].partition(", by")[0] for note in scene.notes] == [told] * bool(told)


def test_wavelengths_in_metadata_name_bands(tmp_path):
    path = write(tmp_path / "envi.tif", noise("uint16", 4), photometric="MINISBLACK")
    with rasterio.open(path, "r+") as out:
        for band, micrometres in enumerate(("0.4924", "0.665", "0.842", "?"), start=1):
            out.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=micrometres)
    scene = open_scene(path)
    assert scene.bands.names == ("492.4 nm", "665 nm", "842 nm", "band4")
    assert [s.index for s in scene.select(BandSet.parse("nir,red")).sources] == [3, 2]


def test_grey_is_equal_parts_of_red_green_and_blue_and_palettes_are_not(tmp_path):
    grey = open_scene(write(tmp_path / "pan.tif", noise("uint8", 1)))
    data = whole(grey.select(BandSet.parse("red,green,blue"))).data
    np.testing.assert_array_equal(data, np.repeat(noise("uint8", 1), 3, axis=0))
    asked = open_scene(write(tmp_path / "two.tif", noise("uint8", 2)), bands="2,2,2").select(
        BandSet.parse("red,green,blue")
    )
    assert [s.index for s in asked.sources] == [2, 2, 2]
    with pytest.raises(InputError, match="1 bands without names"):
        grey.select(BandSet.parse("red,green,nir"))
    coloured = open_scene(write(tmp_path / "p.tif", noise("uint8", 1), photometric="palette", colors=["palette"]))
    with pytest.raises(InputError, match="not found among palette"):
        coloured.select(BandSet.parse("red,green,blue"))


def test_half_floats_are_read_as_float32(tmp_path):
    data = noise("float16")
    scene = open_scene(write(tmp_path / "a.tif", data))
    raster = whole(scene)
    assert raster.data.dtype == scene.dtype == "float32"
    np.testing.assert_array_equal(raster.data, data.astype(np.float32))


def test_bands_of_nested_grids_are_told_the_way(tmp_path):
    fine = write(tmp_path / "B02.tif", noise("uint8", 1, (40, 50)))
    coarse = write(tmp_path / "B05.tif", noise("uint8", 1, (20, 25)), transform=NORTH_UP @ Affine.scale(2))
    with pytest.raises(InputError, match=r"B05.tif: its grid .*--resampling bilinear"):
        open_scene([fine, coarse])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.parquet", "vectors"), ("a.kml", "vectors"), ("a.shz", "vectors"), ("S2.SAFE", "a folder"),
        ("a.zip", "/vsizip/.*a.zip/in/scene.tif"), ("none.zip", "NAME.tif"),
    ],
)  # fmt: skip
def test_what_is_no_raster_is_called_what_it_is(tmp_path, name, told):
    for archive, inside in (("a.zip", "in/scene.tif"), ("none.zip", "a.txt")):
        with zipfile.ZipFile(tmp_path / archive, "w") as file:
            file.writestr(inside, "")
    (tmp_path / "S2.SAFE").mkdir()
    for other in ("a.parquet", "a.kml", "a.shz"):
        (tmp_path / other).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"{name}: not a raster that can be read .*{told}"):
        open_scene(tmp_path / name)


@pytest.mark.parametrize(("scale", "offset"), [(np.nan, 0), (np.inf, 0), (0, 0), (1e300, 0), (1, np.nan), (1, -np.inf)])
def test_scales_that_leave_no_value_are_refused(tmp_path, scale, offset):
    path = write(tmp_path / "a.tif", noise("uint8"))
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = (1, scale, 1), (0, offset, 0)
    with pytest.raises(InputError, match=r"a.tif: band 2 has the scale .*gdal_edit -scale"):
        open_scene(path)


MOON, MARS = "IAU_2015:30100", "IAU_2015:49900"


@pytest.mark.parametrize("crs", ["EPSG:4978", "EPSG:5703", 'LOCAL_CS["site",UNIT["metre",1]]', MOON, MARS])
def test_a_crs_that_places_nothing_on_the_ground_is_refused(tmp_path, crs):
    with pytest.raises(InputError, match=r"a.tif: the CRS .* places nothing on the Earth's surface"):
        open_scene(write(tmp_path / "a.tif", noise("uint8"), crs=crs))


def test_names_that_are_not_utf_8_are_refused(tmp_path, rgb):
    with pytest.raises(InputError, match=r"udcff.tif': its name is not UTF-8; rename"):
        open_scene(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tif"))
    pam = '<PAMDataset><PAMRasterBand band="1"><Description>Rouge é</Description></PAMRasterBand></PAMDataset>'
    (tmp_path / "rgb.tif.aux.xml").write_bytes(pam.encode("latin-1"))
    with pytest.raises(InputError, match=r"rgb.tif: a band's name .* is not UTF-8"):
        open_scene(rgb)


# --- files that cannot be used


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("name", ["a.tif", "rgb.tif.msk", "source.tif", "a.zip"])
def test_what_is_waited_for_without_end_is_refused(tmp_path, rgb, name):
    os.mkfifo(tmp_path / name)
    opened = {"rgb.tif.msk": rgb, "a.zip": f"/vsizip/{tmp_path / name}/a.tif"}.get(name, tmp_path / name)
    if name == "source.tif":
        opened = tmp_path / "a.vrt"
        opened.write_text(
            '<VRTDataset rasterXSize="9" rasterYSize="9"><SRS>EPSG:32645</SRS><GeoTransform>1, 2, 0, 1, 0, -2'
            '</GeoTransform><VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">'
            "source.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
    with pytest.raises(InputError, match=f"{name}: is a FIFO, not a file"):
        open_scene(opened)
    with pytest.raises(InputError, match=f"{name}: is a FIFO, not a file"):
        open_scene(write(tmp_path / "b.tif", noise("uint8")), mask=opened)


def test_missing_empty_and_other_files(tmp_path, rgb):
    for name, content in (
        ("empty.tif", b""),
        ("words.tif", b"not a raster at all"),
        ("cut.tif", rgb.read_bytes()[:60]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: not a raster that can be read") as caught:
            open_scene(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        open_scene(tmp_path / "none.tif")
    with pytest.raises(InputError, match="not a raster"):
        open_scene(tmp_path)
    with pytest.raises(ConfigError, match="no scene"):
        open_scene([])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_pixels_are_refused(tmp_path, dtype):
    path = tmp_path / "slc.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=4, width=4, dtype=dtype, crs="EPSG:32645"):
        pass
    with pytest.raises(InputError, match=r"complex pixels .*amplitude"):
        open_scene(path)


def test_a_truncated_file_reads_until_the_cut(tmp_path):
    good = write(
        tmp_path / "good.tif",
        noise("uint8", 3, (256, 256)),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    )
    path = tmp_path / "cut.tif"
    path.write_bytes(good.read_bytes()[: good.stat().st_size * 6 // 10])
    scene = open_scene(path)
    np.testing.assert_array_equal(read(scene, Box(0, 0, 64, 64)).data, noise("uint8", 3, (256, 256))[:, :64, :64])
    with pytest.raises(
        InputError, match=r"cut.tif: rows 192..256, columns 10..256 cannot be read .*fetch it again"
    ) as caught:
        read(scene, Box(192, 10, 256, 256))
    assert "\n" not in str(caught.value)


def test_boxes_outside_the_scene_are_a_programming_error(rgb):
    with pytest.raises(ValueError, match="not inside"):
        read(open_scene(rgb), Box(30, 0, 38, 8))


def test_connections_need_no_file_of_that_name(rgb):
    box = Box(0, 0, 8, 8)
    expected = read(open_scene(rgb), box).data
    zipped = shutil.make_archive(str(rgb.parent / "packed"), "zip", rgb.parent, rgb.name)
    for name in (f"/vsizip/{zipped}/{rgb.name}", f"GTIFF_DIR:1:{rgb}"):  # the second as subdatasets are named
        np.testing.assert_array_equal(read(open_scene(name), box).data, expected)
    with pytest.raises(InputError, match="not a raster that can be read"):
        open_scene("/vsizip/nowhere.zip/a.tif")


def test_a_container_names_its_rasters(tmp_path):
    xr = pytest.importorskip("xarray")
    path = tmp_path / "two.nc"
    variables = {n: (("y", "x"), np.ones((4, 5), np.float32)) for n in ("red", "nir")}
    try:
        xr.Dataset(variables).to_netcdf(path)
    except (ValueError, ImportError) as error:
        pytest.skip(f"xarray cannot write netCDF here: {error}")
    with pytest.raises(InputError, match=r"two.nc: no raster bands; it holds 2 rasters, name one, e.g. .*:red"):
        open_scene(path)


def test_a_scene_pickles(rgb):
    scene = open_scene(rgb)
    assert pickle.loads(pickle.dumps(scene)) == scene


def test_a_crop_reads_what_the_scene_holds_there(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 9, (2, 40, 50), np.uint8)
    path = write(tmp_path / "a.tif", pixels, nodata=3)
    mask = write(tmp_path / "m.tif", (pixels[:1] > 1).astype(np.uint8))
    scene = open_scene(path, mask=mask)
    part = scene.crop(Box(5, 7, 35, 47)).crop(Box(1, 2, 21, 32))
    whole, cut = read(scene, Box(8, 10, 20, 30)), read(part, Box(2, 1, 14, 21))
    np.testing.assert_array_equal(cut.data, whole.data)
    np.testing.assert_array_equal(cut.valid, whole.valid)
    assert cut.grid == whole.grid
    assert part.grid == scene.grid.crop(Box(6, 9, 26, 39))
    with pytest.raises(ValueError, match="not inside"):
        scene.crop(Box(0, 0, 41, 50))
    with pytest.raises(ValueError, match="not inside"):
        read(part, Box(0, 0, 21, 30))


def test_a_mask_hides_where_it_is_not_a_number(tmp_path):
    path = write(tmp_path / "a.tif", np.full((1, 2, 3), 9, np.uint8))
    shown = np.array([[[1, 0, np.nan], [0.5, np.nan, -1]]], np.float32)
    for nodata in (None, -1, np.nan):
        mask = write(tmp_path / f"m{nodata}.tif", shown, nodata=nodata)
        scene = open_scene(path, mask=mask)
        assert read(scene, scene.grid.box).valid.tolist() == [[True, False, False], [True, False, nodata != -1]]


@pytest.mark.parametrize(
    ("bands", "held"),
    [("R,G,B,N", "red,green,blue,nir"), ("R,G,B,extra", "red,green,blue"), ("1,2,3,4", "red,green,blue,nir"),
     ("3,2,1", "red,green,blue")],
)  # fmt: skip
def test_of_optional_bands_a_scene_is_reduced_to_those_that_it_has(bands, held, tmp_path):
    scene = open_scene(write(tmp_path / "a.tif", noise("uint8", 4), photometric="MINISBLACK"), bands=bands)
    reduced = scene.select(BandSet.parse("red,green,blue,nir"), optional=("nir",))
    assert reduced.bands == BandSet.parse(held)
    assert len(reduced.sources) == len(reduced.bands)
    with pytest.raises(InputError, match=r"swir16|without names"):
        scene.select(BandSet.parse("red,green,blue,swir16,swir22,nir"), optional=("nir",))
