"""Clouds are masked before another model runs, as if their mask had been given."""

import json

import numpy as np
import pytest
import rasterio
from conftest import write_bundle

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.errors import ConfigError, InputError, OutputError
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.classes import ClassInfo


@pytest.fixture(scope="module")
def cloudy(tmp_path_factory):
    """A model that takes what is bright for cloud."""
    return write_bundle(
        tmp_path_factory.mktemp("bundle") / "cloudy",
        widths=[],
        arch=Architecture(name="probe-identity"),
        normalisation=Normalisation(mean=(0.0,) * 3, std=(255.0,) * 3),
        channels=(Channel(name="clear", class_id=1), Channel(name="cloud", class_id=2)),
        classes=(ClassInfo(1, "clear", (90, 150, 90)), ClassInfo(2, "cloud", (240, 240, 240))),
        polygon_class=None,
    )


def test_a_run_has_the_bytes_of_one_that_is_given_the_mask(tmp_path, tiny_scene, tiny_bundle, cloudy):
    out, given = tmp_path / "out", tmp_path / "given"
    argv = ["predict", str(tiny_scene), "-m", str(tiny_bundle), "-q"]
    assert main([*argv, "-o", str(out), "--mask-clouds", str(cloudy)]) == 0
    mask = out / "clouds" / "mask.tif"
    assert main([*argv, "-o", str(given), "--mask", str(mask)]) == 0
    for name in ("classes.tif", "confidence.tif", "classes.tif.aux.xml"):
        assert (out / name).read_bytes() == (given / name).read_bytes(), name
    with (
        rasterio.open(mask) as masked,
        rasterio.open(out / "clouds" / "classes.tif") as clouds,
        rasterio.open(out / "classes.tif") as classes,
    ):
        clear = clouds.read(1) == 1
        assert 0 < clear.mean() < 1
        np.testing.assert_array_equal(masked.read(1), clear)
        np.testing.assert_array_equal(classes.read(1) > 0, clear)
    config = json.loads((out / "run.json").read_text())["config"]
    assert (config["mask"], config["options"]["mask_clouds"]) == (str(mask), None)


def test_an_unfinished_run_goes_on_with_its_mask_and_a_new_one_makes_its_own(tmp_path, tiny_scene, tiny_bundle, cloudy):
    out, options = tmp_path / "out", RunOptions(mask_clouds=str(cloudy), keep_parts=True)
    predict(tiny_scene, tiny_bundle, out, options=options)
    mask = out / "clouds" / "mask.tif"
    first = mask.stat().st_mtime_ns
    for file in filter(lambda path: path.is_file(), out.iterdir()):
        file.unlink()  # the parts of the job are all there, and its outputs are not
    predict(tiny_scene, tiny_bundle, out, options=RunOptions(mask_clouds=str(cloudy)))
    assert mask.stat().st_mtime_ns == first
    config = json.loads((out / "run.json").read_text())["config"]  # a call from Python is repeated with its mask, too
    assert (config["mask"], config["options"]["mask_clouds"]) == (str(mask), None)
    with pytest.raises(OutputError, match="holds a finished run"):
        predict(tiny_scene, tiny_bundle, out, options=RunOptions(mask_clouds=str(cloudy)))
    predict(tiny_scene, tiny_bundle, out, options=RunOptions(mask_clouds=str(cloudy), overwrite=True))
    assert mask.stat().st_mtime_ns > first


def test_what_cannot_mask_is_refused(tmp_path, tiny_scene, tiny_bundle, cloudy):
    asked = RunOptions(mask_clouds=str(tiny_bundle))
    with pytest.raises(ConfigError, match=r"classes are background, building, and none is clear; .*--install clouds"):
        predict(tiny_scene, tiny_bundle, tmp_path / "out", options=asked)
    with pytest.raises(ConfigError, match="name a folder"):
        predict(tiny_scene, tiny_bundle, options=asked)
    mismatched = write_bundle(tmp_path / "infrared", widths=[4, 8], bands=BandSet.parse("red,green,nir").bands)
    with pytest.raises(InputError, match="nir"):
        predict(tiny_scene, mismatched, tmp_path / "out", options=RunOptions(mask_clouds=str(cloudy)))
    assert not (tmp_path / "out").exists()  # refused before clouds are looked for
    with pytest.raises(ConfigError, match="every shard would make the mask"):
        RunOptions(mask_clouds="clouds", shard=(1, 2))
