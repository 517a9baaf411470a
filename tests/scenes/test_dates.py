"""Several dates of one place are one scene, ordered by time; a date without data is nodata of its bands alone."""

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from conftest import write_bundle, write_tif
from rasterio.control import GroundControlPoint

import geoseg
from geoseg.cli import main
from geoseg.errors import InputError
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.values.bands import BandSet

PLACE = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)


@pytest.fixture
def dates(tmp_path):
    """May and June, 20 x 30 px, as DATE=FILE; the left of May and the top of both is nodata."""
    may, june = (np.full((3, 20, 30), value, np.uint8) for value in (50, 120))
    may[:, :, :5], may[:, :2], june[:, :2] = 0, 0, 0
    for name, data in (("may", may), ("june", june)):
        write_tif(tmp_path / f"{name}.tif", data, photometric="RGB", nodata=0)
    return [f"2024-06-01={tmp_path / 'june.tif'}", f"2024-05-03={tmp_path / 'may.tif'}"]


def test_dates_are_ordered_and_lack_data_each_by_itself(dates):
    scene = open_scene(dates)
    assert scene.bands.names == ("red@1", "green@1", "blue@1", "red@2", "green@2", "blue@2")
    assert scene.bands[3].wavelength_nm == 665
    assert "@1 is 2024-05-03" in scene.notes[0]
    raster = read(scene, scene.grid.box)
    assert (raster.valid.mean(), raster.data.dtype) == (0.9, np.float32)
    assert np.isnan(raster.data[:3, 2:, :5]).all()
    assert (raster.data[:3, 2:, 5:] == 50).all()
    assert (raster.data[3:, 2:] == 120).all()
    with pytest.raises(InputError, match="2 dates, the model is for 3; name each with --date"):
        scene.select(BandSet.parse("red@1,red@3"))
    late = scene.select(BandSet.parse("blue@2,red@1"))
    np.testing.assert_array_equal(read(late, late.grid.box).data, raster.data[[5, 0]])
    with pytest.raises(InputError, match="2 dates, the model is for 1"):
        scene.select(BandSet.parse("red"))


def test_flags_speak_of_the_bands_of_each_date(dates):
    assert open_scene(dates, bands="nir,red,green").bands.names[3:] == ("nir@2", "red@2", "green@2")
    picked = read(one := open_scene(dates, bands="2,1"), one.grid.box)
    assert picked.data[:, 10, 20].tolist() == [50, 50, 120, 120]


def test_another_grid_is_brought_to_the_first(dates, tmp_path):
    data = np.full((3, 10, 15), 200, np.uint8)
    path = write_tif(tmp_path / "july.tif", data, transform=PLACE @ Affine.scale(2), photometric="RGB")
    scene = open_scene([*dates, f"2024-07-01={path}"])
    assert (read(scene, scene.grid.box).data[6:] == 200).all()
    assert "brought to the grid of the first (bilinear)" in scene.notes[-1]


