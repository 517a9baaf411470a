import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from geoseg.cli import main
from geoseg.config.batches import BatchConfig
from geoseg.config.load import load_config, shipped_configs
from geoseg.config.permissions import ANYTHING
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.config.trainings import TrainConfig
from geoseg.disk.places import located
from geoseg.errors import ConfigError, InputError, OutputError
from geoseg.jobs.record import config_of_call
from geoseg.options.parse import parse_bytes
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import ClusterOptions, RunOptions
from geoseg.scenes.lists import ListedScene, ListKeys
from geoseg.training.spec import TrainSpec

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def write(path, **content):
    path.write_text(yaml.safe_dump(content))
    return path


def buildings(path, **more):
    return write(path, **{"job": "buildings", "scene": "s.tif", "out": "o", **more})


def train(path, **more):
    content = {
        "job": "train", "name": "t", "data": [{"scene": "s.tif", "labels": "t.gpkg"}], "target": {"kind": "buildings"},
        "bands": "red,green,blue", "split": {"validation": {"side": "south", "share": 0.2}},
    }  # fmt: skip
    return write(path, **(content | more))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_config_is_loaded_and_every_key_in_it_is_explained(path):
    config = load_config(path)
    assert config.job == yaml.safe_load(path.read_text())["job"]
    for line in path.read_text().splitlines():
        if re.match(r" *(- )?[a-z_]+: +\S", line):
            assert "#" in line, f"{path.name}: {line.strip()} has no comment"


def test_the_shipped_configs_have_the_defaults_and_buildings_names_every_key():
    content = yaml.safe_load(shipped_configs()["buildings"].read_text())
    assert set(content) == set(BuildingsConfig.model_fields)
    for key, group in (("options", RunOptions), ("polygons", PolygonOptions)):
        assert set(content[key]) == {field.name for field in fields(group)}
    assert set(content["options"]["cluster"]) == {field.name for field in fields(ClusterOptions)}
    for config in (load_config("buildings"), load_config("land_cover"), load_config("batch").each):
        plain = type(config).model_validate({**config.model_dump(include={"scene", "out"}), "model": "buildings"})
        assert config.model_copy(update={"model": plain.model}) == plain
    content = yaml.safe_load(shipped_configs()["batch"].read_text())
    assert set(content) == set(BatchConfig.model_fields)
    assert set(content["lists"]) == set(ListKeys.__dataclass_fields__)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"optoins": {}}, "optoins: unknown key; did you mean options?"),
        ({"options": {"chunkpx": 512}}, "options.chunkpx: unknown key; did you mean chunk_px?"),
        ({"options": {"zzz": 1}}, "options.zzz: unknown key; there are engine, cluster,"),
        ({"options": {"chunk_px": 700}}, "options: chunk-px 700: choose 512, 1024"),
        ({"options": {"memory_bytes": "4 apples"}}, "options.memory_bytes: '4 apples': write a size such as 4GB"),
        ({"options": {"tta": {"views": "spin"}}}, "options.tta: {'views': 'spin'}: write none, flip, rotate or d4"),
        ({"polygons": {"min_area": 5}}, "polygons.min_area: unknown key; did you mean min_area_m2?"),
        ({"nodata": "none"}, "nodata: 'none' is no number"),
    ],
)
def test_a_wrong_key_is_named_with_its_path(tmp_path, keys, told):
    path = buildings(tmp_path / "x.yaml", **keys)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: {told}")


