"""geoseg review: the worst corner first, and what is corrected trains; geoseg monitor: a shifted scene is found."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from conftest import GSD_M, write_tif

from geoseg.cli import main
from geoseg.errors import ConfigError
from geoseg.jobs.monitor import Alert
from geoseg.jobs.review import Doubt, doubts_of, pick
from geoseg.models.values import trained_values
from geoseg.scenes.open import open_scene
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.targets import IGNORE, ClassTarget
from geoseg.values.box import Box
from geoseg.values.classes import BUILDING_CLASSES


@pytest.fixture
def run(finished_run, tmp_path):
    """A finished run, of whose map the corner at rows 64 and columns 128 is unsure."""
    folder = shutil.copytree(finished_run, tmp_path / "run")
    with rasterio.open(folder / "confidence.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        sure = np.where(dst.read(1) > 0, 250, 0).astype(np.uint8)
        sure[64:128, 128:192] = 130
        dst.write(sure, 1)
    return folder


def test_the_worst_corner_ranks_first_and_is_ready_to_be_corrected(run, tmp_path, capsys):
    out = tmp_path / "review.gpkg"
    command = ["review", str(run), "-o", str(out), "--count", "4", "--side-px", "64"]
    assert main(command) == 0
    assert "4 windows" in capsys.readouterr().out
    frame = gpd.read_file(out, layer="review")
    worst = frame[frame["rank"] == 1]
    assert set(worst["score"].round(4)) == {round(125 / 254, 4)}
    with rasterio.open(run / "classes.tif") as src:
        left, top = src.transform @ (128, 64)
        right, bottom = src.transform @ (192, 128)
    assert worst.total_bounds == pytest.approx([left, bottom, right, top])
    assert worst.geometry.area.sum() == pytest.approx((right - left) * (top - bottom))
    assert set(frame["review"]) == {"unseen"}
    assert set(frame["class"]) <= {"background", "building"}
    assert "mean probability 0.51" in worst["reason"].iloc[0]
    first = out.read_bytes()
    assert main([*command, "--overwrite"]) == 0
    assert out.read_bytes() == first
    (run / "confidence.tif").unlink()
    record = json.loads((run / "run.json").read_text())
    record["layers"] = [layer for layer in record["layers"] if layer["name"] != "confidence"]
    (run / "run.json").write_text(json.dumps(record))
    assert main([*command, "--overwrite"]) == 3
    assert "--layers classes,confidence" in capsys.readouterr().err


@pytest.mark.nightly
def test_windows_are_the_same_for_any_chunks(tiny_bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(40, 200, (3, 140, 1100)).astype(np.uint8)
    scene, made = str(write_tif(tmp_path / "scene.tif", pixels)), []
    for chunk_px in (512, 1024):
        run, out = tmp_path / str(chunk_px) / "run", tmp_path / f"{chunk_px}.gpkg"
        chunks = ["--chunk-px", str(chunk_px), "--engine", "sync", "-q"]
        assert main(["predict", scene, "-m", str(tiny_bundle), "-o", str(run), *chunks]) == 0
        assert main(["review", str(run), "-o", str(out), "--count", "9", "--side-px", "64"]) == 0
        made.append(gpd.read_file(out, layer="review"))
    assert made[0]["rank"].max() == 9
    assert made[0].equals(made[1])


def test_what_is_corrected_trains_and_the_rest_is_void(run, tiny_scene, tmp_path):
    out = tmp_path / "review.gpkg"
    assert main(["review", str(run), "-o", str(out), "--count", "4", "--side-px", "64"]) == 0
    frame = gpd.read_file(out, layer="review")
    frame.loc[frame["rank"] == 1, ["class", "review"]] = ["background", "edited"]
    frame.to_file(tmp_path / "edited.gpkg", layer="review")
    target = ClassTarget(column="class", classes=BUILDING_CLASSES)
    data = LabelledScene(scene=str(tiny_scene), labels=str(tmp_path / "edited.gpkg"))
    grid = open_scene(tiny_scene).grid
    labels = target.labels(open_labels(data, target, grid)(grid.box), gsd_m=GSD_M)
    assert (labels[64:128, 128:192] == 0).all()
    labels[64:128, 128:192] = IGNORE
    assert (labels == IGNORE).all()


def test_classes_take_turns_and_neighbours_wait():
    box = [Box(64 * r, 64 * c, 64 * r + 64, 64 * c + 64) for r in range(4) for c in range(4)]
    doubts = [Doubt(b, 254 * (100 - i), 1000, 1) for i, b in enumerate(box)]
    doubts[15] = Doubt(box[15], 254, 1000, 2)
    picked = list(pick(doubts, 4))
    assert [d.box for d in picked] == [box[0], box[15], box[2], box[8]]
    assert len(list(pick(doubts, 99))) == 16
    blank = np.zeros((8, 8), np.uint8)
    assert list(doubts_of(blank, blank, Box(0, 0, 8, 8), 4)) == []


def shifted(run, folder, pixels):
    """Copy a run, with the scene that it names ``pixels`` brighter."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text())
    scene = folder / "scene.tif"
    shutil.copy(record["config"]["scene"][0], scene)
    with rasterio.open(scene, "r+") as dst:
        dst.write((dst.read() + pixels).astype(np.uint8))
    record["config"]["scene"] = [str(scene)]
    (folder / "run.json").write_text(json.dumps(record))
    return str(folder)


