"""geoseg train on a scene of houses: bundle, table and curves, and the split it tells."""

import csv
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import geopandas as gpd
import matplotlib.image
import pytest
import yaml

from geoseg.cli import main
from geoseg.config.load import load_config
from geoseg.models import border
from geoseg.models.bundle import load_model
from geoseg.models.calibration import stored
from geoseg.training.mapped import maps_of
from geoseg.training.samples import load_samples


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_scene, tiny_truth):
    content = {
        "job": "train", "name": "tiny houses",
        "data": [{"scene": str(tiny_scene), "labels": str(tiny_truth), "shippable": True}],
        "target": {"kind": "buildings", "border_m": 0.5}, "bands": "red,green,blue", "gsd_m": 0.5,
        "arch": {"name": "compact-unet", "options": {"widths": [8, 16]}},
        "split": {
            "validation": {"side": "south", "share": 0.3}, "test": {"side": "east", "share": 0.25}, "buffer_px": 8,
        },
        "schedule": {"epochs": 3, "steps_per_epoch": 3, "batch": 2, "crop_px": 64, "precision": "fp32"},
        "window_px": 128, "margin_px": 16, "ramp_px": 32, "licence": "CC0-1.0",
    }  # fmt: skip
    path = tmp_path_factory.mktemp("train") / "train.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def told(config, tmp_path_factory):
    """A model's folder, and the lines that its training said on stdout and stderr."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        assert main(["train", str(config), "-o", str(folder), "--progress", "json"]) == 0
    return folder, out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.fixture(scope="module")
def trained(told):
    return told[0]


@pytest.fixture
def quick(config, tmp_path):
    """The same with a single step."""
    content = yaml.safe_load(config.read_text())
    content["schedule"] |= {"epochs": 1, "steps_per_epoch": 1, "batch": 1}
    path = tmp_path / "quick.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_margin_that_nobody_states_is_chosen_by_the_border_profile(quick, tmp_path, capsys):
    content = yaml.safe_load(quick.read_text()) | {"window_px": 256, "calibrate": "none"}
    del content["margin_px"]
    quick.write_text(yaml.safe_dump(content))
    assert main(["train", str(quick), "-o", str(tmp_path / "m")]) == 0
    spec = load_model(tmp_path / "m").spec
    assert spec.margin_px == border.stored(tmp_path / "m").margin_px(spec) <= 32  # the network's default is 64
    assert f"windows: a margin of {spec.margin_px} px is left out of every window" in capsys.readouterr().out


def test_the_bundle_loads_and_says_how_it_was_made(trained):
    spec = load_model(trained).spec
    assert (spec.name, spec.licence, spec.polygon_class) == ("tiny houses", "CC0-1.0", "building")
    assert spec.training["best_epoch"] in (1, 2, 3)
    text = json.dumps(spec.training)
    assert str(trained.parent) not in text


def test_windows_of_scenes_that_may_be_passed_on_are_beside_it(trained):
    assert stored(trained, load_model(trained).spec).shape == (4, 3, 128, 128)


def test_the_table_has_a_row_per_epoch(trained):
    with (trained / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == [
        "epoch", "train_loss", "validation_loss", "iou_background", "iou_building", "score", "seconds", "best",
    ]  # fmt: skip
    ranks = [(float(row["score"]), -float(row["validation_loss"])) for row in rows]  # a tie goes to the lower loss
    assert [row["best"] == "1" for row in rows] == [all(rank > r for r in ranks[:i]) for i, rank in enumerate(ranks)]


def test_the_curves_are_drawn(trained):
    image = matplotlib.image.imread(trained / "training.png")
    assert min(image.shape[:2]) >= 400
    assert len({tuple(p) for p in image[::7, ::7, :3].reshape(-1, 3).round(2)}) > 5


def test_it_has_a_robustness_card_and_examples(trained, capsys):
    assert load_model(trained).spec.training["robustness"]["changed"]["flip left to right"] <= 1
    assert main(["info", str(trained)]) == 0
    assert "of pixels change their class: flip left to right" in capsys.readouterr().out
    image = matplotlib.image.imread(trained / "examples.png")
    assert image.shape[1] > 3 * image.shape[0] / 2


def test_it_tells_its_split_and_a_row_per_epoch(told):
    lines = told[1]
    assert "scene.tif: test       160 x 48 px  (rows 0..160, columns 144..192)" in lines
    assert "buffer between training and the other areas: 8 px" in lines
    assert [line.split()[0] for line in lines if line[:5].strip().isdigit()] == ["1", "2", "3"]


def test_progress_is_told_within_an_epoch(told):
    lines = [json.loads(line) for line in told[2]]
    steps = [(line["stage"], line["done"], line["total"]) for line in lines if "stage" in line]
    assert steps == [(f"epoch {n}/3", done, 3) for n in (1, 2, 3) for done in (1, 2, 3)]


def test_a_model_that_is_there_is_not_replaced_unasked(config, trained, capsys):
    before = (trained / "model.json").read_bytes()
    assert main(["train", str(config), "-o", str(trained)]) == 5
    assert "pass --overwrite" in capsys.readouterr().err
    assert (trained / "model.json").read_bytes() == before


def test_the_data_folder_may_come_from_the_flag(quick, tmp_path, tiny_scene, capsys):
    content = yaml.safe_load(quick.read_text())
    content["data"][0]["scene"] = tiny_scene.name
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main(["train", str(path), "-o", str(tmp_path / "m")]) == 3
    assert str(tmp_path / tiny_scene.name) in capsys.readouterr().err
    argv = ["train", str(path), "--data", str(tiny_scene.parent), "-o", str(tmp_path / "m"), "-q"]
    assert main(argv) == 0


def test_run_trains_too_and_writes_where_it_is_called(quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(quick), "-o", "m", "-q"]) == 0
    assert load_model(tmp_path / "m").spec.name == "tiny houses"


def test_after_a_kill_the_same_command_goes_on(config, tmp_path, capsys, monkeypatch):
    from geoseg.cli import train as verb
    from geoseg.training.checkpoint import Checkpoint

    class Killed(BaseException):
        """The process is gone."""

    def killed(*_):
        raise Killed

    whole, folder = tmp_path / "whole", tmp_path / "m"
    argv = ["train", str(config), "-q", "-o"]
    with monkeypatch.context() as patched:
        patched.setattr(verb, "write_table", killed)
        patched.setattr(Checkpoint, "due", True)
        with pytest.raises(Killed):
            main([*argv, str(folder)])
    assert (folder / ".train" / "checkpoint.safetensors").is_file()
    assert main([*argv, str(folder)]) == main([*argv, str(whole)]) == 0
    names = [p.name for p in whole.iterdir()]
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)
    for name in ("model.json", "weights.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_other_data_than_a_bundle_s_are_refused_with_their_name(quick, trained, tmp_path, tiny_truth, capsys):
    counts = load_model(trained).spec.training["class_counts"]
    assert set(counts) == {"train", "validation"}
    assert counts["train"]["interior"] > 0
    argv = ["train", str(quick), "-q", "-o", str(tmp_path / "m"), "--same-as", str(trained)]
    assert main(argv) == 0
    other = tmp_path / tiny_truth.name
    other.write_bytes(tiny_truth.read_bytes() + b" ")
    content = yaml.safe_load(quick.read_text())
    content["data"][0]["labels"] = str(other)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    argv[1], argv[4] = str(tmp_path / "c.yaml"), str(tmp_path / "m2")
    assert main(argv) == 3
    assert f"data 1.{tiny_truth.name} sha256" in capsys.readouterr().err
    assert not (tmp_path / "m2").exists()


def test_curves_go_to_tensorboard_where_asked(quick, tmp_path, capsys, monkeypatch):
    from types import ModuleType, SimpleNamespace

    argv = ["train", str(quick), "-q", "--log", "tensorboard", "-o", str(tmp_path / "m")]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(argv) == 2
    assert "pip install tensorboard" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    written, fake = [], ModuleType("torch.utils.tensorboard")
    writer = SimpleNamespace(add_scalar=lambda *scalar: written.append(scalar), flush=lambda: None)
    fake.SummaryWriter = lambda folder: writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    assert main(argv) == 0
    assert [(name, number) for name, _, number in written if name == "validation/IoU building"] == [
        ("validation/IoU building", 1)
    ]


def test_the_score_of_an_epoch_is_what_evaluate_says_of_the_map_of_its_bundle(
    config, tmp_path, tiny_scene, tiny_truth, monkeypatch, capsys
):
    """The scene is read at two thirds of its resolution, so that maps come back to its own grid."""
    monkeypatch.setattr("geoseg.cli.train.judged", lambda bundle, *_: bundle)  # the card takes long
    content = yaml.safe_load(config.read_text()) | {"gsd_m": 0.75, "target": {"kind": "buildings"}}
    content["schedule"] |= {"epochs": 1, "steps_per_epoch": 25, "crop_px": 32, "learning_rate": 0.02, "ema": 0.8}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    model, run, scores, strip = (tmp_path / name for name in ("model", "run", "scores.json", "strip.gpkg"))
    assert main(["train", str(tmp_path / "c.yaml"), "-o", str(model), "-q"]) == 0
    assert capsys.readouterr().out.startswith("model ")  # and nothing of the way there
    split = gpd.read_file(model / "split.gpkg", layer="split")
    split[split["role"] == "validation"].to_file(strip)
    assert main(["predict", str(tiny_scene), "-m", str(model), "-o", str(run), "-q"]) == 0
    assert main(["evaluate", str(run), "--truth", str(tiny_truth), "--aoi", str(strip), "--json", str(scores)]) == 0
    said = [row["iou"] for row in json.loads(scores.read_text())["classes"]]
    assert min(said) > 0.3  # it has learnt something
    bundle, spec = load_model(model), load_config(tmp_path / "c.yaml").spec
    maps = maps_of(spec, bundle.spec, load_samples(spec), "validation", device="cpu")
    assert maps.scores(bundle.network())[0] == pytest.approx(said, abs=1e-6)
    told = bundle.spec.training["validation_iou"]
    assert told == pytest.approx(said, abs=5e-3)  # the bundle keeps weights as fp16
    blocks = spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"validation": "blocks"})})
    assert maps_of(blocks, bundle.spec, load_samples(blocks), "validation", device="cpu") is None