@pytest.mark.parametrize("tta", ["d4@0.75,1", {"views": "d4", "scales": [0.75, 1]}])
def test_views_are_written_as_a_text_or_as_keys(tmp_path, tta):
    assert load_config(buildings(tmp_path / "x.yaml", options={"tta": tta})).options.tta == "d4@0.75,1"
    assert load_config(train(tmp_path / "t.yaml", tta=tta)).spec.tta == "d4@0.75,1"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"schedule": {"epoch": 3}}, "schedule.epoch: unknown key; did you mean epochs?"),
        ({"target": {"kind": "buildings", "border": 1}}, "target.border: unknown key; did you mean border_m?"),
        (
            {"data": [{"scen": "a.tif", "labels": "b.gpkg"}]},
            "2 faults: data.0.scen: unknown key; did you mean scene?; data.0.scene: missing",
        ),
        ({"split": {"validation": {"side": "up", "share": 0.2}}}, "split.validation.side: 'up': choose 'north', "),
        ({"name": ""}, "name: "),
        ({"window_px": 100}, "margin 64 px and ramp 64 px leave a window of 100 px no stride"),
        ({"margin_px": 300}, "margin 300 px and ramp 64 px leave a window of 512 px no stride"),
        ({"gsd_m": 1e-300}, "gsd_m: "),
    ],
)
def test_a_wrong_key_of_a_training_is_named_with_its_path(tmp_path, keys, told):
    path = train(tmp_path / "x.yaml", **keys)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: {told}")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"each": {"job": "land_cover"}}, "each.model: missing"),
        ({"each": {"job": "train"}}, "each: job: 'train' is not known; choose 'land_cover', 'buildings'"),
        ({"each": {"job": "buildings", "picture": "s.tif"}}, "each.picture: unknown key; there are bands,"),
        (
            {"each": {"job": "buildings", "options": {"chunkpx": 512}}},
            "each.options.chunkpx: unknown key; did you mean",
        ),
        ({"max_failure": 2}, "max_failure: unknown key; did you mean max_failures?"),
        ({"max_failures": -1}, "max-failures -1: at least 0 is needed"),
        ({"lists": {"asset": "b"}}, "lists.asset: unknown key; did you mean assets?"),
    ],
)
def test_a_wrong_key_of_a_batch_is_named_with_its_path(tmp_path, keys, told):
    path = write(
        tmp_path / "x.yaml", **{"job": "batch", "scenes": "*.tif", "out": "o", "each": {"job": "buildings"}, **keys}
    )
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: {told}")


def test_every_fault_of_a_config_is_told_at_once_in_the_words_of_its_keys(tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_text(
        "job: buildings\nscene: 3\nnodata: .inf\noptoins: 1\n"
        "options: {batch: three, engine: spark, shard: x, threshold: .nan}\npolygons: {min_area_m2: .inf}\n"
    )
    assert main(["run", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: {path}: 9 faults: optoins: unknown key; did you mean options?; nodata: inf is no number that can be "
        "used; scene: 3: write a path, or a list of paths; options.engine: 'spark': choose 'threads', 'sync', "
        "'local', 'cuda' or 'dask'; options.shard: 'x': write i/n, e.g. 1/8; options.batch: 'three' is no whole "
        "number; options.threshold: nan is no number that can be used; out: missing; polygons.min_area_m2: inf is no "
        "number that can be used"
    )


def test_a_fault_under_a_tagged_or_a_free_key_has_the_path_that_the_file_spells(tmp_path):
    target = {"kind": "classes", "column": "c", "values": {"a": "x"}, "classes": []}
    with pytest.raises(ConfigError, match=r"x\.yaml: target\.values\.a: 'x' is no whole number$"):
        load_config(train(tmp_path / "x.yaml", target=target))


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BOMB, r"line 2: alias \*a: aliases are not read, write the value out"),
        ("a: &a {b: *a}", r"line 1: alias \*a"),
        ("a: " + "[" * 900 + "]" * 900, "line 1: more than 20 levels of nesting"),
        ("{a: " * 900 + "}" * 900, "line 1: more than 20 levels of nesting"),
        ("- " * 900 + "a", "line 1: more than 20 levels of nesting"),
        ("job: [buildings]", r"job: \['buildings'\] is not known; choose land_cover"),
        ("job: {a: 1}", "job: {'a': 1} is not known"),
        ("? [a]\n: b", "line 1: a key is no plain word"),
        ('job: "a\\0b"', "holds the control character U"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor for the tag"),
        ("a: 2001-99-99", "month must be in"),
        ("- a", "holds no keys; a config starts with job"),
        ("#" * (4 * 2**20 + 1), "holds more than 4 MiB, too many for a config"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "batch", "train"])
def test_a_config_that_is_no_plain_yaml_is_refused_with_one_line(tmp_path, capsys, verb, content, told):
    path = tmp_path / "x.yaml"
    path.write_text(content)
    assert main([verb, str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(told, line)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"job": ' + "[" * 9000 + "]" * 9000 + "}", "brackets are nested too deeply"),
        ('{"job": "train", "job": "batch"}', "key 'job' is given twice"),
        ('{"job": "buildings", "nodata": 1e999}', "inf is no number that can be used"),
    ],
)
def test_json_is_as_strict(tmp_path, content, told):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=told):
        load_config(path)


