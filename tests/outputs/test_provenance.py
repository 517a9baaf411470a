"""A model's licence and attribution stand in all that it made, and in what is made of that."""

import json
import sqlite3
from contextlib import closing

import pytest
import rasterio
from conftest import write_bundle

from geoseg.cli import main
from geoseg.outputs.provenance import model_of_layers, model_of_tags, model_tags

LICENCE, ATTRIBUTION = "CC-BY-4.0", "© somebody, 2020"


@pytest.fixture(scope="module")
def run(tiny_scene, tmp_path_factory):
    """The folder of a run of a model with a licence."""
    folder = tmp_path_factory.mktemp("licensed")
    bundle = write_bundle(folder / "model", widths=[4, 8], licence=LICENCE, attribution=ATTRIBUTION)
    flags = ["--split", "none", "--probabilities", "--device", "cpu", "-q", "-o", str(folder / "out")]
    assert main(["buildings", str(tiny_scene), "-m", str(bundle), *flags]) == 0
    return folder / "out"


def test_rasters_say_it_in_their_tags(run):
    for name in ("classes.tif", "confidence.tif", "probabilities.tif"):
        with rasterio.open(run / name) as raster:
            told = model_of_tags(raster.tags())
        assert (told["name"], told["licence"], told["attribution"]) == ("model", LICENCE, ATTRIBUTION)


def test_polygons_that_are_made_of_them_say_it_again(run, tmp_path):
    made = {
        "straight.gpkg": ["regularize", run / "buildings.gpkg"],
        "drawn.gpkg": ["vectorize", run / "probabilities.tif"],
        "classes.gpkg": ["vectorize", run / "classes.tif", "--kind", "coverage"],
    }
    for name, argv in made.items():
        assert main([*map(str, argv), "-o", str(tmp_path / name), "-q"]) == 0
    for path in (run / "buildings.gpkg", *(tmp_path / name for name in made)):
        told = model_of_layers(path)
        assert (told["name"], told["licence"], told["attribution"]) == ("model", LICENCE, ATTRIBUTION), path


def test_the_members_of_an_ensemble_are_all_named_and_equal_licences_once():
    models = [{"name": name, "licence": LICENCE, "attribution": ""} for name in ("a", "a", "b")]
    assert model_tags(models, digest="0") == {
        "GEOSEG_MODEL": "a, a, b", "GEOSEG_MODEL_SHA256": "0", "GEOSEG_LICENCE": LICENCE,
    }  # fmt: skip


@pytest.mark.parametrize("text", [None, "[]", "no JSON", json.dumps({"software": "geoseg"})])
def test_files_of_others_name_no_model(tmp_path, text):
    path = tmp_path / "theirs.gpkg"
    with closing(sqlite3.connect(path)) as db:
        if text is not None:
            db.execute("CREATE TABLE gpkg_metadata (md_standard_uri TEXT, metadata TEXT)")
            db.execute("INSERT INTO gpkg_metadata VALUES ('urn:geoseg:provenance', ?)", (text,))
            db.commit()
    assert model_of_layers(path) is None
    assert model_of_layers(tmp_path / "missing.gpkg") is None
    assert model_of_tags({"AREA_OR_POINT": "Area"}) is None
