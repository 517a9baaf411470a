"""Memory of a training: counted with its network, and refused before its first step."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import write_bundle

from geoseg.cli import main
from geoseg.errors import MemoryBudgetError
from geoseg.models.architectures import check_architecture
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture
from geoseg.training import memory
from geoseg.training.data_spec import Cut, LabelledScene, Split
from geoseg.training.memory import training_memory
from geoseg.training.spec import Schedule, Teacher, TrainSpec
from geoseg.training.targets import BuildingTarget

REPOSITORY = Path(__file__).resolve().parents[2]


def spec(scenes=1, **schedule):
    return TrainSpec(
        name="t",
        data=tuple(LabelledScene(scene=f"{i}.tif", labels="l.gpkg") for i in range(scenes)),
        target=BuildingTarget(),
        bands="red,green,blue",
        arch=Architecture(name="compact-unet", options={"widths": [8, 16, 32]}),
        split=Split(validation=Cut(side="east", share=0.25)),
        schedule=Schedule(**{"batch": 4, "crop_px": 128, **schedule}),
    )


def test_more_windows_take_more_and_more_scenes_do_not():
    one, many = (training_memory(spec(scenes), "cpu") for scenes in (1, 200))
    assert one == many
    large = training_memory(spec(batch=64), "cpu")
    step_px = 4 * 128**2
    assert large.network > one.network + 15 * step_px * 4 * 2 * (8 + 16)  # two maps of the widest level at least
    assert large.weights == one.weights
    assert training_memory(spec(), "cuda").network < one.network


def test_what_is_built_and_dropped_counts_where_it_is_more_than_the_copies_of_the_weights(monkeypatch):
    plain, kind = training_memory(spec(), "cuda").weights, type(check_architecture(spec().arch))
    monkeypatch.setattr(kind, "dropped_bytes", property(lambda _: plain // memory.COPIES))
    assert training_memory(spec(), "cuda").weights == plain
    monkeypatch.setattr(kind, "dropped_bytes", property(lambda _: 20 * plain))
    assert training_memory(spec(), "cuda").weights == plain // memory.COPIES + 20 * plain


def test_a_teacher_s_run_counts_where_it_takes_more_than_a_step(tmp_path, monkeypatch):
    teacher = load_model(write_bundle(tmp_path / "teacher", widths=[4, 8], window_px=64, margin_px=0, ramp_px=0))
    large = teacher.spec.model_copy(update={"probed": teacher.spec.probed.model_copy(update={"live_bytes": 2**33})})
    monkeypatch.setattr(memory, "load_model", lambda _: replace(teacher, spec=large))
    run = spec(batch=1, crop_px=32)
    taught = run.model_copy(update={"teacher": Teacher(model=str(tmp_path / "teacher"))})
    alone, both = (training_memory(one, "cpu") for one in (run, taught))
    assert both.network > 2**33 > alone.network
    assert both.weights > alone.weights


def test_what_does_not_fit_is_refused_with_the_way_out():
    planned = training_memory(spec(), "cpu")
    planned.check(planned.total)
    with pytest.raises(MemoryBudgetError, match=r"allow more with --memory, or take a smaller schedule\.batch"):
        planned.check(planned.total - 1)


def test_the_command_refuses_before_it_reads_a_label(tmp_path, tiny_scene, capsys):
    content = {**spec().model_dump(mode="json"), "job": "train", "data_folder": "/", "out": str(tmp_path / "m")}
    content["data"] = [{"scene": str(tiny_scene), "labels": str(tiny_scene), "use": use} for use in ("train", "test")]
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(content))
    assert main(["train", str(config), "--memory", "1GB", "-q"]) == 6
    assert "the training needs" in capsys.readouterr().err
    assert main(["train", str(config), "-n", "-q"]) == 0
    parts = json.loads(capsys.readouterr().out)["memory_bytes"]
    assert parts.pop("total") == sum(parts.values())
    assert not (tmp_path / "m").exists()


@pytest.mark.nightly
def test_the_peak_of_a_training_does_not_grow_with_the_number_of_scenes():
    command = [sys.executable, "benchmarks/training_memory.py", "20", "60", "--side", "1024", "--steps", "4"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    print(done.stdout)
    assert float(re.search(r"the largest is ([\d.]+)% above", done.stdout)[1]) <= 10
