"""Pseudo-labels by the verb: what a run says where it is sure, void elsewhere; a training takes them."""

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.cli import main
from geoseg.models.bundle import load_model
from geoseg.training.data_spec import LabelledScene
from geoseg.training.label_spec import LabelLayer
from geoseg.training.labels import open_labels
from geoseg.training.pseudo import pseudo_labels
from geoseg.training.targets import UNKNOWN, BuildingTarget


def written(scene, bundle, path, *flags):
    assert main(["labels", "pseudo", str(scene), "-m", str(bundle), "-o", str(path), *flags]) == 0
    with rasterio.open(path) as src:
        return src.read(1), src.tags()


@pytest.fixture(scope="module")
def run(finished_run):
    """Classes and p(building) of a run."""
    out = {}
    for name in ("classes", "confidence"):
        with rasterio.open(finished_run / f"{name}.tif") as src:
            out[name] = src.read(1)
    out["p"] = (out["confidence"].astype(float) - 1) / 254
    return {**out, "median": float(np.median(out["p"][out["confidence"] > 0]))}


def test_they_are_the_classes_of_a_run_where_it_is_sure(tiny_scene, tiny_bundle, tmp_path, run, capsys):
    everything, tags = written(tiny_scene, tiny_bundle, tmp_path / "all.tif", "--confidence", "0")
    np.testing.assert_array_equal(everything, run["classes"])
    assert tags["SOURCE"].startswith(load_model(tiny_bundle).spec.name)
    p, least = run["p"], run["median"]
    some, _ = written(tiny_scene, tiny_bundle, tmp_path / "some.tif", "--confidence", f"{least}")
    clear = np.abs(p - least) > 0.01  # bytes of a run are rounded
    wanted = np.where(p >= least, run["classes"], 0)
    np.testing.assert_array_equal(some[clear], wanted[clear])
    assert 0 < (some > 0).sum() < (everything > 0).sum()
    assert f"{(some == 0).mean():.1%} of the scene is void" in capsys.readouterr().out


def test_buildings_are_learnt_of_them(tiny_scene, tiny_bundle, tmp_path, run):
    ids, _ = written(tiny_scene, tiny_bundle, tmp_path / "l.tif", "--confidence", f"{run['median']}")
    layer = LabelLayer(file=str(tmp_path / "l.tif"), values={1: 1, 2: 2})
    scene = geoseg.open_scene(tiny_scene)
    raw = open_labels(LabelledScene(scene=str(tiny_scene), labels=(layer,)), BuildingTarget(), scene.grid)(
        scene.grid.box
    )
    np.testing.assert_array_equal(raw, np.choose(ids, [UNKNOWN, 0, 1]))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["pseudo"], "name one, -m BUNDLE"),
        (["weak"], "name them, --marks FILE"),
        (["weak", "--marks", "m.gpkg", "--confidence", "0.9"], "--confidence: not of weak labels; leave it out"),
        (
            ["pseudo", "-m", "b", "--kind", "boxes", "--rest", "void"],
            "--kind, --rest: not of pseudo labels; leave them",
        ),
    ],
)
def test_what_labels_are_made_of_has_to_be_said(flags, told, tiny_scene, tmp_path, capsys):
    assert main(["labels", *flags, str(tiny_scene), "-o", str(tmp_path / "l.tif")]) == 2
    assert told in capsys.readouterr().err


def test_parts_say_what_the_whole_says(tiny_scene, tiny_bundle, monkeypatch):
    scene, bundle = geoseg.open_scene(tiny_scene), load_model(tiny_bundle)
    whole = pseudo_labels(scene, bundle, confidence=0.5)
    monkeypatch.setattr("geoseg.training.pseudo.PART_PX", 64)
    np.testing.assert_array_equal(pseudo_labels(scene, bundle, confidence=0.5), whole)
