"""geoseg train --folds: a bundle for each part that validates, their scores in one table, and after a kill the rest."""

from statistics import mean, stdev

import pytest
import yaml

from geoseg.cli import main
from geoseg.cli.folds import fold_table
from geoseg.models.bundle import load_model
from geoseg.training.history import Epoch


@pytest.fixture
def config(tmp_path, tiny_scene, tiny_truth):
    def written(**split):
        content = {
            "job": "train", "name": "tiny houses", "data": [{"scene": str(tiny_scene), "labels": str(tiny_truth)}],
            "target": {"kind": "buildings", "border_m": 0.5}, "bands": "red,green,blue", "gsd_m": 0.5,
            "arch": {"name": "compact-unet", "options": {"widths": [8, 16]}}, "split": split, "calibrate": "none",
            "schedule": {"epochs": 1, "steps_per_epoch": 1, "batch": 2, "crop_px": 32, "precision": "fp32"},
            "window_px": 128, "margin_px": 16, "ramp_px": 32,
        }  # fmt: skip
        (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
        return ["train", str(tmp_path / "train.yaml"), "--folds", "2", "-q", "-o", str(tmp_path / "out")]

    return written


BLOCKS = {"by": "blocks", "side_m": 20, "buffer_m": 2, "test": 0, "scattered": 0}


def test_every_part_validates_once_and_a_killed_run_goes_on_in_the_fold_where_it_was(
    config, tmp_path, capsys, monkeypatch
):
    from geoseg.cli import train as verb
    from geoseg.training.checkpoint import Checkpoint

    class Killed(BaseException):
        """The process is gone."""

    def killed(_path, _epochs, _names):
        if (tmp_path / "out" / "fold-1").exists():
            raise Killed

    monkeypatch.setattr(verb, "judged", lambda bundle, *_: bundle)  # it takes long, and is of each bundle alone
    with monkeypatch.context() as patched:
        patched.setattr(verb, "write_table", killed)
        patched.setattr(Checkpoint, "due", True)
        with pytest.raises(Killed):
            main(config(**BLOCKS))
    first = (tmp_path / "out/fold-0/model.json").read_bytes()
    capsys.readouterr()
    assert main(config(**BLOCKS)) == 0
    assert (tmp_path / "out/fold-0/model.json").read_bytes() == first
    folders = sorted(tmp_path.glob("out/*"))
    assert [p.name for p in folders] == ["fold-0", "fold-1"]
    assert not list(tmp_path.glob("out/*/.train"))
    specs = [load_model(folder).spec for folder in folders]
    assert [spec.training["config"]["split"]["fold"] for spec in specs] == [0, 1]
    out = capsys.readouterr().out
    begun = out[: out.index("fold 1 of 2")]
    assert not [line for line in begun.splitlines() if line.strip().startswith("1 ")]  # no epoch of fold 0 again
    rows = [line.split() for line in out.splitlines()[-4:]]
    iou = [spec.training["validation_iou"][1] for spec in specs]
    assert [row[0] for row in rows] == ["0", "1", "mean", "spread"]
    assert [float(row[-1]) for row in rows] == pytest.approx([*iou, mean(iou), stdev(iou)], abs=2e-4)


def test_one_that_cannot_train_all_folds_trains_none(config, tmp_path, capsys):
    strips = {"validation": {"side": "south", "share": 0.3}}
    assert main(config(**strips)) == 2
    assert "only blocks and groups have them; say split: {by: blocks}" in capsys.readouterr().err
    assert main(config(**BLOCKS | {"side_m": 1000})) == 3
    assert "leave no labels for" in capsys.readouterr().err
    (tmp_path / "out/fold-1").mkdir(parents=True)
    (tmp_path / "out/fold-1/model.json").touch()
    assert main(config(**BLOCKS)) == 5
    assert "fold-1" in capsys.readouterr().err
    assert not (tmp_path / "out/fold-0").exists()


def test_a_class_without_truth_in_a_fold_is_left_out_of_its_mean():
    nan = float("nan")
    folds = [Epoch(n, 0, 0, iou, 0, 0, best=True) for n, iou in ((3, (0.5, nan, nan)), (4, (0.7, 0.2, nan)))]
    rows = [line.split() for line in fold_table(folds, ["a", "b", "c"]).splitlines()]
    assert rows == [
        ["fold", "epoch", "a", "b", "c"],
        ["0", "3", "0.5000", "–", "–"],
        ["1", "4", "0.7000", "0.2000", "–"],
        ["mean", "–", "0.6000", "0.2000", "–"],
        ["spread", "–", "0.1414", "–", "–"],
    ]
