"""Mosaics: many tiles are one scene, whose pixels are those of one file."""

import geopandas as gpd
import geopandas.testing
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import write_tif

from geoseg.cli import main
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.reads import files_read
from geoseg.scenes.tiff_header import read_header
from geoseg.values.bands import BandSet
from geoseg.values.box import Box

PLACE = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
PIXELS = np.random.default_rng(0).integers(1, 250, (3, 150, 170)).astype(np.uint8)
PIXELS[:, 40:60, 100:120] = 0
LOOK = {"photometric": "RGB", "nodata": 0}


def write_tiles(folder, side, *, over=0, **profile):
    """Cut PIXELS into tiles of ``side`` pixels that overlap by ``over``."""
    folder.mkdir()
    for row in range(0, PIXELS.shape[1], side):
        for col in range(0, PIXELS.shape[2], side):
            part = PIXELS[:, row : row + side + over, col : col + side + over]
            place = PLACE @ Affine.translation(col, row)
            write_tif(folder / f"t_{row:03d}_{col:03d}.tif", part, transform=place, **(LOOK | profile))
    return folder


@pytest.mark.parametrize("over", [0, 9])
@pytest.mark.parametrize("name", ["", "/*.tif"])
def test_tiles_are_one_scene_with_the_pixels_of_one_file(tmp_path, over, name):
    whole = read(one := open_scene(write_tif(tmp_path / "a.tif", PIXELS, **LOOK)), one.grid.box)
    scene = open_scene(f"{write_tiles(tmp_path / 'tiles', 37, over=over)}{name}")
    assert scene.grid.same_as(one.grid)
    assert scene.bands == one.bands
    assert not scene.notes
    for box in (scene.grid.box, Box(30, 30, 80, 120), Box(36, 36, 38, 38)):
        found, wanted = (
            read(scene, box),
            (whole.data[:, *box.within(one.grid.box)], whole.valid[box.within(one.grid.box)]),
        )
        np.testing.assert_array_equal(found.valid, wanted[1])
        np.testing.assert_array_equal(found.data[:, found.valid], wanted[0][:, wanted[1]])
    crop = scene.crop(Box(20, 50, 90, 140)).select(BandSet.parse("blue,red"))
    np.testing.assert_array_equal(read(crop, Box(1, 2, 60, 70)).data, whole.data[[2, 0], 21:80, 52:120])


def test_files_that_a_shell_names_are_tiles_where_they_hold_the_same_bands_on_other_ground(tmp_path):
    scene = open_scene(sorted(write_tiles(tmp_path / "tiles", 75).iterdir()))
    assert (scene.grid.shape, len(scene.bands)) == ((150, 170), 3)


def test_a_folder_of_band_files_is_a_stack(tmp_path):
    (folder := tmp_path / "bands").mkdir()
    for i, name in enumerate(("B04", "B02", "B03")):
        write_tif(folder / f"x_{name}.tif", PIXELS[i : i + 1])
    scene = open_scene(folder)
    assert scene.bands.names == ("B02", "B03", "B04")
    np.testing.assert_array_equal(read(scene, scene.grid.box).data, PIXELS[[1, 2, 0]])


def test_only_the_first_of_many_is_described_by_gdal(tmp_path, monkeypatch):
    from geoseg.scenes import mosaic

    folder = write_tiles(tmp_path / "tiles", 37)
    asked = []
    describe = mosaic.describe_file
    monkeypatch.setattr(mosaic, "describe_file", lambda path, given: asked.append(path) or describe(path, given))
    scene = open_scene(folder)
    assert len(asked) == 1
    assert set(files_read(scene.inputs, lone=scene.lone)) == set(files_read(scene.inputs))
    (folder / "t_037_037.tif.aux.xml").write_text("<PAMDataset/>")
    asked.clear()
    assert "t_037_037" not in " ".join(open_scene(folder).lone)
    assert len(asked) == 2


def test_headers_say_what_gdal_does(tmp_path):
    kinds = {}
    for name, changes in {
        "a": {}, "b": {"transform": Affine(0.5, 0, 7, 0, -0.5, 9)}, "nodata": {"nodata": 1}, "big": {"bigtiff": "yes"},
        "turned": {"transform": PLACE @ Affine.rotation(9)}, "crs": {"crs": "EPSG:32633"}, "tiled": {"tiled": True},
    }.items():  # fmt: skip
        path = write_tif(tmp_path / f"{name}.tif", PIXELS, **changes)
        header = read_header(path)
        with rasterio.open(path) as src:
            assert header.transform.almost_equals(src.transform)
            assert header.shape == src.shape
        kinds[name] = header.kind
    assert kinds["a"] == kinds["b"] == kinds["turned"] == kinds["big"]
    assert len(set(kinds.values())) == 4
    assert read_header(write_tif(tmp_path / "none.tif", PIXELS, crs=None, transform=Affine.identity())) is None
    assert read_header(__file__) is None


@pytest.fixture
def index(tmp_path):
    """Three tiles on one ground, of 10, 20 and 30, as a tile index lists them."""
    values, days, clouds = (10, 20, 30), ("2024-05-03", "2024-07-01", "2023-01-01"), (40.0, 90.0, 5.0)
    for value in values:
        write_tif(tmp_path / f"{value}.tif", np.full((1, 8, 8), value, np.uint8))
    frame = {"location": [f"{v}.tif" for v in values], "datetime": days, "eo:cloud_cover": clouds}
    gpd.GeoDataFrame(frame, geometry=[shapely.box(0, 0, 1, 1)] * 3, crs="EPSG:32645").to_file(tmp_path / "index.gpkg")
    return tmp_path / "index.gpkg"


