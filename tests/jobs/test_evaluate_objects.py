"""Objects of a panoptic run against polygons: by class, PQ with stuff, and errors of counting by zone."""

import geopandas as gpd
import numpy as np
import panoptic
import pytest
import shapely

from geoseg import RunOptions, predict
from geoseg.jobs.evaluate import Files, evaluate_files
from geoseg.models.outputs import Channel, Output
from geoseg.options.evaluate import EvaluateOptions
from geoseg.values.classes import BUILDING_CLASSES
from geoseg.vector.pixels.labels import label_polygons

SHAPE = (300, 400)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A run that is right, and its truth in which one box more stands, one disc less, and water is ground."""
    folder = tmp_path_factory.mktemp("case")
    classes, ids = panoptic.truth_of(SHAPE)
    model = panoptic.write_oracle(folder / "m")
    run = predict(panoptic.write_scene(folder / "s.tif", classes, ids), model, folder / "out", options=RunOptions())
    numbered = np.where(ids > 0, ids + 2, classes).astype(np.int32)
    found, polygons = label_polygons(numbered, (0, 0), panoptic.transform())
    names = np.array([panoptic.CLASSES[classes[numbered == n][0] - 1].name for n in found])
    gone = np.flatnonzero(names == "disc")[5]
    names[gone] = "ground"
    names[names == "water"] = "ground"
    frame = gpd.GeoDataFrame({"class_name": names}, geometry=polygons, crs="EPSG:32645")
    west = frame.centroid.x.to_numpy()[gone] < 300100  # the other error is made in the other zone
    box = shapely.box(300180 if west else 300010, 3059990, 300186 if west else 300016, 3059996)
    extra = gpd.GeoDataFrame({"class_name": ["box"]}, geometry=[box], crs=frame.crs)
    frame = gpd.pd.concat([frame, extra])
    frame.to_file(folder / "truth.gpkg")
    left, bottom, right, top = frame.total_bounds
    halves = [shapely.box(left, bottom, (left + right) / 2, top), shapely.box((left + right) / 2, bottom, right, top)]
    gpd.GeoDataFrame(geometry=halves, crs=frame.crs).to_file(folder / "zones.gpkg")
    return run, folder, {name: int((names == name).sum()) for name in ("box", "disc")}


def test_objects_are_scored_class_by_class_and_counted_by_zone(case):
    run, folder, true = case
    options = EvaluateOptions(zones=str(folder / "zones.gpkg"))
    scores = evaluate_files(run.folder, folder / "truth.gpkg", options, files=Files()).scores.as_json()
    box, disc = scores["instances"]["classes"]
    assert (box["name"], box["found"], box["invented"], box["missed"]) == ("box", true["box"], 0, 1)
    assert (disc["found"], disc["invented"], disc["missed"], disc["count_error"]) == (true["disc"], 1, 0, 1)
    assert box["ap"] == pytest.approx(true["box"] / (true["box"] + 1), abs=0.02)
    assert box["mean_iou"] > 0.99
    assert box["boundary_iou"] > 0.99
    stuff = next(c["iou"] for c in scores["classes"] if c["name"] == "ground")
    pq = scores["panoptic"]
    assert pq["pq_stuff"] == pytest.approx((stuff + 0) / 2, abs=1e-6)
    assert pq["pq_things"] == pytest.approx((box["panoptic_quality"] + disc["panoptic_quality"]) / 2, abs=1e-6)
    zones = scores["zones"]
    assert (zones["zones"], zones["predicted"] - zones["true"]) == (2, 0)
    assert zones["predicted"] == run.run["instances"]["count"]
    assert (zones["mean_error"], zones["mean_absolute_error"]) == (0, 1)


def test_boundary_iou_is_that_of_the_rims_of_objects_found(case):
    run, folder, _ = case
    moved = gpd.read_file(folder / "truth.gpkg")
    moved["geometry"] = moved.translate(1.0, 0.0)
    moved.to_file(folder / "moved.gpkg")
    options = EvaluateOptions(tolerance_m=1.0)
    scores = evaluate_files(run.folder, folder / "moved.gpkg", options, files=Files()).scores.as_json()
    box, _ = scores["instances"]["classes"]
    assert box["boundary_iou"] < 0.6 < box["mean_iou"]


def test_objects_of_less_ground_are_left_out_on_both_sides(case):
    run, folder, _ = case
    areas = run.objects()["area_m2"]
    least = float(areas.median())
    options = EvaluateOptions(min_area_m2=least)
    scores = evaluate_files(run.folder, folder / "truth.gpkg", options, files=Files()).scores.as_json()
    box, disc = scores["instances"]["classes"]
    predicted = sum(one["found"] + one["invented"] for one in (box, disc))
    assert predicted == (areas >= least).sum()
    assert 10 < predicted < len(areas)
    assert box["missed"] <= 1
    assert disc["invented"] <= 1


def test_buildings_told_apart_are_scored_as_objects_of_one_class(tmp_path):
    classes, ids = panoptic.truth_of((200, 200))
    answered = Output(channels=tuple(Channel(name=c.name, class_id=1 + (c.id > 2)) for c in panoptic.CLASSES))
    model = panoptic.write_oracle(
        tmp_path / "m", classes=BUILDING_CLASSES, outputs=(answered, *panoptic.spec_of().outputs[1:]),
        grouping=panoptic.GROUPING.model_copy(update={"things": ("building",)}),
    )  # fmt: skip
    run = predict(panoptic.write_scene(tmp_path / "s.tif", classes, ids), model, tmp_path / "out", options=RunOptions())
    found, polygons = label_polygons(ids, (0, 0), panoptic.transform())
    gpd.GeoDataFrame(geometry=polygons[1:], crs="EPSG:32645").to_file(tmp_path / "truth.gpkg")
    scores = evaluate_files(run.folder, tmp_path / "truth.gpkg", EvaluateOptions(), files=Files()).scores.as_json()
    (building,) = scores["instances"]["classes"]
    assert (building["found"], building["invented"], building["missed"]) == (len(found) - 1, 1, 0)
    assert building["ap"] > 0.9
    assert scores["panoptic"]["pq_things"] == building["panoptic_quality"]
