"""A config from a stranger reads local files alone: code, schedulers and URLs need a flag on the command line."""

import json
import re
from pathlib import Path

import pytest
import rasterio.shutil
import yaml

from geoseg.cli import main
from geoseg.cli.verbs import command
from geoseg.config.load import load_config
from geoseg.config.permissions import ANYTHING, NOTHING, Allowed, refuse_what_is_not_allowed
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.open import open_scene

DASK = {"engine": "dask"}


def config(path, **more):
    content = {"job": "buildings", "scene": "s.tif", "out": "o", **more}
    path.write_text(yaml.safe_dump(content) if path.suffix == ".yaml" else json.dumps({"config": content}))
    return path


@pytest.mark.parametrize("name", ["x.yaml", "run.json"])
@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"options": {**DASK, "cluster": {"factory": "trap:spring"}}}, "options.cluster.factory 'trap:spring'"),
        ({"options": {**DASK, "cluster": {"address": "tcp://a:1"}}}, "options.cluster.address 'tcp://a:1'"),
        ({"options": {**DASK, "cluster": {"scheduler_file": "s.json"}}}, "options.cluster.scheduler_file 's.json'"),
        ({"scene": "https://a.org/s.tif"}, "scene 'https://a.org/s.tif'"),
        ({"scene": ["s.tif", "/vsis3/a/s.tif"]}, "scene.1 '/vsis3/a/s.tif'"),
        ({"mask": "/vsizip//vsicurl/a.zip"}, "mask '/vsizip//vsicurl/a.zip'"),
        ({"options": {"aoi": "PG:host=a"}}, "options.aoi 'PG:host=a'"),
        ({"scene": "<VRTDataset/>"}, "scene '<VRTDataset/>'"),
    ],
)
def test_code_and_network_are_refused_in_a_config_with_the_flag_that_allows_them(
    tmp_path, monkeypatch, capsys, name, keys, told
):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = config(tmp_path / name, **keys)
    assert main(["run", str(path), "-n"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    flag = "--allow-factory" if "factory" in told else "--allow-network"
    assert told in line
    assert line.endswith(f"pass {flag}")
    assert load_config(path, allowed=ANYTHING).job == "buildings"


def test_a_batch_and_a_training_are_held_to_the_same(tmp_path):
    each = {"job": "buildings", "options": {**DASK, "cluster": {"factory": "a:b"}}}
    path = tmp_path / "b.yaml"
    path.write_text(yaml.safe_dump({"job": "batch", "scenes": ["/vsicurl/a/*.tif"], "out": "o", "each": each}))
    with pytest.raises(
        ConfigError, match=r"scenes .*each.options.cluster.factory .*--allow-factory and --allow-network"
    ):
        load_config(path)
    with pytest.raises(ConfigError, match="--allow-network"):
        load_config(path, allowed=Allowed(factory=True))
    path.write_text(
        yaml.safe_dump({
            "job": "train", "name": "t", "data": [{"scene": "/vsicurl/a.tif", "labels": "t.gpkg"}],
            "target": {"kind": "buildings"}, "bands": "red", "split": {"validation": {"side": "south", "share": 0.2}},
        })
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"data.scene '/vsicurl/a.tif'"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"options": {"classes": "URL"}}, "options.classes"),
        ({"options": {"detector": "URL"}}, "options.detector"),
        ({"raster": "URL"}, "raster"),
        ({"monitor": {"against": ["URL"]}}, "monitor.against"),
        ({"data": [{"labels": [{"file": "URL"}]}]}, "data.labels.file"),
        ({"data": [{"area": "URL"}, {}]}, "data.0.area"),
        ({"data": [{"truth": {"height": "URL"}}]}, "data.truth.height"),
        ({"split": {"by": "blocks", "keep": "URL"}}, "split.keep"),
    ],
)
def test_every_key_that_names_a_file_is_held_to_it(content, key):
    content = json.loads(json.dumps(content).replace("URL", "https://a.org/b.tif"))
    with pytest.raises(ConfigError, match=rf"x: {key} 'https://a.org/b.tif': a config alone may not"):
        refuse_what_is_not_allowed(content, NOTHING, where="x")
    names = {"loss": {"dice": {"classes": ["Roads: paved"]}}, "attribution": "https://a.org"}
    refuse_what_is_not_allowed(names, NOTHING, where="x")


def test_the_command_line_s_own_scene_needs_no_permission(tmp_path):
    path = config(tmp_path / "x.yaml", scene="https://a.org/s.tif")
    assert load_config(path, changes={"scene": ["https://b.org/s.tif"]}).scene == ("https://b.org/s.tif",)


def test_local_only_refuses_what_makes_gdal_read_further_files(tmp_path, tiny_scene, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: pytest.fail("asked for an address"))
    assert open_scene(tiny_scene, local_only=True) == open_scene(tiny_scene)
    vrt = tmp_path / "x.vrt"
    rasterio.shutil.copy(tiny_scene, vrt, driver="VRT")
    vrt.rename(tmp_path / "x.tif")  # a format is known by its content, not by its name
    assert open_scene(tmp_path / "x.tif")
    with pytest.raises(InputError, match="none of the formats that --local-only allows: GTiff, "):
        open_scene(tmp_path / "x.tif", local_only=True)
    for name in ("https://a.org/s.tif", "/vsicurl/https://a.org/s.tif", "WMS:https://a.org", "/vsis3/a/b.tif"):
        with pytest.raises(InputError, match="not a file of this machine, and --local-only is given"):
            open_scene(name, local_only=True)
        with pytest.raises(InputError, match="not a file of this machine"):
            open_scene(tiny_scene, mask=name, local_only=True)


def test_local_only_is_a_flag_and_a_key(tmp_path, capsys):
    assert main(["info", "https://a.org/s.tif", "--local-only"]) == 3
    with pytest.raises(ConfigError, match=r"aoi https://a.org/a.gpkg: not a file of this machine"):
        load_config(
            config(tmp_path / "x.yaml", local_only=True, options={"aoi": "https://a.org/a.gpkg"}), allowed=ANYTHING
        )


def test_the_page_of_what_is_refused_names_flags_that_exist():
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(--[a-z-]+)", text))
    assert {"--allow-factory", "--allow-network", "--local-only"} <= named
    flags = [name for verb in ("predict", "run") for parameter in command(verb).params for name in parameter.opts]
    assert named <= set(flags)
