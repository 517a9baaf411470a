"""Runs of detectors: every object comes back pixel for pixel, the same bytes for any chunks, tiles, engine and kill."""

import json
import pickle

import detect
import geopandas as gpd
import numpy as np
import panoptic
import pytest
import rasterio
import shapely
import walks
from panoptic import assert_same_objects, contents

from geoseg import RunOptions, finish, predict
from geoseg.cli import main
from geoseg.errors import ConfigError, TryAgainError
from geoseg.executors.threads import SyncEngine
from geoseg.jobs import chunk, detections, instances, object_parts
from geoseg.jobs import objects as stages
from geoseg.jobs.run import Stop
from geoseg.options.run import ClusterOptions

SHAPE = (1100, 1100)


@pytest.fixture(scope="module")
def truth():
    return detect.truth_of(SHAPE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory, truth):
    return detect.write_scene(tmp_path_factory.mktemp("detect") / "scene.tif", truth)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return detect.write_oracle(tmp_path_factory.mktemp("oracle") / "m")


@pytest.fixture(scope="module")
def run(tmp_path_factory, scene, model):
    return predict(scene, model, tmp_path_factory.mktemp("run") / "out", options=RunOptions(chunk_px=1024))


def test_every_object_comes_back_pixel_for_pixel(run, truth):
    found = rasterio.open(run.paths["panoptic.tif"]).read(1)
    assert truth.max() > 200
    assert_same_objects(found, truth)
    np.testing.assert_array_equal(found[truth == 0], 1)  # ground
    classes = rasterio.open(run.paths["classes.tif"]).read(1)
    np.testing.assert_array_equal(classes, np.where(truth == 0, 1, 2 + truth % 2))
    frame = run.objects()
    assert list(frame["segment_id"]) == list(range(256, 256 + truth.max()))
    np.testing.assert_array_equal(frame["pixels"], np.bincount(found[found >= 256])[256:])
    assert frame["joined"].sum() >= 2  # those larger than a window
    assert (frame["clear_px"][~frame["joined"]] >= 6).all()
    assert len(np.unique(frame["score"])) > 50
    totals = {c["name"]: c["pixels"] for c in run.run["classes"]}
    assert totals == {c.name: int((classes == c.id).sum()) for c in detect.CLASSES}
    assert run.run["windows"] == {"run": 25, "skipped": 0}


def elsewhere(_engine, call, items):
    """Call as an engine of other processes does."""
    return (pickle.loads(pickle.dumps(call))(pickle.loads(pickle.dumps(item))) for item in items)


def test_chunks_tiles_and_engines_change_no_byte(tmp_path, scene, model, run, monkeypatch):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    monkeypatch.setattr(SyncEngine, "map", elsewhere)
    other = predict(scene, model, tmp_path / "out", options=RunOptions(chunk_px=512, engine="sync"))
    assert contents(other) == contents(run)
    assert other.run["windows"] == run.run["windows"]


def test_a_run_that_was_cut_short_goes_on(tmp_path, scene, model, run, monkeypatch):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    calls = []

    def paint(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = detections.paint
    monkeypatch.setattr(detections, "paint", paint)
    options = RunOptions(chunk_px=512, engine="sync")
    with pytest.raises(KeyboardInterrupt):
        predict(scene, model, tmp_path / "out", options=options)
    assert not (tmp_path / "out" / "panoptic.tif").exists()
    found = predict(scene, model, tmp_path / "out", options=options)
    assert len(calls) == 5 + 9 - 4  # nine tiles, of which four were done
    assert contents(found) == contents(run)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("module", "name", "at", "steps"),
    [
        (chunk, "recorded", 5, None), (detections, "links", 2, 5), (stages, "_ids", 2, 9),
        (instances, "label_polygons", 4, 9),
    ],
    ids=["predict", "merge", "number", "outline"],
)  # fmt: skip
def test_a_run_cut_short_in_any_stage_goes_on(tmp_path, scene, model, run, monkeypatch, module, name, at, steps):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    calls, whole = [], getattr(module, name)

    def cut(*arguments, **named):
        calls.append(name)
        if len(calls) == at:
            raise KeyboardInterrupt
        return whole(*arguments, **named)

    monkeypatch.setattr(module, name, cut)
    options = RunOptions(chunk_px=512, engine="sync")
    with pytest.raises(KeyboardInterrupt):
        predict(scene, model, tmp_path / "out", options=options)
    assert not (tmp_path / "out" / "run.json").exists()
    found = predict(scene, model, tmp_path / "out", options=options)
    assert len(calls) == at + steps - (at - 1) if steps else len(calls) > at  # what was done is not done again
    assert contents(found) == contents(run)


