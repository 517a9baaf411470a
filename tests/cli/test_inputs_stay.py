"""What a verb reads it never writes, and it says so before it looks at anything: --overwrite replaces other files."""

import json

import pytest
import yaml

from geoseg.cli import main

TRAINING = {
    "job": "train", "name": "t", "data_folder": ".", "out": "m", "data": [{"scene": "s.tif", "labels": "doubts.gpkg"}],
    "target": {"kind": "buildings", "border_m": 0.5}, "bands": "red,green,blue", "gsd_m": 0.5,
    "arch": {"name": "compact-unet", "options": {"widths": [8, 8]}},
    "split": {"validation": {"side": "west", "share": 0.3}, "buffer_px": 8}, "schedule": {"epochs": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("prompt s.tif p.gpkg -m b --refine objects.gpkg", "objects.gpkg"),
        ("prompt s.tif --everything -m b --within objects.gpkg", "objects.gpkg"),
        ("check-labels train.yaml", "doubts.gpkg"),
    ],
)
def test_an_input_that_is_called_like_an_output_stays(tmp_path, monkeypatch, capsys, command, name):
    monkeypatch.chdir(tmp_path)
    for file in ("s.tif", "p.gpkg", name):
        (tmp_path / file).write_text("mine")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(TRAINING))
    assert main([*command.split(), "-o", ".", "--overwrite"]) == 5
    assert f"{name}: is read by this run, so it is not written" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


def test_the_map_that_names_masks_stays_whole(tmp_path, capsys):
    grid = {"crs": "EPSG:32645", "transform": [0.5, 0, 3e5, 0, -0.5, 3e6], "shape": [4, 4]}
    classes = [{"id": i, "name": name, "color": [i, 0, 0]} for i, name in ((1, "ground"), (2, "roof"))]
    said = {"software": "geoseg", "version": "0", "model": {}, "input": [], "grid": grid, "classes": classes}
    (tmp_path / "run.json").write_text(json.dumps({**said, "outputs": {"classes.tif": {}}}))
    ask = ["prompt", "s.tif", "p.gpkg", "-m", "b", "--classes", str(tmp_path), "-o", str(tmp_path), "--overwrite"]
    assert main(ask) == 5
    assert "run.json: is read by this run, so it is not written" in capsys.readouterr().err


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("buildings scene.tif -m {model}", "buildings.gpkg"),
        ("predict scene.tif -m {model} --probabilities", "probabilities.tif"),
        ("predict scene.tif -m {model}", "classes.tif"),
        ("predict scene.tif -m {model}", "confidence.tif"),
        ("predict classes.tif -m {model}", "classes.tif"),  # the scene itself
    ],
)
def test_in_a_folder_of_the_user_s_own_files_none_is_touched(
    tmp_path, monkeypatch, tiny_scene, tiny_bundle, command, name, overwrite
):
    monkeypatch.chdir(tmp_path)
    for file in {"scene.tif", name}:
        (tmp_path / file).write_bytes(tiny_scene.read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([*command.format(model=tiny_bundle).split(), "-o", ".", "-q", *overwrite]) == 5
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
