"""Training of promptable networks: the decoder learns and nothing else, a killed training goes on to the same bytes."""

import json
from functools import partial

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml
from conftest import GSD_M, write_tif
from safetensors.numpy import load_file
from sam_folders import write_sam_folder

from geoseg.cli import main
from geoseg.training.prompted import loop
from geoseg.training.prompted.draws import BOX, KINDS, box_of, drawn, judged
from geoseg.training.prompted.loss import prompt_loss

pytest.importorskip("transformers")
LEFT, TOP = 3e5, 3.06e6


def roofs(path, size, *, step, sides=(9, 22)):
    """Write a scene with bright roofs on dark ground, and their polygons beside it."""
    rng = np.random.default_rng(0)
    pixels, shapes = rng.integers(40, 90, (3, size, size)).astype(np.uint8), []
    for row in range(4, size - sides[1], step):
        for col in range(4, size - sides[1], step):
            height, width = rng.integers(*sides, 2)
            pixels[:, row : row + height, col : col + width] += 120
            box = col, row + height, col + width, row
            x0, y0, x1, y1 = (LEFT + v * GSD_M if i % 2 == 0 else TOP - v * GSD_M for i, v in enumerate(box))
            shapes.append(shapely.box(x0, y0, x1, y1))
    write_tif(path / "scene.tif", pixels)
    frame = gpd.GeoDataFrame({"review": ["edited"] * len(shapes)}, geometry=shapes, crs="EPSG:32645")
    frame.to_file(path / "roofs.gpkg")
    return frame


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A folder with a scene of roofs, and the bundle of a tiny network."""
    folder = tmp_path_factory.mktemp("town")
    roofs(folder, 128, step=26)
    imported(folder, "sam2")
    return folder


def imported(folder, family):
    saved = write_sam_folder(folder / f"{family}_saved", family)
    assert main(["import", str(saved), "--family", family, "-o", str(folder / family)]) == 0


def config(folder, family, **keys):
    said = {
        "job": "train_prompt", "name": "roofs", "start_from": family, "out": "tuned", "embeddings": "cache",
        "data": [{"scene": "scene.tif", "labels": "roofs.gpkg"}],
        "split": {"validation": {"side": "east", "share": 0.4}, "buffer_px": 4},
        "schedule": {"epochs": 2, "steps_per_epoch": 2, "learning_rate": 1e-3},
        "validation_objects": 3,
    }  # fmt: skip
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump({**said, **keys}))
    return str(path)


@pytest.mark.nightly
@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_the_decoder_alone_learns_and_its_bundle_answers_prompts(town, tmp_path, family, capsys):
    out = tmp_path / "out"
    if family == "sam":
        imported(town, family)
    assert main(["train", config(town, family), "-o", str(out), "-q"]) == 0
    told = json.loads((out / "model.json").read_text())
    facts = told["training"]
    assert facts["validation"]["before"][0]["objects"] == 3
    assert [row["number"] for row in facts["history"]] == [1, 2]
    assert told["licence"] == "apache-2.0"
    assert "IoU of boxes" in capsys.readouterr().out
    before, after = (load_file(folder / "weights.safetensors") for folder in (town / family, out))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert bool(changed) == (facts["kept_epoch"] > 0)
    assert all(name.startswith("mask_decoder.") and ".conv_s" not in name for name in changed)
    prompts = town / "roofs.gpkg"
    command = ["prompt", str(town / "scene.tif"), str(prompts), "-m", str(out), "-o", str(tmp_path / "asked"), "-q"]
    assert main([*command, "--embeddings", str(tmp_path / "cache"), "--engine", "sync"]) == 0
    assert main(["train", config(town, family), "-o", str(out), "-q"]) == 5


@pytest.mark.nightly
def test_a_training_that_was_cut_short_goes_on_to_the_same_bytes(town, tmp_path, monkeypatch):
    train = partial(main, ["train", config(town, "sam2"), "-o", str(tmp_path / "cut"), "-q"])
    assert main(["train", config(town, "sam2"), "-o", str(tmp_path / "whole"), "-q"]) == 0
    step, done = loop.PromptLoop._step, []

    def failing(self, epoch):
        if len(done) == 3:
            raise RuntimeError("killed")
        done.append(epoch)
        return step(self, epoch)

    monkeypatch.setattr(loop.PromptLoop, "_step", failing)
    assert train() == 1
    monkeypatch.setattr(loop.PromptLoop, "_step", lambda self, epoch: done.append(epoch) or step(self, epoch))
    done.clear()
    assert train() == 0
    assert done == [2, 2], "the first epoch is not trained again"
    cut, whole = (tmp_path / name / "weights.safetensors" for name in ("cut", "whole"))
    assert cut.read_bytes() == whole.read_bytes()
    first, second = (json.loads((tmp_path / name / "model.json").read_text())["training"] for name in ("cut", "whole"))
    assert len({row["train_loss"] for row in first["history"]}) == 2
    assert first["history"] == second["history"]
    assert not (tmp_path / "cut" / ".train").exists()


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        ({"start_from": "../nothing"}, 4, "no model bundle"),
        ({"split": None}, 2, "split is missing"),
        ({"least_px": 5000}, 3, "hold no object of 5000 px"),
        ({"data": [{"scene": "scene.tif", "labels": "scene.tif"}]}, 3, "a raster; prompts are learnt of polygons"),
        ({"data": [{"scene": "scene.tif", "labels": "roofs.gpkg", "ignore": "roofs.gpkg"}]}, 2, "ignore means nothing"),
        ({"data": [{"scene": "scene.tif", "labels": "roofs.gpkg", "use": "train"}]}, 2, "to validate on are needed"),
        ({"stretch": "no"}, 2, "two percentiles"),
    ],
)
def test_what_cannot_be_trained_is_said(town, tmp_path, capsys, keys, code, message):
    assert main(["train", config(town, "sam2", **keys), "-o", str(tmp_path / "out"), "-q"]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.nightly
def test_a_plan_counts_memory_and_a_small_budget_is_refused(town, tmp_path, capsys):
    assert main(["train", config(town, "sam2"), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"]["total"] > 2**30
    assert main(["train", config(town, "sam2"), "-o", str(tmp_path / "out"), "--memory", "100MB", "-q"]) == 6
    assert main(["train", config(town, "sam2"), "--folds", "3", "-q"]) == 2


def test_prompts_that_are_drawn_are_of_their_objects():
    mask = np.zeros((64, 64), bool)
    mask[20:30, 40:50] = True
    assert judged(BOX, mask).box.tolist() == [40, 20, 50, 30]
    rng = np.random.default_rng(0)
    for _ in range(50):
        for kind in KINDS:
            one = drawn(kind, mask, 0.1, rng)
            rows, cols = np.floor(one.points[:, 1]).astype(int), np.floor(one.points[:, 0]).astype(int)
            assert np.array_equal(mask[rows, cols], one.labels == 1)
            if one.box is not None:
                assert np.abs(one.box - box_of(mask)).max() < 5
                assert (one.box[:2] < one.box[2:]).all()


def test_the_loss_is_of_the_best_mask_and_blind_to_what_is_not_known():
    import torch

    truth = torch.zeros(1, 16, 16)
    truth[:, 4:12, 4:12] = 1
    right = torch.nn.functional.avg_pool2d(truth * 40 - 20, 4)
    logits, iou, known = torch.stack([-right, right], 1), torch.tensor([[0.0, 1.0]]), torch.ones(16, 16)
    good = prompt_loss(logits, iou, truth, known)
    assert good < prompt_loss(logits[:, :1], iou[:, :1], truth, known)
    assert prompt_loss(logits, torch.tensor([[0.0, 0.0]]), truth, known) > good, "it learns how sure to be"
    known[:, 8:] = 0
    other = truth.clone()
    other[:, :, 8:] = 1 - other[:, :, 8:]
    assert prompt_loss(logits, iou * 0, truth, known) == prompt_loss(logits, iou * 0, other, known)


@pytest.mark.nightly
def test_a_toy_is_learnt(tmp_path):
    """A window holds one roof: the decoder learns what is bright, from an encoder that never learnt anything."""
    learning = ("transformer", "upscale", "output_h", "iou", "mask_tokens", "obj_score", "pred_obj")
    roofs(tmp_path, 460, step=70, sides=(16, 34))
    write_sam_folder(tmp_path / "saved", begins=tuple(f"mask_decoder.{part}" for part in learning))
    assert main(["import", str(tmp_path / "saved"), "--family", "sam2", "-o", str(tmp_path / "sam2")]) == 0
    schedule = {"epochs": 3, "steps_per_epoch": 40, "learning_rate": 2e-3, "prompts": 8}
    split = {"validation": {"side": "east", "share": 0.3}, "buffer_px": 8}
    said = config(tmp_path, "sam2", schedule=schedule, split=split)
    assert main(["train", said, "-o", str(tmp_path / "out"), "-q"]) == 0
    before, after = (load_file(tmp_path / name / "weights.safetensors") for name in ("sam2", "out"))
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed
    assert all(name.startswith("mask_decoder.") for name in changed)
    told = json.loads((tmp_path / "out" / "model.json").read_text())["training"]["validation"]
    assert all(told["before"][0][kind] < 0.4 for kind in ("box", "point"))
    assert all(told["after"][0][kind] > 0.6 for kind in ("box", "point"))