@pytest.mark.parametrize("pixel", [1, 2])
def test_tiles_of_a_date_are_a_mosaic_of_it_on_the_grid_of_the_first(dates, tmp_path, pixel):
    (folder := tmp_path / "july").mkdir()
    size = PLACE @ Affine.scale(pixel)
    for col, value in ((0, 200), (20, 210)):  # the ground from column 10 to 20 is in neither; the second hangs over
        data = np.full((3, 22 // pixel, 10 // pixel + col // pixel), value, np.uint8)
        data[:, :, -1] = 0
        at = size @ Affine.translation(col // pixel, 0)
        write_tif(folder / f"{col}.tif", data, transform=at, photometric="RGB", nodata=0)
    scene = open_scene([*dates, f"2024-07-01={folder}"])
    assert scene.grid.shape == (20, 30)
    assert any("no tile covers about 20.0%" in note for note in scene.notes)
    raster = read(scene, scene.grid.box)
    july, end = raster.data[6:], 10 - pixel
    assert (july[:, :, : end - 1] == 200).all()
    assert np.isnan(july[:, :, 10:20]).all()
    assert (july[:, :, 20:] == 210).all()
    np.testing.assert_array_equal(raster.data[:6], read(one := open_scene(dates), one.grid.box).data)
    late = scene.select(BandSet.parse("blue@3,red@1"))
    np.testing.assert_array_equal(read(late, late.grid.box).data, raster.data[[8, 0]])


def test_dates_placed_by_points_are_warped_to_the_grid_of_the_first(dates, tmp_path):
    rows, cols = np.mgrid[:20, :30]
    data = (3 * rows + 4 * cols + 10)[None].repeat(3, 0).astype(np.uint8)
    plain = write_tif(tmp_path / "plain.tif", data, photometric="RGB")
    corners = [(0, 0), (0, 60), (40, 0), (40, 60)]
    points = [GroundControlPoint(r, c, *(PLACE @ (c / 2, r / 2))) for r, c in corners]
    path = write_tif(tmp_path / "points.tif", data.repeat(2, 1).repeat(2, 2), crs=None, transform=Affine.identity())
    with rasterio.open(path, "r+") as dst:
        dst.gcps = points, rasterio.CRS.from_epsg(32645)
    both = open_scene([f"2024-01-01={plain}", f"2024-02-01={path}"], bands="R,G,B", warp_to="EPSG:32645")
    found = read(both, both.grid.box).data[:, 1:-1, 1:-1]
    np.testing.assert_allclose(found[3:], found[:3], atol=0.01)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("2024-05-03={may}", "the date 2024-05-03 comes twice; .* 2024-05-03=tiles/"),
        ("2024-09-01={far}", "lies on other ground than .*may.tif"),
        ("{may}", "has no date, though others have"),
        ("2024-09-01={gray}", "its bands are not those of"),
    ],
)
def test_what_makes_no_series_is_refused(dates, tmp_path, more, said):
    gray = write_tif(tmp_path / "gray.tif", np.ones((1, 20, 30), np.uint8))
    away = PLACE @ Affine.translation(99, 0)
    far = write_tif(tmp_path / "far.tif", np.ones((3, 20, 30), np.uint8), transform=away, photometric="RGB")
    with pytest.raises(InputError, match=said):
        open_scene([*dates, more.format(may=tmp_path / "may.tif", gray=gray, far=far)])


@pytest.fixture
def bundle(tmp_path):
    """A model whose p is the mean of red of both dates."""
    return write_bundle(
        tmp_path / "probe",
        widths=None,
        arch=Architecture(name="probe-identity"),
        bands=BandSet.parse("red@1,red@2").bands,
        gsd_m=None,
        normalisation=Normalisation(mean=(0.0, 0.0), std=(255.0, 255.0)),
        channels=(Channel(name="dark", class_id=1), Channel(name="bright", class_id=2)),
    )


def test_a_scene_of_two_dates_is_mapped(dates, bundle, tmp_path):
    flags = [item for date in dates for item in ("--date", date)]
    out = tmp_path / "out"
    assert main(["predict", *flags, "-m", str(bundle), "-o", str(out), "--probabilities", "--device", "cpu", "-q"]) == 0
    with rasterio.open(out / "probabilities.tif") as src:
        p = src.read(2)
    both, lacking = (2 * 50 + 120) / 3 / 255, 120 / 3 / 255
    assert (p[:2] == 0).all()
    np.testing.assert_allclose((p[2:, 5:] - 1) / 254, both, atol=3e-3)
    np.testing.assert_allclose((p[2:, :5] - 1) / 254, lacking, atol=3e-3)


def test_dates_in_any_order_and_as_tiles_resume_with_the_same_bytes(bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(1, 250, (2, 3, 20, 1040)).astype(np.uint8)
    for number, name in enumerate(("may", "june")):
        write_tif(tmp_path / f"{name}.tif", pixels[number], photometric="RGB")
    (tmp_path / "tiles").mkdir()
    for col in (0, 700):
        at = PLACE @ Affine.translation(col, 0)
        cut = pixels[1, :, :, col : 700 if col == 0 else None]
        write_tif(tmp_path / "tiles" / f"{col:03d}.tif", cut, transform=at, photometric="RGB")
    may, june, tiles = (
        f"{day}={tmp_path / name}"
        for day, name in (("2024-05-03", "may.tif"), ("2024-06-01", "june.tif"), ("2024-06-01", "tiles"))
    )

    def mapped(out, *named, more=()):
        flags = ["-m", str(bundle), "-o", str(tmp_path / out), "--chunk-px", "512", "--device", "cpu", "-q", *more]
        assert main(["predict", *named, *flags]) == 0
        return tmp_path / out / "confidence.tif"

    mapped("parts", tiles, may, more=["--shard", "1/2"])
    parts = mapped("parts", may, tiles).read_bytes()
    assert parts == mapped("whole", june, may).read_bytes()


def test_two_dates_train(dates, tmp_path, tiny_truth):
    data = np.random.default_rng(0).integers(1, 250, (3, 160, 192)).astype(np.uint8)
    for name in ("may", "june"):
        write_tif(tmp_path / f"{name}.tif", data, photometric="RGB", nodata=0)
    config = {
        "job": "train", "name": "two", "data_folder": str(tmp_path), "out": str(tmp_path / "model"), "gsd_m": 0.5,
        "data": [{"scene": ["2024-05-03=may.tif", "2024-06-01=june.tif"], "labels": str(tiny_truth)}],
        "target": {"kind": "buildings", "border_m": 0.5}, "bands": "red@1,green@1,red@2,green@2",
        "arch": {"name": "compact-unet", "options": {"widths": [8, 8]}}, "window_px": 64, "margin_px": 8, "ramp_px": 16,
        "split": {"validation": {"side": "west", "share": 0.3}, "buffer_px": 8},
        "schedule": {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop_px": 64},
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(config))
    assert main(["run", str(tmp_path / "train.yaml"), "-q"]) == 0
    assert geoseg.load_model(tmp_path / "model").spec.bands[2].name == "red@2"
