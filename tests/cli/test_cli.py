"""The command line in process: results, exit codes, and one line for each way things go wrong."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from conftest import write_tif

from geoseg import __version__
from geoseg.cli import main
from geoseg.cli.verbs import VERBS, command
from geoseg.models.values import SHARES
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions


@pytest.fixture
def cli(capsys):
    """Run the command line; returns (exit code, stdout, stderr)."""

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def tiny(tiny_scene, tiny_bundle):
    return tiny_scene, tiny_bundle


def blank(path, bands, dtype="uint8", size=64, **profile):
    return write_tif(path, np.zeros((bands, size, size), dtype), **profile)


# --- what can go wrong: each is one line that says what, where and what to do --------------------------------------


def no_file(tmp_path, scene, bundle):
    return ["predict", tmp_path / "none.tif", "-m", bundle, "-o", tmp_path / "o"]


def not_a_raster(tmp_path, scene, bundle):
    (tmp_path / "text.tif").write_text("hello")
    return ["predict", tmp_path / "text.tif", "-m", bundle, "-o", tmp_path / "o"]


def four_bands(tmp_path, scene, bundle):
    return ["predict", blank(tmp_path / "four.tif", 4, photometric="MINISBLACK"), "-m", bundle, "-o", tmp_path / "o"]


def no_crs(tmp_path, scene, bundle):
    return ["predict", blank(tmp_path / "nocrs.tif", 3, crs=None), "-m", bundle, "-o", tmp_path / "o"]


def complex_pixels(tmp_path, scene, bundle):
    return ["predict", blank(tmp_path / "slc.tif", 3, "complex64"), "-m", bundle, "-o", tmp_path / "o"]


def other_grid(tmp_path, scene, bundle):
    files = [blank(tmp_path / "B02.tif", 1), blank(tmp_path / "B03.tif", 1, size=65)]
    return ["predict", *files, "-m", bundle, "-o", tmp_path / "o"]


def unknown_model(tmp_path, scene, bundle):
    return ["predict", scene, "-m", tmp_path / "no_model", "-o", tmp_path / "o"]


def flipped_byte(tmp_path, scene, bundle):
    damaged = shutil.copytree(bundle, tmp_path / "damaged")
    content = bytearray((damaged / "weights.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "weights.safetensors").write_bytes(content)
    return ["predict", scene, "-m", damaged, "-o", tmp_path / "o"]


def output_exists(tmp_path, scene, bundle):
    (tmp_path / "o").mkdir()
    shutil.copy(Path(__file__).parents[1] / "data" / "c8002e3" / "finished" / "run.json", tmp_path / "o")
    return ["predict", scene, "-m", bundle, "-o", tmp_path / "o"]


def unknown_key(tmp_path, scene, bundle):
    keys = {"job": "buildings", "scene": str(scene), "out": "o", "options": {"treshold": 0.4}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(keys))
    return ["run", tmp_path / "c.yaml"]


def no_model(tmp_path, scene, bundle):
    return ["verify", scene]


def odd_chunk(tmp_path, scene, bundle):
    return ["predict", scene, "-m", bundle, "-o", tmp_path / "o", "--chunk-px", "700"]


def odd_memory(tmp_path, scene, bundle):
    return ["predict", scene, "-m", bundle, "-o", tmp_path / "o", "--memory", "plenty"]


def little_memory(tmp_path, scene, bundle):
    return ["predict", scene, "-m", bundle, "-o", tmp_path / "o", "--memory", "1MB"]


def unknown_sensor(tmp_path, scene, bundle):
    return ["info", scene, "--bands", "B02,B03,B04", "--sensor", "sentinel-9"]


def odd_crs(tmp_path, scene, bundle):
    return ["info", blank(tmp_path / "nocrs.tif", 3, crs=None), "--assume-crs", "EPSG:nowhere"]


def no_flag(tmp_path, scene, bundle):
    return ["predict", scene, "-m", bundle]


def unknown_flag(tmp_path, scene, bundle):
    return ["predict", scene, "-m", bundle, "-o", tmp_path / "o", "--tile-size", "3"]


def unfinished_folder(tmp_path, scene, bundle):
    return ["evaluate", tmp_path, "--truth", scene]


def wrong_job(tmp_path, scene, bundle):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"job": "buildings", "scene": "s", "out": "o"}))
    return ["train", tmp_path / "c.yaml"]


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (no_file, 3, ["none.tif", "no such file"]),
        (not_a_raster, 3, ["text.tif", "not a raster"]),
        (four_bands, 3, ["four.tif", "4 bands", "needs 3", "--bands"]),
        (no_crs, 3, ["nocrs.tif", "no CRS", "--assume-crs"]),
        (complex_pixels, 3, ["slc.tif", "complex", "convert"]),
        (other_grid, 3, ["B03.tif", "B02.tif", "65 x 65", "one grid"]),
        (unknown_model, 4, ["no_model", "no model bundle", "known by name"]),
        (flipped_byte, 4, ["weights.safetensors", "sha256", "fetch it again"]),
        (output_exists, 5, ["/o:", "finished run", "--overwrite"]),
        (unknown_key, 2, ["c.yaml", "options.treshold", "did you mean threshold?"]),
        (no_model, 2, ["no model", "-m", "known by name"]),
        (odd_chunk, 2, ["chunk-px 700", "512"]),
        (odd_memory, 2, ["'plenty'", "4GB"]),
        (little_memory, 6, ["MiB", "--memory"]),
        (unknown_sensor, 2, ["sentinel-9", "sentinel-2"]),
        (odd_crs, 2, ["--assume-crs EPSG:nowhere", "not a CRS"]),
        (no_flag, 2, ["--output", "geoseg predict --help"]),
        (unknown_flag, 2, ["--tile-size", "geoseg predict --help"]),
        (unfinished_folder, 3, ["run.json", "finished run"]),
        (wrong_job, 2, ["c.yaml", "job: buildings", "job: train"]),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_bad_input_is_one_line_and_an_exit_code(cli, tmp_path, tiny, *, fault, code, told):
    got, out, err = cli(*fault(tmp_path, *tiny))
    assert got == code, err
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    for part in told:
        assert part in err
    assert not list(tmp_path.glob("o/*.tif"))


def truncated(path, share):
    """A tiled scene of two chunks whose file ends early."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 256, 1024), np.uint8)
    write_tif(path, pixels, tiled=True, blockxsize=256, blockysize=256, photometric="RGB")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(("share", "code", "told"), [(0.02, 3, "fetch it again"), (0.9, 7, "the same command")])