@pytest.mark.nightly
@pytest.mark.parametrize("stage", ["merge", "paint", "number", "outline"])
def test_a_run_that_is_asked_to_stop_in_a_stage_stops_and_goes_on(tmp_path, scene, model, run, monkeypatch, stage):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    stop = Stop()

    def listen(progress):
        if (progress.stage, progress.done) == (stage, 2):
            stop.asked.set()

    options = RunOptions(chunk_px=512, engine="sync")
    with pytest.raises(TryAgainError, match=f"stopped in stage {stage} with 2 of . steps done; they are kept"):
        predict(scene, model, tmp_path / "out", options=options, listen=listen, stop=stop)
    assert not (tmp_path / "out" / "run.json").exists()
    found = predict(scene, model, tmp_path / "out", options=options)
    assert contents(found) == contents(run)


@pytest.mark.nightly
def test_a_process_killed_half_way_through_each_stage_goes_on_from_its_parts(tmp_path, scene, model, run, monkeypatch):
    way = walks.Way("killed", 512, 400)
    every = ["predict", "merge", "paint", "number", "outline"]
    assert walks.walk(way, scene, model, tmp_path / "out", monkeypatch, every)[0] == contents(run)


def test_check_reads_all_of_it_again(run, capsys):
    assert main(["check", str(run.folder)]) == 0
    assert "instances.gpkg: objects are those of panoptic.tif" in capsys.readouterr().out


def test_windows_at_the_limit_are_told_and_views_refused(tmp_path, truth, caplog):
    scene = detect.write_scene(tmp_path / "scene.tif", truth[:700, :600])
    few = detect.write_oracle(tmp_path / "m", objects=detect.DETECTING.model_copy(update={"per_window": 3}))
    found = predict(scene, few, tmp_path / "out", options=RunOptions(chunk_px=512))
    assert found.run["instances"]["windows_at_limit"] == 9
    assert "9 windows gave as many detections as the network can" in caplog.text
    with pytest.raises(ConfigError, match="objects, which are not averaged"):
        predict(scene, few, tmp_path / "no", options=RunOptions(tta="d4"))
    with pytest.raises(ConfigError, match="merged over a whole run"):
        predict(scene, few)


def test_a_scene_without_objects_gives_its_files(tmp_path, model):
    scene = detect.write_scene(tmp_path / "scene.tif", np.zeros((90, 70), np.int32))
    found = predict(scene, model, tmp_path / "out")
    assert found.run["instances"]["count"] == 0
    assert main(["annotations", str(found.folder), "-o", str(tmp_path / "coco")]) == 0
    assert json.loads((tmp_path / "coco" / "instances.json").read_text())["annotations"] == []
    assert (rasterio.open(found.paths["panoptic.tif"]).read(1) == 1).all()
    assert main(["check", str(found.folder)]) == 0


def test_plan_says_what_stages_hold(run):
    held = run.run["plan"]["memory_bytes"]
    assert min(held[stage] for stage in ("merge", "paint", "number", "outline")) > held["base"] - held["read_block"]
    assert run.run["plan"]["redundancy"] == 1
    assert run.run["plan"]["disk_bytes_at_most"] == SHAPE[0] * SHAPE[1] * (1 + 1 + 4) * 8 // 3


