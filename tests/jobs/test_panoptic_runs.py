"""Panoptic runs: every object comes back pixel for pixel, and the same bytes for any chunks, tiles, engine and kill."""

import json
import pickle
import shutil

import geopandas as gpd
import numpy as np
import panoptic
import pytest
import rasterio
from affine import Affine
from panoptic import assert_same_objects, contents
from pycocotools.coco import COCO
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg import RunOptions, predict
from geoseg.cli import main
from geoseg.errors import MemoryBudgetError
from geoseg.executors.threads import SyncEngine
from geoseg.jobs import annotations, object_parts
from geoseg.jobs import objects as stages
from geoseg.outputs.check_objects import check_objects
from geoseg.vector.ground import geodesic_area_m2

SHAPE = (1100, 1100)


@pytest.fixture(scope="module")
def truth():
    return panoptic.truth_of(SHAPE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory, truth):
    return panoptic.write_scene(tmp_path_factory.mktemp("panoptic") / "scene.tif", *truth)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return panoptic.write_oracle(tmp_path_factory.mktemp("oracle") / "m")


@pytest.fixture(scope="module")
def run(tmp_path_factory, scene, model):
    return predict(scene, model, tmp_path_factory.mktemp("run") / "out", options=RunOptions(chunk_px=1024))


def test_every_object_comes_back_pixel_for_pixel(run, truth):
    classes, ids = truth
    found = rasterio.open(run.paths["panoptic.tif"]).read(1)
    assert ids.max() > 400
    assert run.run["instances"]["count"] == ids.max()
    assert_same_objects(found, ids)
    np.testing.assert_array_equal(found[ids == 0], classes[ids == 0])
    frame = gpd.read_file(run.paths["instances.gpkg"], layer="instances")
    assert list(frame["segment_id"]) == list(range(256, 256 + ids.max()))
    drawn = rasterize(
        zip(frame.geometry, frame["segment_id"], strict=True), SHAPE, transform=run_transform(run), dtype="uint32"
    )
    np.testing.assert_array_equal(drawn, np.where(found >= 256, found, 0))
    assert frame.geometry.is_valid.all()
    np.testing.assert_allclose(frame["area_m2"], geodesic_area_m2(frame.geometry.to_numpy(), frame.crs))
    np.testing.assert_array_equal(frame["pixels"], np.bincount(found[found >= 256])[256:])
    middle = [classes[found == i][0] for i in frame["segment_id"][:20]]
    assert list(frame["class_id"][:20]) == middle
    assert frame["score"].between(0.9, 1).all()


def run_transform(run):
    with rasterio.open(run.paths["panoptic.tif"]) as src:
        return src.transform


def elsewhere(_engine, call, items):
    """Call as an engine of other processes does."""
    return (pickle.loads(pickle.dumps(call))(pickle.loads(pickle.dumps(item))) for item in items)


def test_chunks_tiles_and_engines_change_no_byte(tmp_path, scene, model, run, monkeypatch):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    monkeypatch.setattr(SyncEngine, "map", elsewhere)
    other = predict(scene, model, tmp_path / "out", options=RunOptions(chunk_px=512, engine="sync"))
    assert contents(other) == contents(run)