def test_a_truncated_scene_ends_in_one_line_and_no_visible_output(capfd, tmp_path, tiny_bundle, share, code, told):
    scene, out = truncated(tmp_path / "cut.tif", share), tmp_path / "o"
    flags = ["-q", "--chunk-px", "512"]
    assert main(["predict", str(scene), "-m", str(tiny_bundle), "-o", str(out), *flags]) == code
    printed, said = capfd.readouterr()  # what GDAL's own code says is heard too
    assert printed == ""
    assert said.count("\n") == 1
    assert "cut.tif" in said
    assert told in said
    assert [p.name for p in out.glob("*")] == ([".job"] if code == 7 else []), "what can go on stays"


def test_an_unexpected_error_is_one_line_and_a_traceback_with_debug(cli, monkeypatch, tiny_scene):
    def broken(scene):
        raise KeyError("inside")

    monkeypatch.setattr("geoseg.scenes.describe.describe", broken)
    code, _, err = cli("info", tiny_scene)
    assert (code, err) == (1, "error: unexpected KeyError: 'inside'. --debug shows where\n")
    code, _, err = cli("info", tiny_scene, "--debug")
    assert code == 1
    assert "Traceback" in err


def test_an_interrupt_is_130(cli, monkeypatch, tiny_scene):
    def stopped(scene):
        raise KeyboardInterrupt

    monkeypatch.setattr("geoseg.scenes.describe.describe", stopped)
    code, _, err = cli("info", tiny_scene)
    assert code == 130
    assert err == "error: interrupted; a run goes on where it stopped when it is started again\n"