@pytest.mark.parametrize(("overlap", "value"), [("first", 10), ("newest", 20), ("oldest", 30), ("clearest", 30)])
def test_of_tiles_over_each_other_the_wanted_one_gives_the_pixel(index, overlap, value):
    scene = open_scene(index, overlap=overlap)
    assert set(read(scene, scene.grid.box).data.ravel()) == {value}


def test_tiles_of_other_zones_and_sizes_are_brought_to_the_first(tmp_path):
    rows, cols = np.mgrid[:120, :200]
    smooth = (100 + 40 * np.sin(rows / 19) + 40 * np.cos(cols / 23)).astype(np.uint8)[None]
    place = Affine(30, 0, 7e5, 0, -30, 3.06e6)  # far to the east in zone 44
    one = write_tif(tmp_path / "one.tif", smooth, crs="EPSG:32644", transform=place)
    (folder := tmp_path / "tiles").mkdir()
    write_tif(folder / "a.tif", smooth[..., :90], crs="EPSG:32644", transform=place)
    half = smooth[..., 90:150].repeat(2, 1).repeat(2, 2)
    write_tif(folder / "b.tif", half, crs="EPSG:32644", transform=place @ Affine.translation(90, 0) @ Affine.scale(0.5))
    east = open_scene(one, warp_to="EPSG:32645")
    raster = read(east, east.grid.box)
    write_tif(folder / "c.tif", raster.data, crs="EPSG:32645", transform=east.grid.transform, nodata=0)
    scene = open_scene(folder)
    assert len(scene.notes) >= 2
    found, box = read(scene, scene.grid.box), Box(0, 0, 120, 200)
    to_one = ~place @ scene.grid.transform
    shift = round(to_one.f), round(to_one.c)
    cut = found.data[0, -shift[0] :, -shift[1] :][:120, :200].astype(int)
    assert found.valid[-shift[0] :, -shift[1] :][:120, :200][2:-2, 2:-2].all()
    assert np.abs(cut - smooth[0])[2:-2, 2:-2].max() <= 4
    assert box


def test_tiles_of_other_scales_become_physical_values(tmp_path):
    (folder := tmp_path / "tiles").mkdir()
    for col, (scale, offset) in enumerate([(1e-4, -0.1), (1e-4, 0.0)]):
        data = np.full((1, 8, 8), 3000 - 1000 * col, np.uint16)
        path = write_tif(folder / f"{col}.tif", data, transform=PLACE @ Affine.translation(8 * col, 0))
        with rasterio.open(path, "r+") as dst:
            dst.scales, dst.offsets = (scale,), (offset,)
    scene = open_scene(folder)
    np.testing.assert_allclose(scene.physical(read(scene, scene.grid.box).data), 0.2, atol=1e-6)


def test_gaps_are_nodata_and_their_share_is_told(tmp_path):
    folder = write_tiles(tmp_path / "tiles", 50)
    (folder / "t_000_050.tif").unlink()
    scene = open_scene(folder)
    assert not read(scene, Box(0, 50, 50, 100)).valid.any()
    assert "no tile covers about 9.8% of the mosaic" in scene.notes[0]


def test_what_makes_no_mosaic_is_refused(tmp_path, index):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it is a folder without rasters"):
        open_scene(tmp_path / "empty")
    with pytest.raises(InputError, match="no file matches"):
        open_scene(tmp_path / "*.jp2")
    with pytest.raises(ConfigError, match="--overlap newest: nothing says the date of"):
        open_scene(index.parent / "*0.tif", overlap="newest")
    folder = write_tiles(tmp_path / "tiles", 90)
    write_tif(folder / "z.tif", PIXELS[:1])
    with pytest.raises(InputError, match=r"z\.tif: its bands .* are not those of .*t_000_000\.tif"):
        open_scene(folder)
    write_tif(folder / "z.tif", PIXELS, crs='LOCAL_CS["site",UNIT["metre",1]]', **LOOK)
    with pytest.raises(InputError, match=r"z\.tif: the CRS 'site' places nothing on the Earth's surface"):
        open_scene(folder)
    whole = write_tif(folder / "z.tif", PIXELS, **LOOK).read_bytes()
    (folder / "z.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"z\.tif: .* cannot be read .* damaged or cut off"):
        read(scene := open_scene(folder, overlap="first"), scene.grid.box)


@pytest.mark.parametrize("side", [(23, 23), pytest.param((5, 6), marks=pytest.mark.nightly, id="1024 tiles")])
def test_maps_and_polygons_of_tiles_are_those_of_one_file(tmp_path, tiny_scene, tiny_bundle, finished_run, side):
    (folder := tmp_path / "tiles").mkdir()
    with rasterio.open(tiny_scene) as src:
        data, place = src.read(), src.transform
    for row in range(0, data.shape[1], side[0]):
        for col in range(0, data.shape[2], side[1]):
            cut = data[:, row : row + side[0], col : col + side[1]]
            at = place @ Affine.translation(col, row)
            write_tif(folder / f"{row}_{col}.tif", cut, transform=at, photometric="RGB")
    flags = ["-q", "--probabilities", "--split", "none"]
    assert main(["buildings", str(folder), "-m", str(tiny_bundle), "-o", str(tmp_path / "out"), *flags]) == 0
    for name in ("classes.tif", "confidence.tif", "probabilities.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (finished_run / name).read_bytes()
    drawn, wanted = (gpd.read_file(place / "buildings.gpkg") for place in (tmp_path / "out", finished_run))
    gpd.testing.assert_geodataframe_equal(drawn, wanted)