def test_a_run_that_was_cut_short_goes_on(tmp_path, scene, model, run, monkeypatch):
    monkeypatch.setattr(object_parts, "GROUP_PX", 400)
    calls = []

    def group(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return whole(*arguments)

    whole = stages.group_tile
    monkeypatch.setattr(stages, "group_tile", group)
    for _ in range(2):
        options = RunOptions(chunk_px=512, engine="sync")
        try:
            found = predict(scene, model, tmp_path / "out", options=options)
        except KeyboardInterrupt:
            assert not (tmp_path / "out" / "panoptic.tif").exists()
    assert len(calls) == 5 + 9 - 4  # nine tiles, of which four were done
    assert contents(found) == contents(run)


def test_check_reads_all_of_it_again(run, capsys):
    assert main(["check", str(run.folder)]) == 0
    told = capsys.readouterr().out
    assert "instances.gpkg: objects are those of panoptic.tif" in told


def test_check_finds_a_raster_that_says_otherwise(run, tmp_path):
    for name in ("panoptic.tif", "panoptic.tif.aux.xml"):
        shutil.copy(run.paths[name], tmp_path / name)
    with rasterio.open(tmp_path / "panoptic.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as src:
        values = src.read(1)
        values[values == 260] = 261
        src.write(values, 1)
    found = check_objects(tmp_path / "panoptic.tif", run.paths["classes.tif"], 1, run.paths["instances.gpkg"], (3, 4))
    wrong = [name.split()[0] for name, ok, _ in found if not ok]
    assert wrong == ["objects", "pixels", "panoptic.tif.aux.xml"]


def test_coco_files_are_the_raster_and_the_table(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(annotations, "SIDE_PX", 256)  # objects lie across blocks
    assert main(["annotations", str(run.folder), "-o", str(tmp_path / "coco")]) == 0
    paths = {path.name: path for path in (tmp_path / "coco").iterdir()}
    assert set(capsys.readouterr().out.split()) == set(map(str, paths.values()))
    with rasterio.open(run.paths["panoptic.tif"]) as src:
        found, crs, transform = src.read(1), src.crs, src.transform
    coco, painted = COCO(paths["instances.json"]), np.zeros(SHAPE, np.uint32)
    rows = gpd.read_file(run.paths["instances.gpkg"], layer="instances").set_index("segment_id")
    assert sorted(coco.anns) == list(rows.index)
    for value, one in coco.anns.items():
        col, row0, width, height = map(int, one["bbox"])
        mask = coco.annToMask(one)[row0 : row0 + height, col : col + width].astype(bool)
        own = painted[row0 : row0 + height, col : col + width]
        assert not own[mask].any()
        own[mask] = value
        row = rows.loc[value]
        assert (one["area"], one["category_id"]) == (row.pixels, row.class_id) == (mask.sum(), row.class_id)
        assert coco.cats[one["category_id"]]["name"] == row.class_name
        assert (one["score"], one["area_m2"]) == pytest.approx((row.score, row.area_m2), abs=1e-4)
    np.testing.assert_array_equal(painted, np.where(found >= 256, found, 0))
    whole = json.loads(paths["panoptic.json"].read_text())
    with rasterio.open(paths["panoptic.png"]) as src:
        red, green, blue = src.read().astype(np.uint32)
    np.testing.assert_array_equal(red + 256 * green + 65536 * blue, found)
    (image,), (one,) = whole["images"], whole["annotations"]
    assert (image["file_name"], image["height"], image["width"]) == ("scene.tif", *SHAPE)
    assert one["file_name"] == "panoptic.png"
    values, pixels = np.unique(found[found > 0], return_counts=True)
    assert {s["id"]: s["area"] for s in one["segments_info"]} == dict(zip(values, pixels, strict=True))
    of_stuff = {s["id"]: s["category_id"] for s in one["segments_info"] if s["id"] < 256}
    assert of_stuff == {1: 1, 2: 2}
    assert [c["isthing"] for c in whole["categories"]] == [0, 0, 1, 1]
    place = json.loads(paths["georeference.json"].read_text())
    assert (CRS.from_string(place["crs"]), Affine(*place["transform"])) == (crs, transform)
    assert (place["image"], place["shape"]) == ("scene.tif", list(SHAPE))
    back = ["labels", "import", str(paths["instances.json"]), "-o", str(paths["instances.json"].with_name("back.gpkg"))]
    assert main(back) == 3
    assert "georeference.json" in capsys.readouterr().err
    assert main([*back, "--tiles", str(paths["georeference.json"])]) == 0
    polygons = gpd.read_file(back[4], layer="labels")
    assert (polygons.crs, len(polygons)) == (crs, len(rows))
    again = rasterize(zip(polygons.geometry, range(1, 1 + len(rows)), strict=True), SHAPE, transform=transform)
    pairs = np.unique(np.stack([again, painted]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == 1 + len(rows)  # every object has its pixels, and the ground has none
    assert sorted(polygons["class"]) == sorted(rows.class_name)


def test_what_coco_files_cannot_be_made_of_is_refused_in_a_line(run, tmp_path, capsys):
    def refused(folder, out, *more):
        code = main(["annotations", str(folder), "-o", str(tmp_path / out), *more])
        return code, capsys.readouterr().err

    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "panoptic.png").write_text("mine")
    code, said = refused(run.folder, "there")
    assert (code, said.count("\n")) == (5, 1)
    assert "panoptic.png: exists already" in said
    assert refused(run.folder, "there", "--overwrite")[0] == 0
    other = shutil.copytree(run.folder, tmp_path / "other")
    facts = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({key: facts[key] for key in facts if key != "instances"}))
    told = f"error: {other}: tells no objects apart; run a model of the task panoptic or objects\n"
    assert refused(other, "new") == (3, told)
    shutil.copy(run.paths["run.json"], other)
    rows = gpd.read_file(other / "instances.gpkg", layer="instances")
    for value, wanted, why in ((2**24, 2, "hold ids of 1..16777215"), (10**6, 3, "hold other objects")):
        rows.loc[len(rows) - 1, "segment_id"] = value
        rows.to_file(other / "instances.gpkg", layer="instances")
        code, said = refused(other, "new")
        assert (code, said.count("\n"), why in said) == (wanted, 1, True), said
    (other / "instances.gpkg").write_text("no table")
    code, said = refused(other, "new")
    assert (code, "cannot be read" in said) == (3, True)
    assert not (tmp_path / "new").exists()


def test_plan_says_what_stages_hold(scene, model, run):
    held = run.run["plan"]["memory_bytes"]
    assert held["group"] > held["outline"] > held["base"]
    assert run.run["plan"]["peak_memory_bytes"] >= max(held["group"], held["number"])
    with pytest.raises(MemoryBudgetError, match=r"objects, in stage group, of scene.tif need \d+ MiB"):
        predict(
            scene,
            model,
            run.folder.parent / "no",
            options=RunOptions(memory_bytes=held["chunks_total"] + 10**6, chunk_px=1024, lanes=1),
        )


def test_areas_of_a_class_map_are_parted_alike_for_any_tiles(tmp_path, truth, monkeypatch):
    classes, ids = (values[:600, :600] for values in truth)
    bands = panoptic.answers_of(classes, ids)[:4]
    scene = panoptic.write_tif(tmp_path / "scene.tif", bands)
    model = panoptic.write_areas(tmp_path / "m")
    whole = predict(scene, model, tmp_path / "whole", options=RunOptions(chunk_px=1024))
    monkeypatch.setattr(object_parts, "GROUP_PX", 150)
    monkeypatch.setattr(SyncEngine, "map", elsewhere)
    tiled = predict(scene, model, tmp_path / "tiled", options=RunOptions(chunk_px=512, engine="sync"))
    assert contents(tiled) == contents(whole)
    assert whole.run["instances"]["count"] == pytest.approx(len(np.unique(ids)) - 1, rel=0.05)
    assert main(["check", str(tiled.folder)]) == 0
    found = rasterio.open(whole.paths["panoptic.tif"]).read(1)
    assert ((found >= 256) == (ids > 0)).mean() > 0.999