# --- what goes right ------------------------------------------------------------------------------------------------


def test_version_and_help(cli):
    assert cli("--version") == (0, f"geoseg {__version__}\n", "")
    for argv in ([], ["--help"]):
        code, out, _ = cli(*argv)
        assert code == 0
        for verb in VERBS:
            assert f" {verb} " in out


@pytest.mark.parametrize("verb", VERBS)
def test_flags_use_dashes_and_every_verb_can_be_quiet_and_debugged(verb):
    names = {name for p in command(verb).params if p.param_type_name == "option" for name in p.opts}
    assert {"-q", "-v", "--progress", "--debug"} <= names
    assert not [n for n in names if "_" in n]


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_what_their_docstrings_say(verb):
    assert command(verb).help.split("\n\n")[0].replace("\n", " ") == VERBS[verb][1]


def test_help_imports_neither_torch_nor_dask_nor_rasterio():
    code = (
        "import sys; from geoseg.cli import main; main(['predict', '--help']); "
        "heavy = {'torch', 'dask', 'rasterio', 'geopandas', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_buildings_writes_everything_and_check_finds_it_sound(cli, finished_run):
    assert {"classes.tif", "confidence.tif", "probabilities.tif", "buildings.gpkg", "run.json"} <= {
        p.name for p in finished_run.iterdir()
    }
    code, out, err = cli("check", finished_run)
    assert (code, err) == (0, "")
    assert "FAULT" not in out


def test_check_says_8_where_a_byte_has_changed(cli, finished_run, tmp_path):
    damaged = shutil.copytree(finished_run, tmp_path / "damaged")
    content = bytearray((damaged / "confidence.tif").read_bytes())
    content[-10] ^= 255
    (damaged / "confidence.tif").write_bytes(content)
    code, out, err = cli("check", damaged)
    assert code == 8
    assert "FAULT" in out
    assert "confidence.tif" in err
    assert err.count("\n") == 1


def test_predict_writes_rasters_only_and_says_what_it_made(cli, tmp_path, tiny_scene, tiny_bundle):
    code, out, err = cli("predict", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o")
    assert code == 0
    run = json.loads((tmp_path / "o/run.json").read_text())
    assert not (tmp_path / "o/buildings.gpkg").exists()
    for c in run["classes"]:
        assert f"{c['area_ha']:.2f}" in out
    assert str(tmp_path / "o/classes.tif") in out.splitlines()
    (told,) = (line for line in err.splitlines() if line.startswith("predict 1/1 (100%)"))
    assert re.fullmatch(r".*  \d+ windows, [\d.]+ Mpx/s, at most 0 s left, [\d,]+ of [\d,]+ MB", told)


def test_progress_as_json_lines(cli, tmp_path, tiny_scene, tiny_bundle):
    code, _, err = cli("predict", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o", "--progress", "json")
    assert code == 0
    told = [json.loads(line) for line in err.splitlines()]
    assert all(datetime.fromisoformat(t.pop("time")).utcoffset() == timedelta(0) for t in told)
    steps = [(t["done"], t["within"], (t["speed"] or {}).get("windows")) for t in told if t.get("stage") == "predict"]
    assert (0, 0.5, 2) in steps  # the first of two strips
    assert steps[-1][:2] == (1, 0.0)
    assert {t["stage"] for t in told if "stage" in t} == {"predict", "finish"}


@pytest.mark.parametrize("flag", [("--progress", "json"), ("--progress=json",)])
def test_an_error_is_a_json_line_too(cli, tmp_path, tiny_bundle, flag):
    code, _, err = cli("predict", "gone.tif", "-m", tiny_bundle, "-o", tmp_path / "o", *flag)
    told = json.loads(err.splitlines()[-1])
    assert (code, told["level"], told["exit_code"]) == (3, "error", 3)
    assert "gone.tif" in told["message"]
    assert "time" in told


def test_quiet_says_nothing_on_stderr(cli, tmp_path, tiny_scene, tiny_bundle):
    assert cli("predict", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o", "-q")[2] == ""


def test_dry_run_and_plan_print_one_plan_and_write_nothing(cli, tmp_path, tiny_scene, tiny_bundle):
    code, out, _ = cli("buildings", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o", "--dry-run")
    assert code == 0
    dry = json.loads(out)
    code, out, _ = cli("plan", tiny_scene, "-m", tiny_bundle, "--polygons")
    assert code == 0
    assert json.loads(out)["fingerprint"] == dry["fingerprint"]
    assert dry["windows"] >= 4
    assert dry["peak_memory_bytes"] > 0
    assert not (tmp_path / "o").exists()


def as_json(options):
    """Return options as JSON gives them back."""
    return json.loads(json.dumps(asdict(options)))


def test_flags_reach_the_run(cli, tmp_path, tiny_scene, tiny_bundle):
    argv = ["buildings", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o", "-n", "--nodata", "7"]
    argv += ["--bands", "blue,green,red", "--device", "cpu", "--engine", "sync", "--lanes", "2", "--batch", "2"]
    argv += [
        "--memory",
        "6GB",
        "--chunk-px",
        "1024",
        "--tta",
        "rotate",
        "--threshold",
        "0.4",
        "--probabilities",
        "--layers",
        "classes",
    ]
    argv += [
        "--min-area-m2",
        "9",
        "--min-hole-m2",
        "3",
        "--tolerance-m",
        "0.7",
        "--method",
        "contour",
        "--split",
        "none",
    ]
    config = json.loads(cli(*argv)[1])["config"]
    assert config["options"] == as_json(
        RunOptions(
            device="cpu",
            engine="sync",
            lanes=2,
            batch=2,
            memory_bytes=6_000_000_000,
            chunk_px=1024,
            tta="rotate",
            threshold=0.4,
            layers=("classes",),
            probabilities=True,
        )
    )
    assert config["polygons"] == as_json(
        PolygonOptions(min_area_m2=9, min_hole_m2=3, tolerance_m=0.7, method="contour", split="none")
    )
    assert (config["nodata"], config["bands"]) == (7.0, "blue,green,red")


def test_flags_have_the_defaults_of_the_options(cli, tmp_path, tiny_scene, tiny_bundle):
    out = cli("buildings", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "o", "-n")[1]
    config = json.loads(out)["config"]
    assert (config["options"], config["polygons"]) == (as_json(RunOptions()), as_json(PolygonOptions()))


def test_a_run_json_runs_again_to_the_same_bytes(cli, finished_run, tmp_path):
    code, _, err = cli("run", finished_run / "run.json", "-o", tmp_path / "again", "-q")
    assert code == 0, err
    for name in ("classes.tif", "confidence.tif", "probabilities.tif", "buildings.gpkg", "classes.tif.aux.xml"):
        assert (tmp_path / "again" / name).read_bytes() == (finished_run / name).read_bytes()
    assert cli("run", finished_run / "run.json")[0] == 5


def test_values_unlike_those_of_training_are_said_once_and_stand_in_the_run_json(cli, tmp_path, tiny_bundle):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bright")
    spec = json.loads((bundle / "model.json").read_text())
    spec["values"] = {"quantiles": [[150 + 100 * share for share in SHARES]] * 3, "bytes_alone": True}
    (bundle / "model.json").write_text(json.dumps(spec))
    dark = np.random.default_rng(0).integers(5, 40, (3, 96, 96)).astype(np.uint8)
    scene = write_tif(tmp_path / "dark.tif", dark, photometric="RGB")
    code, _, err = cli("predict", scene, "-m", bundle, "-o", tmp_path / "o", "--progress", "plain")
    assert (code, err.count("unlike what model"), err.count("--stretch 2,98")) == (0, 1, 1)
    notes = json.loads((tmp_path / "o/run.json").read_text())["plan"]["notes"]
    assert sum("unlike what model" in note for note in notes) == 1


def test_a_run_json_of_relative_names_runs_again_from_elsewhere(cli, tmp_path, tiny_scene, tiny_bundle, monkeypatch):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    shutil.copy(tiny_scene, here / "scene.tif")
    with rasterio.open(tiny_scene) as src:
        left, bottom, right, top = src.bounds
        area = gpd.GeoDataFrame(geometry=[shapely.box(left, bottom, (left + right) / 2, top)], crs=src.crs)
    area.to_file(here / "area.gpkg")
    monkeypatch.chdir(here)
    own = ["-m", tiny_bundle, "--aoi", "area.gpkg", "-q", "--engine", "sync"]
    assert cli("predict", "GTIFF_DIR:1:scene.tif", *own, "-o", "out")[0] == 0
    monkeypatch.chdir(elsewhere)
    code, _, err = cli("run", here / "out" / "run.json", "-o", "again", "-q")
    assert code == 0, err
    assert (elsewhere / "again/classes.tif").read_bytes() == (here / "out/classes.tif").read_bytes()


@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "-1"])
def test_an_index_that_nothing_is_above_is_refused(cli, tmp_path, number):
    code, _, err = cli("monitor", tmp_path / "gone", "-o", tmp_path / "drift.html", "--psi", number)
    assert (code, "psi" in err) == (2, True)


@pytest.mark.parametrize("memory", ["0", "0GB", "-1", "inf"])
def test_no_memory_is_no_memory_without_bounds(cli, tmp_path, memory):
    code, _, err = cli("predict", "gone.tif", "-m", "gone", "-o", tmp_path / "o", "--memory", memory)
    assert (code, "write a size" in err) == (2, True)


def test_a_config_file_runs_and_single_band_files_are_one_scene(cli, tmp_path, tiny_scene, tiny_bundle):
    with rasterio.open(tiny_scene) as src:
        pixels = {name: src.read([i]) for i, name in enumerate(("red", "green", "blue"), 1)}
    files = [write_tif(tmp_path / f"{name}.tif", band, photometric="MINISBLACK") for name, band in pixels.items()]
    keys = {"job": "land_cover", "scene": [f.name for f in files], "bands": "red,green,blue", "model": str(tiny_bundle)}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**keys, "out": "made"}))
    code, _, err = cli("run", tmp_path / "c.yaml", "-q")
    assert code == 0, err
    assert cli("predict", tiny_scene, "-m", tiny_bundle, "-o", tmp_path / "direct", "-q")[0] == 0
    assert (tmp_path / "made/classes.tif").read_bytes() == (tmp_path / "direct/classes.tif").read_bytes()


@pytest.mark.slow
def test_the_demo_maps_scores_and_is_sound(cli, tmp_path):
    code, out, err = cli("demo", "-o", tmp_path / "demo", "-q")
    assert (code, err) == (0, "")
    (iou,) = [line.split()[1] for line in out.splitlines() if line.startswith("IoU")]
    assert float(iou) > 0.7
    assert "polygons" in out
    assert "peak memory" in out
    assert cli("check", tmp_path / "demo")[0] == 0
    assert cli("demo", "-o", tmp_path / "demo")[0] == 5


@pytest.mark.slow
def test_the_demo_of_land_cover_maps_and_draws_a_coverage_without_gap_or_overlap(cli, tmp_path):
    import geopandas as gpd

    code, out, err = cli("demo", "--job", "land-cover", "-o", tmp_path / "demo", "-q")
    assert (code, err) == (0, "")
    assert "polygons from 25 m²" in out
    patches = gpd.read_file(tmp_path / "demo/land_cover.gpkg")
    with rasterio.open(tmp_path / "demo/classes.tif") as src:
        ground = shapely.box(*src.bounds)
        assert (src.read(1) > 0).all()  # 255 is white in this scene, not nodata
    assert set(patches["class_name"]) == {"tree", "low vegetation", "impervious"}
    assert shapely.coverage_is_valid(patches.geometry.values)
    assert patches.area.sum() == pytest.approx(ground.area)
    assert cli("check", tmp_path / "demo")[0] == 0
    assert cli("demo", "--job", "land-cover", "-o", tmp_path / "demo")[0] == 5


def test_vectorize_draws_the_polygons_that_buildings_drew(cli, finished_run, tmp_path):
    import geopandas as gpd

    out = tmp_path / "v.gpkg"
    code, told, _ = cli("vectorize", finished_run / "probabilities.tif", "-o", out)
    assert code == 0
    made = gpd.read_file(out, layer="buildings")
    assert made.geometry.geom_equals(gpd.read_file(finished_run / "buildings.gpkg", layer="buildings").geometry).all()
    assert told.startswith(f"{len(made)} polygons")
    assert cli("vectorize", finished_run / "probabilities.tif", "-o", out)[0] == 5


@pytest.mark.parametrize(("typed", "offered"), [("geoseg pre", "predict"), ("geoseg predict --nod", "--nodata")])
def test_a_shell_is_taught_verbs_and_flags(capsys, monkeypatch, typed, offered):
    monkeypatch.setenv("_GEOSEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    with pytest.raises(SystemExit, match=r"^0$"):  # as Typer ends where a shell asks
        main([])
    assert capsys.readouterr().out.split() == [offered]


def test_a_collar_is_said_by_info_and_by_a_run_and_stands_in_its_run_json(cli, tmp_path, tiny_bundle):
    pixels = np.random.default_rng(0).integers(40, 200, (3, 96, 96)).astype(np.uint8)
    pixels[:, :48] = 255
    scene = write_tif(tmp_path / "collar.tif", pixels, photometric="RGB")
    said = "are 255 in all bands"
    assert any(said in warning for warning in json.loads(cli("info", scene, "--json")[1])["warnings"])
    _, _, err = cli("predict", scene, "-m", tiny_bundle, "-o", tmp_path / "o", "--progress", "plain")
    assert (err.count(said), err.count("--nodata 255")) == (1, 1)
    assert any(said in note for note in json.loads((tmp_path / "o/run.json").read_text())["plan"]["notes"])


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "geoseg", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"geoseg {__version__}\n"


def test_the_process_ends_with_the_code_and_all_that_was_printed():
    call = [sys.executable, "-m", "geoseg", "models", "nowhere"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    told = subprocess.run([sys.executable, "-m", "geoseg", "models"], capture_output=True, text=True, check=True).stdout
    assert "buildings" in told
    assert told.endswith("\n")


def test_what_is_registered_for_the_end_of_a_process_is_called():
    code = "import atexit; atexit.register(print, 'called'); import sys; sys.argv[1:] = ['--version']\n"
    code += "from geoseg.__main__ import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"geoseg {__version__}\ncalled\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="takes a device that is always full")
def test_a_full_disk_behind_what_is_printed_is_told():
    call = [sys.executable, "-m", "geoseg", "models"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    (told,) = done.stderr.splitlines()
    assert "No space left on device" in told


def test_nobody_who_reads_on_is_no_error_to_tell():
    with subprocess.Popen(
        [sys.executable, "-m", "geoseg", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "-1"])
@pytest.mark.parametrize(
    "flag", ["--min-area-m2", "--min-hole-m2", "--tolerance-m", "--diagonal-penalty", "--threshold"]
)
def test_numbers_that_mean_nothing_are_refused_before_anything_is_opened(capsys, flag, number):
    assert main(["buildings", "nowhere.tif", "-o", "nowhere", flag, number]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
