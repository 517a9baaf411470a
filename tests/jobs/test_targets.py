"""What a run may replace: its own outputs where it is told so, and nothing else, whatever it is called."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import SCENE_SHAPE, write_tif

from geoseg import EngineOptions, PolygonOptions, RunOptions, predict, regularize, vectorize
from geoseg.cli import main
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, DiskFullError, OutputError
from geoseg.jobs import predict as run_module
from geoseg.jobs import targets
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.targets import own_files, refuse_foreign, refuse_if_disk_is_short
from geoseg.models.bundle import load_model, refuse_bundle
from geoseg.outputs.check import check_outputs
from geoseg.vector.coverage.draw import draw_coverage

SYNC = {"engine": "sync", "device": "cpu", "chunk_px": 512}
THEIRS = b"somebody's own"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def run(tiny_scene, tiny_bundle, tmp_path):
    """Run the tiny model over a scene into ``tmp_path/out``; returns the folder."""

    def call(scene=tiny_scene, *, polygons=None, **options):
        predict(scene, tiny_bundle, tmp_path / "out", options=RunOptions(**SYNC, **options), polygons=polygons)
        return tmp_path / "out"

    return call


@pytest.fixture
def out(finished_run, tmp_path):
    """A copy of a finished run that has all outputs."""
    return shutil.copytree(finished_run, tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name",
    ["classes.tif", "classes.tif.aux.xml", "classes.tif.msk", "confidence.tif", "confidence.tif.ovr", "run.json"],
)
def test_what_is_no_run_s_own_is_never_replaced(run, tmp_path, name, overwrite):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(THEIRS)
    with pytest.raises(OutputError, match=f"{name}.*(move it away|choose another)"):
        run(overwrite=overwrite)
    assert contents(out) == {name: THEIRS}


def test_what_a_run_does_not_write_it_leaves_alone(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    theirs = ["buildings.gpkg", "probabilities.tif", "probabilities.tif.aux.xml", "classes.shp", ".hidden"]
    for name in theirs:
        (out / name).write_bytes(THEIRS)
    run()
    run(overwrite=True)
    assert {name: (out / name).read_bytes() for name in theirs} == dict.fromkeys(theirs, THEIRS)
    with pytest.raises(OutputError, match=r"probabilities\.tif: lies there already"):
        run(overwrite=True, probabilities=True)
    with pytest.raises(OutputError, match=r"buildings\.gpkg: lies there already"):
        run(overwrite=True, polygons=PolygonOptions())


def test_overwriting_removes_what_the_run_before_had_listed_and_nothing_else(run, out):
    (out / "notes.tif").write_bytes(THEIRS)
    (out / "confidence.tif.aux.xml").write_bytes(THEIRS)  # as QGIS writes statistics
    run(overwrite=True)
    assert {p.name for p in out.iterdir()} == {
        "classes.tif", "classes.tif.aux.xml", "confidence.tif", "confidence.tif.aux.xml", "notes.tif", "run.json",
    }  # fmt: skip
    assert (out / "confidence.tif.aux.xml").read_bytes() == THEIRS


def test_statistics_of_the_outputs_before_are_warned_of(run, out, caplog):
    (out / "confidence.tif.aux.xml").write_bytes(THEIRS)
    run(overwrite=True)
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        f"{out}/confidence.tif.aux.xml: is not geoseg's and stays, but describes the outputs before; remove it"
    ]


def test_a_file_that_comes_while_a_run_goes_on_stops_its_publication_and_the_same_command_goes_on(
    tiny_scene, tiny_bundle, tmp_path
):
    out = tmp_path / "out"

    def meanwhile(progress):
        if progress.stage == "finish" and progress.done == progress.total:
            (out / "classes.tif").write_bytes(THEIRS)

    options = RunOptions(**SYNC)
    with pytest.raises(OutputError, match=r"classes\.tif: lies there already"):
        predict(tiny_scene, tiny_bundle, out, options=options, listen=meanwhile)
    assert (out / "classes.tif").read_bytes() == THEIRS
    assert list((out / ".job/parts").rglob("*.tif"))
    (out / "classes.tif").unlink()
    assert predict(tiny_scene, tiny_bundle, out, options=options).paths["classes.tif"].stat().st_size > 1000


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", "{", '{"outputs": {}}', '{"software": "other", "outputs": {}}', '{"software": "geoseg"}'],
)
def test_a_foreign_run_json_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match=r"run\.json: is no run\.json of geoseg"):
        own_files(tmp_path)


def test_a_run_json_lists_nothing_outside_its_folder(out):
    run = json.loads((out / "run.json").read_text())
    run["outputs"] |= {"notes.txt": {}, "run.json": {}}
    (out / "run.json").write_text(json.dumps(run))
    assert own_files(out) == {
        "buildings.gpkg", "classes.tif", "classes.tif.aux.xml", "confidence.tif", "probabilities.tif",
    }  # fmt: skip
    for name in ("../scene.tif", "/etc/hosts"):
        (out / "run.json").write_text(json.dumps(run | {"outputs": run["outputs"] | {name: {}}}))
        with pytest.raises(OutputError, match=f"'{name}' is no name of a file in the folder"):
            own_files(out)


def test_a_scene_that_bears_the_name_of_an_output_is_never_a_target(run, out, tiny_scene, tmp_path):
    shutil.copy(tiny_scene, out / "classes.tif")
    before = contents(out)
    with pytest.raises(OutputError, match=r"classes\.tif: is read by this run"):
        run(out / "classes.tif", overwrite=True)
    (tmp_path / "link.tif").symlink_to(out / "classes.tif")
    with pytest.raises(OutputError, match=r"classes\.tif: is read by this run"):
        run(tmp_path / "link.tif", overwrite=True)
    assert contents(out) == before


def test_what_is_read_beside_the_scene_is_never_a_target(run, out, tiny_scene, tiny_truth, tmp_path):
    from geoseg import open_scene

    write_tif(out / "confidence.tif", np.ones((1, *SCENE_SHAPE), np.uint8))
    shutil.copy(tiny_truth, out / "buildings.gpkg")
    shutil.copy(tiny_scene, out / "probabilities.tif")
    (tmp_path / "scene.vrt").write_text(
        '<VRTDataset rasterXSize="192" rasterYSize="160"><SRS>EPSG:32645</SRS>'
        "<GeoTransform>3e5,0.5,0,3.06e6,0,-0.5</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{i}"><SimpleSource><SourceFilename relativeToVRT="1">'
            f"out/probabilities.tif</SourceFilename><SourceBand>{i}</SourceBand></SimpleSource></VRTRasterBand>"
            for i in (1, 2, 3)
        )
        + "</VRTDataset>"
    )
    before = contents(out)
    masked = open_scene(tiny_scene, mask=out / "confidence.tif")
    with pytest.raises(OutputError, match=r"confidence\.tif: is read by this run"):
        run(masked, overwrite=True)
    with pytest.raises(OutputError, match=r"buildings\.gpkg: is read by this run"):
        run(overwrite=True, aoi=f"{out}/buildings.gpkg")
    with pytest.raises(OutputError, match=r"probabilities\.tif: is read by this run"):
        run(open_scene(tmp_path / "scene.vrt", bands="red,green,blue"), overwrite=True)
    assert contents(out) == before


def test_an_input_in_the_job_folder_is_refused(run, tmp_path, tiny_scene, tiny_bundle):
    (tmp_path / "out/.job").mkdir(parents=True)
    (tmp_path / "out/.job/lock").touch()
    shutil.copy(tiny_scene, tmp_path / "out/.job/scene.tif")
    with pytest.raises(OutputError, match=r"lies in the job folder"):
        run(tmp_path / "out/.job/scene.tif")
    assert (tmp_path / "out/.job/scene.tif").exists()
    model = shutil.copytree(tiny_bundle, tmp_path / "out/.job/model")
    with pytest.raises(OutputError, match=r"lies in the job folder"):
        predict(tiny_scene, model, tmp_path / "out", options=RunOptions(**SYNC))
    assert sorted(p.name for p in model.iterdir()) == sorted(p.name for p in Path(tiny_bundle).iterdir())


@pytest.mark.parametrize("name", ["plan.json", "parts/a.tif", "outputs/b.tif", "notes.txt", "spent"])
@pytest.mark.parametrize("with_run", [False, True])
def test_a_foreign_job_folder_is_refused_and_left_alone(run, finished_run, tmp_path, name, with_run):
    if with_run:
        shutil.copytree(finished_run, tmp_path / "out")
    theirs = tmp_path / "out/.job" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(THEIRS)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"\.job: is no job folder of geoseg"):
        run(overwrite=True, fresh=True)
    assert contents(tmp_path) == before


def test_of_the_job_folder_a_run_removes_what_runs_have_made(run, tmp_path):
    (tmp_path / "out/.job").mkdir(parents=True)
    (tmp_path / "out/.job/.DS_Store").write_bytes(THEIRS)
    run()
    assert contents(tmp_path / "out/.job") == {".DS_Store": THEIRS}
    run(overwrite=True)
    assert contents(tmp_path / "out/.job") == {".DS_Store": THEIRS}


def test_what_a_publication_that_was_cut_short_has_shown_is_its_own(tmp_path):
    work = JobFolder(tmp_path / ".job")
    (tmp_path / "classes.tif").touch()
    with work.locked():
        work.showing({"classes.tif"})
        refuse_foreign(tmp_path, ["classes.tif", "confidence.tif"])
        (tmp_path / "confidence.tif").touch()
        with pytest.raises(OutputError, match=r"confidence\.tif: lies there already"):
            refuse_foreign(tmp_path, ["classes.tif", "confidence.tif"])
        work.showing(())
    with pytest.raises(OutputError, match=r"classes\.tif: lies there already"):
        refuse_foreign(tmp_path, ["classes.tif"])


# --- verbs that write one file --------------------------------------------------------------------------------------


def test_a_raster_is_never_replaced_by_its_polygons(tmp_path):
    raster = write_tif(tmp_path / "p.gpkg.tif", np.full((1, 64, 64), 200, np.uint8), nodata=0)
    link = tmp_path / "p.gpkg"
    link.hardlink_to(raster)
    before = contents(tmp_path)
    for draw in (
        lambda: vectorize(raster, link, overwrite=True, run=EngineOptions(engine="sync")),
        lambda: draw_coverage(raster, link, overwrite=True),
    ):
        with pytest.raises(OutputError, match="is read by this run"):
            draw()
    assert contents(tmp_path) == before


def test_footprints_are_never_replaced_by_their_regular_ones(tiny_truth, tmp_path):
    source = shutil.copy(tiny_truth, tmp_path / "houses.gpkg")
    vrt = tmp_path / "houses.vrt"
    vrt.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="truth"><SrcDataSource relativeToVRT="1">houses.gpkg</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    before = contents(tmp_path)
    for given in (source, vrt):
        with pytest.raises(OutputError, match="is read by this run"):
            regularize(given, source, overwrite=True)
    assert contents(tmp_path) == before


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        refuse_file(tmp_path, overwrite=True, inputs=[])


# --- models and batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "metrics.csv", "training.png"])
def test_a_training_replaces_bundles_only(tmp_path, name):
    (tmp_path / name).write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=f"{name}: lies there already"):
            refuse_bundle(tmp_path, overwrite=overwrite, beside=("metrics.csv", "training.png"))


def test_a_bundle_is_replaced_only_when_told(tiny_bundle, tmp_path):
    copy = shutil.copytree(load_model(tiny_bundle).path, tmp_path / "model")
    (copy / "metrics.csv").touch()
    with pytest.raises(OutputError, match="holds a model bundle already"):
        refuse_bundle(copy, overwrite=False)
    refuse_bundle(copy, overwrite=True, beside=("metrics.csv",))


@pytest.mark.parametrize(("name", "text"), [("summary.json", '{"my": "sums"}'), ("batch.log.jsonl", "my log\n")])
def test_a_batch_replaces_no_summary_of_somebody_else(tmp_path, tiny_scene, tiny_bundle, capsys, name, text):
    (tmp_path / name).write_text(text)
    config = tmp_path / "batch.yaml"
    config.write_text(
        json.dumps(
            {
                "job": "batch", "scenes": str(tiny_scene), "out": ".",
                "each": {"job": "land_cover", "model": str(tiny_bundle)},
            }
        )
    )  # fmt: skip
    assert main(["batch", str(config), "-q"]) == 5
    assert f"{name}: is not of a batch" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == text


def test_layers_that_are_asked_for_are_written_and_no_others(tiny_scene, tiny_bundle, tmp_path):
    options = RunOptions(**SYNC, layers=("probabilities", "classes"))
    predict(tiny_scene, tiny_bundle, tmp_path / "some", options=options)
    predict(tiny_scene, tiny_bundle, tmp_path / "all", options=RunOptions(**SYNC, probabilities=True))
    rasters = {p.name for p in (tmp_path / "some").glob("*.tif")}
    assert rasters == {"classes.tif", "probabilities.tif"}
    for name in rasters:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert [f for f in check_outputs(tmp_path / "some") if not f.ok] == []


@pytest.mark.parametrize(("layers", "said"), [(("classes", "depth"), "depth: no"), (("confidence",), "add classes")])
def test_layers_that_do_not_exist_or_lack_the_classes_are_refused(layers, said):
    with pytest.raises(ConfigError, match=said):
        RunOptions(layers=layers)


def test_a_disk_that_is_too_small_is_told_before_the_first_pixel(tiny_scene, tiny_bundle, tmp_path, monkeypatch, run):
    monkeypatch.setattr(targets.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 2**16))
    with pytest.raises(DiskFullError, match=r"out: parts and outputs may take 0 MiB, but 0 MiB are free; free space"):
        run()
    assert not (tmp_path / "out").exists()
    argv = ["predict", str(tiny_scene), "-m", str(tiny_bundle), "-o", str(tmp_path / "new"), "--device", "cpu", "-n"]
    assert main(argv) == 5
    assert main([*argv, "--any-disk"]) == 0


def test_finish_too_tells_of_a_disk_that_is_too_small(tiny_scene, tiny_bundle, tmp_path, monkeypatch, run):
    run(shard=(1, 1))
    monkeypatch.setattr(targets.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 1000))
    finish = partial(run_module.finish, tiny_scene, tiny_bundle, tmp_path / "out")
    with pytest.raises(DiskFullError, match="--any-disk"):
        finish(options=RunOptions(**SYNC))
    assert finish(options=RunOptions(**SYNC, any_disk=True)).paths


def test_parts_that_are_there_need_no_more_room(tmp_path, monkeypatch):
    monkeypatch.setattr(targets.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 1000))
    part = tmp_path / "out" / ".job" / "parts" / "0123" / "r00000_c00000.tif"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(500))
    refuse_if_disk_is_short(tmp_path / "out", 1500, RunOptions())
    with pytest.raises(DiskFullError):
        refuse_if_disk_is_short(tmp_path / "out", 1501, RunOptions())
    with pytest.raises(DiskFullError):
        refuse_if_disk_is_short(tmp_path / "elsewhere", 1001, RunOptions())