@pytest.mark.nightly
def test_objects_of_a_coarser_network_are_painted_on_the_pixels_of_the_scene(tmp_path, truth):
    doubled = np.repeat(np.repeat(truth[:320, :400], 2, 0), 2, 1)
    scene = detect.write_scene(tmp_path / "scene.tif", doubled)
    with rasterio.open(scene) as src:
        gsd_m = src.res[0]
    model = detect.write_oracle(tmp_path / "m", gsd_m=2 * gsd_m)
    runs = [
        predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px, any_scale=True)) for px in (512, 1024)
    ]
    assert contents(runs[0]) == contents(runs[1])
    found = rasterio.open(runs[0].paths["panoptic.tif"]).read(1)
    known = np.unique(doubled, return_inverse=True)[1].reshape(doubled.shape)
    assert ((found >= 256) == (known > 0)).mean() > 0.999


@pytest.mark.nightly
@pytest.mark.parametrize("margin_px", [16, 48, 80])
def test_objects_of_any_size_come_back_exactly_for_any_margin_and_chunks(tmp_path, margin_px):
    ids = detect.truth_of((1100, 1100), large=(350, 180, 150), many=700, most=60)
    scene = detect.write_scene(tmp_path / "scene.tif", ids)
    model = detect.write_oracle(tmp_path / "m", margin_px=margin_px)
    runs = [predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px)) for px in (512, 1024, 2048)]
    assert_same_objects(rasterio.open(runs[0].paths["panoptic.tif"]).read(1), ids)
    assert contents(runs[0]) == contents(runs[1]) == contents(runs[2])


@pytest.mark.nightly
@pytest.mark.parametrize("task", ["objects", "panoptic"])
def test_engines_and_shards_give_the_same_bytes(tmp_path, scene, model, task):
    if task == "panoptic":
        model = panoptic.write_oracle(tmp_path / "m")
        scene = panoptic.write_scene(tmp_path / "scene.tif", *panoptic.truth_of(SHAPE))
    alone = predict(scene, model, tmp_path / "sync", options=RunOptions(chunk_px=1024, engine="sync"))
    cluster = ClusterOptions(workers=2)
    local = predict(scene, model, tmp_path / "local", options=RunOptions(chunk_px=512, engine="local", cluster=cluster))
    for i in (2, 1):
        predict(scene, model, tmp_path / "shards", options=RunOptions(chunk_px=512, shard=(i, 2)))
    shards = finish(scene, model, tmp_path / "shards", options=RunOptions(chunk_px=512))
    assert alone.run["instances"]["count"] > 80
    assert contents(local) == contents(shards) == contents(alone)


@pytest.mark.nightly
def test_an_area_of_interest_and_nodata_cut_objects_and_an_area_changes_none(tmp_path, scene, model, run, truth):
    area = tmp_path / "area.gpkg"
    with rasterio.open(scene) as src:
        crs, bounds = src.crs, src.bounds
    width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
    box = shapely.box(
        bounds.left + 0.2 * width, bounds.bottom + 0.1 * height, bounds.right - 0.3 * width, bounds.top - 0.2 * height
    )
    gpd.GeoDataFrame(geometry=[box], crs=crs).to_file(area)
    runs = [
        predict(scene, model, tmp_path / str(px), options=RunOptions(chunk_px=px, aoi=str(area))) for px in (512, 1024)
    ]
    assert contents(runs[0]) == contents(runs[1])
    found, whole = (rasterio.open(r.paths["panoptic.tif"]).read(1) for r in (runs[0], run))
    inside = found > 0
    assert 0.3 < inside.mean() < 0.4
    pairs = np.unique(np.stack([found[inside], whole[inside]]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert main(["check", str(runs[0].folder)]) == 0
    holed = detect.write_scene(
        tmp_path / "holed.tif", np.where(np.arange(SHAPE[1]) % 97 < 3, 65535, truth), nodata=65535
    )
    cut = predict(holed, model, tmp_path / "holed", options=RunOptions(chunk_px=512))
    assert (rasterio.open(cut.paths["panoptic.tif"]).read(1)[:, :3] == 0).all()
    assert main(["check", str(cut.folder)]) == 0
