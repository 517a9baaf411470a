"""verify's oracle: every drawn object comes back, and each kind of loss is found."""

import json

import detect
import numpy as np
import panoptic
import pytest
import rasterio
from affine import Affine
from conftest import write_tif
from rasterio.crs import CRS

from geoseg.cli import main
from geoseg.options.run import RunOptions
from geoseg.selftest.isolated_run import Trial, run_here
from geoseg.selftest.oracle import Oracle, numbered
from geoseg.values.grid import Grid


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    grid = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3e6), (530, 400))
    return Oracle.write(tmp_path_factory.mktemp("oracle"), grid, detect.spec_of(margin_px=48))


def test_drawn_objects_have_all_sizes_and_some_touch():
    ids = numbered((1536, 1536), whole_px=84)
    assert ids.max() > 300
    rows, cols = np.nonzero(ids == 1)
    assert max(np.ptp(rows), np.ptp(cols)) >= 600
    pairs = np.stack([ids[:, :-1], ids[:, 1:]])
    assert ((pairs[0] != pairs[1]) & (pairs > 0).all(0)).any()


def test_every_object_comes_back(oracle, tmp_path):
    ran = run_here(
        oracle.scene,
        Trial(network="oracle", models=(oracle.model,), options=RunOptions(chunk_px=512)),
        tmp_path / "out",
    )
    assert ran.error is None
    found = oracle.judged(tmp_path / "out", "threads")
    assert (found.ok, found.detail) == (True, f"{oracle.ids.max()} objects")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p, ids: p.__setitem__(ids == 5, 1), "1 of"),  # lost
        (lambda p, ids: p.__setitem__(ids == 5, 255 + 6), "2 of"),  # joined to another
        (lambda p, ids: p.__setitem__((ids == 5) & (np.indices(ids.shape)[1] % 2 > 0), 9999), "1 of"),  # in two
        (lambda p, ids: p.__setitem__(tuple(np.argwhere(ids == 0)[7]), 9999), "0 of"),  # one that is not there
        (lambda p, ids: p.__setitem__(tuple(np.argwhere(ids == 5)[0]), 1), "1 of"),  # without a pixel
    ],
)
def test_each_kind_of_loss_is_found(oracle, tmp_path, damage, words):
    painted = np.where(oracle.ids == 0, 1, 255 + oracle.ids.astype(np.uint32)).astype(np.uint32)
    write_tif(tmp_path / "panoptic.tif", painted[None])
    assert oracle.judged(tmp_path, "threads").ok
    damage(painted, oracle.ids)
    write_tif(tmp_path / "panoptic.tif", painted[None])
    found = oracle.judged(tmp_path, "threads")
    assert not found.ok
    assert found.detail.startswith(words)


@pytest.mark.nightly
@pytest.mark.parametrize("margin_px", [16, 48, 80])
def test_a_detector_is_verified(tmp_path, capsys, margin_px):
    scene = detect.write_scene(tmp_path / "scene.tif", detect.truth_of((1100, 1000)))
    with rasterio.open(scene, "r+") as dst:
        dst.descriptions = ("b1",)
    model = detect.write_oracle(tmp_path / "m", margin_px=margin_px)
    assert main(["verify", str(scene), "-m", str(model), "--device", "cpu", "-q"]) == 0
    assert "oracle: threads 512 px gives every object back" in capsys.readouterr().out


@pytest.mark.nightly
def test_a_panoptic_model_is_verified_with_the_files_of_its_stages(tmp_path, capsys):
    scene = panoptic.write_scene(tmp_path / "scene.tif", *panoptic.truth_of((600, 600)))
    model = panoptic.write_oracle(tmp_path / "m")
    assert main(["verify", str(scene), "-m", str(model), "--device", "cpu", "-q", "--json"]) == 0
    runs = [run for run in json.loads(capsys.readouterr().out)["runs"] if run["network"] == "model"]
    assert len(runs) == 5
    assert {"panoptic.tif", "instances.gpkg", "classes.tif"} <= set(runs[0]["hashes"])
    assert all(run["hashes"] == runs[0]["hashes"] for run in runs)
