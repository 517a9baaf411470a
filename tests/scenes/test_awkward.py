"""Scenes as they are found, from the tests of other projects (NOTICE): each gives its map, or one sentence."""

from pathlib import Path

import pytest
import rasterio
from conftest import write_bundle

from geoseg.cli import main
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.values.bands import BandSet

DATA = Path(__file__).parent.parent / "data" / "awkward"
WARPED = ("--warp-to", "EPSG:32610")
# File, flags, share of the map that has a class, and what is said beside it.
MAPS = [
    ("2d_test.tif", (), 1.0, ""),
    ("all-nodata.tif", (), 0.0, "pixels looked at has data"),
    ("au-3577-rotated.tif", (), 0.506, ""),
    ("au-gcp.tif", ("--warp-to", "EPSG:3577"), 0.535, "24 ground control points to EPSG:3577"),
    ("cog_cmap.tif", (), 0.346, ""),
    ("cog_dateline.tif", (), 1.0, "pixels are 1 in all bands"),
    ("cog_nodata_nan.tif", (), 0.607, ""),
    ("cog_rgb_mask.tif", (), 0.969, ""),
    ("cog_scale.tif", (), 1.0, ""),
    ("dummy_fotomap_small.tif", (), 1.0, ""),
    ("float_nan.tif", ("--assume-crs", "EPSG:32633"), 0.833, ""),
    ("float_raster_with_nodata.tif", (), 0.628, ""),
    ("goes.tif", (), 0.783, ""),
    ("image_missing_nodata.tif", (), 1.0, "pass --nodata -9999"),
    ("image_missing_nodata.tif", ("--nodata", "-9999"), 0.424, ""),
    ("image_rgba_nodata.tif", (), 1.0, ""),
    ("image_web.tif", (), 1.0, ""),
    ("inverted_lat.tif", (), 0.0, "pixels looked at has data"),
    ("pix4d_alpha_nodata.tif", (), 0.838, ""),
    ("RGB.byte.gcp.vrt", WARPED, 0.352, "4 ground control points"),
    ("RGB.byte.rpc.vrt", (*WARPED, "--height", "120"), 0.355, "RPCs at heights of 120 m"),
    ("RGB.byte.tif", (), 0.477, ""),
    ("RGBA.byte.tif", (), 0.592, ""),
    ("RGBA.uint16.tif", (), 0.489, ""),
    ("rotated.tif", ("--assume-crs", "EPSG:32633"), 1.0, ""),
    ("test_esri_wkt.tif", (), 1.0, ""),
]
REFUSED = [
    ("RGB.byte.gcp.vrt", "--warp-to EPSG:32610"),
    ("RGB.byte.rpc.vrt", "--warp-to EPSG:32610 --dem heights.tif (or --height 120)"),
    ("au-gcp.tif", "--warp-to EPSG:32750"),
    ("float_nan.tif", "no CRS; say which one it is in with --assume-crs EPSG:n"),
    ("rotated.tif", "no CRS"),
    ("slc.tif", "complex pixels (complex_int16); convert to amplitude"),
]


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """The identity probe for one band, at any resolution."""
    return write_bundle(
        tmp_path_factory.mktemp("probe") / "probe",
        widths=None,
        arch=Architecture(name="probe-identity"),
        bands=BandSet.parse("red").bands,
        gsd_m=None,
        normalisation=Normalisation(mean=(0.0,), std=(255.0,)),
        channels=(Channel(name="dark", class_id=1), Channel(name="bright", class_id=2)),
    )


def predict(file, probe, out, *flags):
    options = ["--bands", "1", "--device", "cpu", "--engine", "sync", "--layers", "classes"]
    return main(["predict", str(DATA / file), "-m", str(probe), "-o", str(out), *options, *flags])


@pytest.mark.parametrize(("file", "flags", "share", "said"), MAPS)
def test_a_scene_is_described_and_mapped(tmp_path, capfd, probe, file, flags, share, said):
    assert main(["info", str(DATA / file), *flags]) == 0
    assert said in " ".join(capfd.readouterr().out.split())
    assert predict(file, probe, tmp_path / "out", *flags) == 0
    with rasterio.open(tmp_path / "out/classes.tif") as classes:
        assert (classes.read(1) != 0).mean() == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize(("file", "said"), REFUSED)
def test_a_scene_without_a_place_or_a_value_is_refused_with_the_way_out(tmp_path, capfd, probe, file, said):
    assert main(["info", str(DATA / file)]) == 3
    assert predict(file, probe, tmp_path / "out") == 3
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


@pytest.mark.parametrize("file", ["corrupt.tif", "truncated_web.tif"])
def test_a_damaged_scene_is_described_but_not_mapped(tmp_path, capfd, probe, file):
    assert main(["info", str(DATA / file)]) == 0
    assert predict(file, probe, tmp_path / "out", "--chunk-px", "512") == 3
    assert "cannot be read" in capfd.readouterr().err
    assert not (tmp_path / "out/classes.tif").exists()


def test_every_file_is_tried():
    named = {file for file, *_ in (*MAPS, *REFUSED)} | {"corrupt.tif", "truncated_web.tif"}
    assert named == {path.name for path in DATA.iterdir() if path.suffix in (".tif", ".vrt")}
