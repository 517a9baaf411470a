"""FIFOs, sockets and devices as inputs: refused with one line by every verb, since opening one may wait without end."""

import os

import numpy as np
import pytest
from conftest import write_tif

from geoseg.cli import main
from geoseg.errors import InputError
from geoseg.scenes.lists import ListKeys, list_scenes

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")


@pytest.fixture
def inputs(tmp_path, tiny_scene, tiny_bundle):
    """What the verbs below read, a FIFO at the last place of each."""
    write_tif(tmp_path / "one.tif", np.indices((1, 8, 8))[1].astype(np.uint8) % 2 + 1)
    (tmp_path / "done").mkdir()
    for name in ("a.tif", "a.gpkg", "a.csv", "a.yaml", "done/run.json"):
        os.mkfifo(tmp_path / name)
    return {"at": str(tmp_path), "scene": str(tiny_scene), "model": str(tiny_bundle)}


@pytest.mark.parametrize(
    ("command", "code", "name"),
    [
        ("info {at}/a.tif", 3, "a.tif"),
        ("vectorize {at}/a.tif -o {at}/b.gpkg", 3, "a.tif"),
        ("predict {scene} -m {model} --mask {at}/a.tif -o {at}/out", 3, "a.tif"),
        ("predict {scene} -m {model} --aoi {at}/a.gpkg -o {at}/out", 3, "a.gpkg"),
        ("evaluate {at}/one.tif --truth {at}/a.tif", 3, "a.tif"),
        ("regularize {at}/a.gpkg -o {at}/b.gpkg", 3, "a.gpkg"),
        ("run buildings {at}/a.yaml", 3, "a.yaml"),
        ("check {at}/done", 8, "run.json"),
    ],
)
def test_a_fifo_is_refused_by_name(inputs, command, code, name, capsys):
    assert main(command.format(**inputs).split()) == code
    said = "".join(capsys.readouterr())
    assert any(name in line and ("FIFO" in line or "no regular file" in line) for line in said.splitlines()), said


def test_a_fifo_is_no_list_of_scenes(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a.csv: is a FIFO"):
        list_scenes([str(tmp_path / "a.csv")], ListKeys())