def test_a_config_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = buildings(tmp_path / "x.yaml")

    def refused(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(InputError, match=r"x.yaml: cannot be read \(Permission denied\)"):
        load_config(path)
    with pytest.raises(InputError, match="no such config"):
        load_config(tmp_path)


def test_a_batch_gives_every_scene_a_config_of_its_own(tmp_path):
    each = {"job": "land_cover", "model": "m", "sensor": "naip", "options": {"aoi": "a.gpkg", "max_runtime_s": "2m"}}
    path = write(tmp_path / "x.yaml", job="batch", scenes="in/*.tif", out="o", each=each)
    config = load_config(path)
    assert config.scenes == (str(tmp_path / "in/*.tif"),)
    one = config.over(ListedScene("a", ("/data/a.tif",)))
    assert one == LandCoverConfig(
        scene="/data/a.tif", out=str(tmp_path / "o/a"), model=str(tmp_path / "m"), sensor="naip",
        options=RunOptions(aoi=str(tmp_path / "a.gpkg"), max_runtime_s=120.0),
    )  # fmt: skip
    assert config.with_options(overwrite=True).each.options.overwrite


def test_a_missing_key_a_missing_job_and_a_key_given_twice_are_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.yaml: scene: missing"):
        load_config(write(tmp_path / "x.yaml", job="buildings", out="o"))
    with pytest.raises(ConfigError, match=r"job: missing; choose land_cover, buildings, batch, train"):
        load_config(write(tmp_path / "y.yaml", scene="s.tif"))
    with pytest.raises(ConfigError, match="job: 'building' is not known"):
        load_config(write(tmp_path / "z.yaml", job="building"))
    twice = tmp_path / "twice.yaml"
    twice.write_text("job: buildings\nscene: a\nscene: b\n")
    with pytest.raises(ConfigError, match="key 'scene' is given twice"):
        load_config(twice)
    with pytest.raises(InputError, match="no such config; those that come with geoseg: batch, buildings, land_cover"):
        load_config(tmp_path / "none.yaml")


def test_relative_paths_start_at_the_config_and_changes_at_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "own_model").mkdir()
    path = buildings(tmp_path / "conf" / "x.yaml", model="own_model")
    monkeypatch.chdir(tmp_path)
    config = load_config(path)
    assert config.scene == (str(tmp_path / "conf/s.tif"),)
    assert config.out == str(tmp_path / "conf/o")
    assert config.model == (str(tmp_path / "conf/own_model"),)
    changed = load_config(path, changes={"out": "other", "scene": ["a.tif", "b.tif"]})
    assert (changed.out, changed.scene) == ("other", ("a.tif", "b.tif"))
    assert load_config(buildings(tmp_path / "conf" / "x.yaml", model="buildings")).model == ("buildings",)


def test_a_scene_that_is_absolute_remote_or_the_demo_stays_itself(tmp_path):
    for scene in ("/data/s.tif", "https://example.org/s.tif", "/vsicurl/https://example.org/s.tif"):
        assert load_config(
            write(tmp_path / "x.yaml", job="buildings", scene=scene, out="o"), allowed=ANYTHING
        ).scene == (scene,)
    (tmp_path / "demo").mkdir()  # as a first `geoseg demo` leaves it
    (demo,) = load_config(write(tmp_path / "x.yaml", job="buildings", scene="demo", out="o")).scene
    assert Path(demo).parts[-3:] == ("geoseg", "demo", "scene.tif")


def test_a_run_json_holds_a_config_that_runs_again_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = BuildingsConfig(scene="s.tif", out="o", options=RunOptions(overwrite=True, threshold=0.4))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/run.json").write_text(json.dumps({"software": "geoseg", "config": config.recorded()}))
    again = load_config(tmp_path / "deep/run.json")
    assert again.scene == (str(tmp_path / "s.tif"),)
    assert again.options == RunOptions(threshold=0.4, overwrite=False)


def test_a_call_with_a_relative_area_of_interest_can_be_repeated_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "aoi.gpkg").touch()
    monkeypatch.chdir(tmp_path)
    options = RunOptions(aoi="aoi.gpkg:fields", shard=(1, 2))
    recorded = config_of_call(["s.tif"], [], Path("o"), options=options, polygons=None)
    assert recorded["options"]["aoi"] == f"{tmp_path}/aoi.gpkg:fields"
    assert recorded["options"]["shard"] is None


@pytest.mark.parametrize("name", ["run.json", "plan.json"])
@pytest.mark.parametrize("content", [b"", b'{"config": {"job": "buil', b"\x00\xff", b"[]", b"{}", b'{"config": 7}'])
def test_a_damaged_run_json_is_a_damaged_output_and_no_wrong_usage(tmp_path, capsys, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError, match=rf"is no {name} of geoseg, or damaged"):
        load_config(tmp_path / name)
    assert main(["run", str(tmp_path / name), "-n"]) == 5
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_run_json_of_a_scene_that_came_opened_says_that_it_cannot_run_again(tmp_path):
    (tmp_path / "run.json").write_text('{"config": null}')
    with pytest.raises(ConfigError, match="came opened from Python"):
        load_config(tmp_path / "run.json")