def test_a_shifted_scene_is_found_and_the_same_one_is_not(finished_run, tmp_path, capsys):
    same, other = shifted(finished_run, tmp_path / "same", 0), shifted(finished_run, tmp_path / "other", 10)
    page = tmp_path / "drift.html"
    against = ["--against", str(finished_run), "-q"]
    assert main(["monitor", same, "-o", str(page), *against, "--psi", "0.02"]) == 0
    assert "Nothing is beyond its bounds" in page.read_text()
    assert main(["monitor", same, other, "-o", str(page), *against, "--overwrite"]) == 8
    said = capsys.readouterr()
    assert "1 of 2 runs are beyond their bounds: other" in said.err
    assert "red has an index of" in page.read_text()
    assert main(["monitor", same, "-o", str(page), *against, "--overwrite", "--alert", "building > 50 %"]) == 8
    assert "building" in capsys.readouterr().out
    assert main(["monitor", same, "-o", str(page), "--overwrite", "-q"]) == 2
    assert "--against" in capsys.readouterr().err
    assert main(["monitor", same, "-o", str(page), "-q"]) == 5
    assert main(["monitor", str(tmp_path), "-o", str(tmp_path / "new.html"), "-q"]) == 3


def test_alerts_say_what_is_wrong_with_them():
    with pytest.raises(ConfigError, match=r"building > 2 %"):
        Alert.parse("building is large")
    with pytest.raises(ConfigError, match="has the classes field"):
        Alert("water", above=True, percent=1).of({"field": 1.0}, "run")
    assert Alert("field", above=False, percent=2).of({"field": 0.01}, "run") == "field 1.00 % < 2 %"


def test_how_far_areas_of_a_training_are_apart_is_no_alarm(finished_run, tmp_path, capsys):
    rng = np.random.default_rng(0)
    dark, bright = (rng.normal(level, 9, (2, 900)).astype(np.float32) for level in (90, 120))
    dark[1] = np.nan
    values = trained_values([dark, bright], bytes_alone=True)
    assert values.among[0] > 0.25
    assert values.among[1] == pytest.approx(0, abs=0.01)
    assert values.stability_index(0, dark[0]) <= values.among[0] + 1e-4
    assert trained_values([bright], bytes_alone=True).among == ()
    folder = shutil.copytree(finished_run, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    for among, code in ((None, 8), (0.4, 8), (0.6, 0)):
        record["plan"]["values"] = [{"band": "red", "stability_index": 0.5, "outside": 0.0, "among": among}]
        (folder / "run.json").write_text(json.dumps(record))
        assert main(["monitor", str(folder), "-o", str(tmp_path / "drift.html"), "--overwrite"]) == code
