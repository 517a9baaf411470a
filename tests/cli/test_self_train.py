"""geoseg train --self-train: a teacher, its pseudo-labels and a student, and after a kill the rest."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from conftest import write_tif

from geoseg.cli import main
from geoseg.models.bundle import load_model
from geoseg.training.checkpoint import Checkpoint


@pytest.fixture
def config(tmp_path, tiny_scene, tiny_truth):
    gpd.read_file(tiny_truth).assign(kind="house").to_file(tmp_path / "truth.gpkg")

    def written(**target):
        classes = [{"id": 1, "name": "ground", "color": "#808080"}, {"id": 2, "name": "house", "color": "#ff0000"}]
        content = {
            "job": "train", "name": "tiny classes", "data": [{"scene": str(tiny_scene), "labels": "truth.gpkg"}],
            "target": {"kind": "classes", "column": "kind", "values": {"house": 2}, "elsewhere": 1,
                       "classes": classes, **target},
            "bands": "red,green,blue", "gsd_m": 0.5, "calibrate": "none",
            "arch": {"name": "compact-unet", "options": {"widths": [8, 16]}},
            "split": {"validation": {"side": "south", "share": 0.3}, "buffer_px": 8},
            "schedule": {"epochs": 1, "steps_per_epoch": 1, "batch": 2, "crop_px": 32, "precision": "fp32"},
            "window_px": 128, "margin_px": 16, "ramp_px": 32,
        }  # fmt: skip
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
        return ["train", str(tmp_path / "train.yaml"), "-q", "-o", str(tmp_path / "out")]

    return written


@pytest.fixture
def unlabelled(tmp_path):
    pixels = np.random.default_rng(5).integers(40, 220, (3, 96, 96), np.uint8)
    return write_tif(tmp_path / "more.tif", pixels, photometric="RGB")


def test_the_student_learns_of_the_teachers_answers_and_a_killed_run_goes_on(
    config, unlabelled, tmp_path, capsys, monkeypatch
):
    from geoseg.cli import train as verb

    class Killed(BaseException):
        """The process is gone."""

    def killed(_path, _epochs, _names):
        if (tmp_path / "out/pseudo/1.tif").exists():
            raise Killed

    monkeypatch.setattr(verb, "judged", lambda bundle, *_: bundle)  # it takes long, and is of each bundle alone
    asked = [*config(), "--self-train", str(unlabelled), "--confidence", "0.4"]
    with monkeypatch.context() as patched:
        patched.setattr(verb, "write_table", killed)
        patched.setattr(Checkpoint, "due", True)
        with pytest.raises(Killed):
            main(asked)
    teacher = load_model(tmp_path / "out/teacher")
    capsys.readouterr()
    assert main(asked) == 0
    assert load_model(tmp_path / "out/teacher").digest == teacher.digest
    student = load_model(tmp_path / "out").spec
    shares = [item["share"] for item in student.training["config"]["data"]]
    assert shares == [1.0, 0.5]  # a third of the windows
    with rasterio.open(tmp_path / "out/pseudo/1.tif") as src:
        assert src.tags()["SOURCE"] == f"tiny classes {teacher.digest[:12]}, confidence 0.4 and more"
        labelled = (src.read(1) > 0).mean()
    assert labelled > 0
    out = capsys.readouterr().out
    assert f"{labelled:.1%} of {unlabelled} is labelled" in out
    rows = [line.split() for line in out.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["teacher", "student"]
    for row, spec in zip(rows, (teacher.spec, student), strict=True):
        assert [float(v) for v in row[2:]] == pytest.approx(spec.training["validation_iou"], abs=1e-4)
    assert not list(tmp_path.glob("out/**/.train"))
    assert len((tmp_path / "out/metrics.csv").read_text().splitlines()) == 2


def test_what_knows_no_objects_is_not_taught_to_a_target_of_objects(config, unlabelled, tmp_path, capsys):
    asked = ["--self-train", str(unlabelled)]
    assert main([*config(border_m={"house": 1}), *asked]) == 2
    assert "without border_m" in capsys.readouterr().err
    boxes = {"loss": {"boxinst": {"classes": ["house"]}}, "augmentation": {"rotate": False}}
    path = tmp_path / "boxes.yaml"
    command = config()
    path.write_text(yaml.safe_dump(yaml.safe_load((tmp_path / "train.yaml").read_text()) | boxes))
    assert main([command[0], str(path), *command[2:], *asked]) == 2
    assert "boxinst takes labels for boxes" in capsys.readouterr().err
    assert main([*config(), *asked, "--folds", "3"]) == 2
    assert main([*config(), "--self-train", str(tmp_path / "none.tif")]) == 3
    assert "none.tif" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "out/pseudo").mkdir(parents=True)
    (tmp_path / "out/pseudo/1.tif").write_text("somebody's")
    assert main([*config(), *asked]) == 5
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pseudo"]
    assert (tmp_path / "out/pseudo/1.tif").read_text() == "somebody's"