def test_a_training_config_is_a_train_spec_with_resolved_paths(tmp_path):
    config = load_config(train(tmp_path / "x.yaml", data_folder="pixels"))
    assert isinstance(config, TrainConfig)
    assert type(config.spec) is TrainSpec
    assert config.spec.data[0].scene == str(tmp_path / "pixels/s.tif")
    assert load_config(tmp_path / "x.yaml", changes={"data_folder": "/d"}).spec.data[0].labels == "/d/t.gpkg"


def test_sizes_are_read_and_nonsense_is_refused():
    assert parse_bytes("2GiB") == 2**31
    assert parse_bytes("750 mb") == 750_000_000
    for text in ("", "GB", "-1GB", "4 apples", "1e9"):
        with pytest.raises(ConfigError, match="write a size such as 4GB"):
            parse_bytes(text)


def test_a_folder_called_buildings_does_not_hide_the_model_of_that_name(tmp_path):
    """``geoseg buildings scene.tif -o buildings`` makes one; the next run here must still find the model."""
    (tmp_path / "buildings").mkdir()
    (tmp_path / "mine").mkdir()
    config = BuildingsConfig(scene=("scene.tif",), out="buildings")
    assert config.based_on(tmp_path).model == ("buildings",)
    assert config.model_copy(update={"model": ("mine",)}).based_on(tmp_path).model == (str(tmp_path / "mine"),)


@pytest.mark.parametrize("shard", ["0/8", "9/8", "0/0", [0, 8]])
def test_shards_count_from_one(tmp_path, shard):
    with pytest.raises(ConfigError, match=r"shards count from 1: 1/\d … \d/\d"):
        load_config(buildings(tmp_path / "x.yaml", options={"shard": shard}))
    assert load_config(buildings(tmp_path / "x.yaml", options={"shard": "8/8"})).options.shard == (8, 8)


@pytest.mark.parametrize("key", ["mask", "out", "scene", "model"])
@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_path_is_no_folder(tmp_path, key, text):
    with pytest.raises(ConfigError, match=f"{key}.*is empty; name a file or folder"):
        load_config(buildings(tmp_path / "x.yaml", **{key: text}))


def test_an_empty_area_of_interest_and_no_memory_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="aoi: is empty"):
        load_config(buildings(tmp_path / "x.yaml", options={"aoi": ""}))
    for memory in ("0", "0GB", 0, -1):
        with pytest.raises(ConfigError, match="write a size above 0"):
            load_config(buildings(tmp_path / "x.yaml", options={"memory_bytes": memory}))


@pytest.mark.parametrize("flag", [["-o", ""], ["-o", "out", "--aoi", ""], ["-o", "out", "--mask", ""]])
def test_an_empty_flag_is_refused(tmp_path, capsys, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "scene.tif", "-m", "tiny", *flag]) == 2
    assert "is empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.tif", "{here}/a.tif"),
        ("GTIFF_DIR:2:a.tif", "GTIFF_DIR:2:{here}/a.tif"),
        ("NETCDF:a.nc:red", "NETCDF:{here}/a.nc:red"),
        ('NETCDF:"b:c.nc":red', 'NETCDF:"{here}/b:c.nc":red'),
        ("GPKG:a.gpkg:tiles", "GPKG:{here}/a.gpkg:tiles"),
        ("/vsizip/a.zip/in/a.tif", "/vsizip/{here}/a.zip/in/a.tif"),
        ("T10:30.tif", "{here}/T10:30.tif"),
        ("NETCDF:gone.nc:red", "NETCDF:gone.nc:red"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
        ("/vsicurl/https://example.org/a.tif", "/vsicurl/https://example.org/a.tif"),
        ("a.gpkg:layer", "{here}/a.gpkg:layer"),
    ],
)
def test_a_name_is_located_with_the_file_within_it(tmp_path, monkeypatch, name, found):
    for file in ("a.tif", "a.nc", "b:c.nc", "a.gpkg", "a.zip", "T10:30.tif"):
        (tmp_path / file).touch()
    assert located(name, tmp_path) == found.format(here=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert located(name) == found.format(here=tmp_path)
    assert located(located(name)) == located(name)
