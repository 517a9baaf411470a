"""Scores against numbers counted by hand, and the ways a prediction and its truth may come."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import GSD_M, SCENE_SHAPE, write_tif

from geoseg.cli import main
from geoseg.errors import ConfigError, InputError
from geoseg.evaluate import class_table, evaluate

LEFT, TOP, CRS_NAME = 3e5, 3.06e6, "EPSG:32645"


def house(r0, r1, c0, c1):
    return shapely.box(LEFT + c0 * GSD_M, TOP - r1 * GSD_M, LEFT + c1 * GSD_M, TOP - r0 * GSD_M)


def write_vectors(path, shapes, *, crs=CRS_NAME, **columns):
    gpd.GeoDataFrame(columns, geometry=list(shapes), crs=CRS_NAME).to_crs(crs).to_file(path)
    return path


def write_classes(path, values, names=("background", "building"), nodata=0):
    write_tif(path, values[None].astype(np.uint8), nodata=nodata)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(1, **{f"CLASS_{i}": n for i, n in enumerate(names, 1)})
    return path


@pytest.fixture
def truth(tmp_path):
    """Two houses: rows 10..30, columns 10..40 and rows 60..100, columns 50..80: 600 + 1200 pixels."""
    return write_vectors(tmp_path / "truth.gpkg", [house(10, 30, 10, 40), house(60, 100, 50, 80)])


@pytest.fixture
def predicted(tmp_path):
    """The first house one column too far east, the second missed, rows from 150 unknown."""
    values = np.ones(SCENE_SHAPE, np.uint8)
    values[10:30, 11:41] = 2
    values[150:] = 0
    return write_classes(tmp_path / "classes.tif", values)


def test_pixels_are_scored_as_counted_by_hand(truth, predicted):
    scores = evaluate(predicted, truth).as_json()
    building = scores["classes"][1]
    ground = 150 * SCENE_SHAPE[1]
    assert scores["pixels"] == ground
    assert building["name"] == "building"
    assert (building["truth_px"], building["predicted_px"]) == (1800, 600)
    assert building["iou"] == pytest.approx(580 / 1820, abs=1e-6)
    assert building["f1"] == pytest.approx(2 * 580 / 2400, abs=1e-6)
    assert (building["precision"], building["recall"]) == pytest.approx((580 / 600, 580 / 1800), abs=1e-6)
    assert scores["confusion"]["truth_by_prediction"] == [[ground - 1820, 20], [1220, 580]]
    assert scores["mean_iou"] == pytest.approx((580 / 1820 + (ground - 1820) / (ground - 580)) / 2, abs=1e-6)
    assert scores["objects"] is None


def test_the_baseline_answers_building_everywhere(truth, predicted):
    base = evaluate(predicted, truth).as_json()["baseline"]
    share = 1800 / (150 * SCENE_SHAPE[1])
    assert base["always"] == "building"
    assert base["iou"] == pytest.approx(share, abs=1e-6)
    assert base["f1"] == pytest.approx(2 * share / (1 + share), abs=1e-6)


def test_an_aoi_bounds_the_judged_ground(truth, predicted, tmp_path):
    aoi = write_vectors(tmp_path / "aoi.gpkg", [house(0, 50, 0, 60)], crs="EPSG:4326")
    scores = evaluate(predicted, truth, aoi=aoi).as_json()
    assert scores["pixels"] == 50 * 60
    assert scores["classes"][1]["iou"] == pytest.approx(580 / 620, abs=1e-6)
    beside = write_vectors(tmp_path / "beside.gpkg", [house(-50, -20, 0, 60)])
    with pytest.raises(InputError, match="the aoi lies beside"):
        evaluate(predicted, truth, aoi=beside)


def test_boundaries_agree_within_the_tolerance_in_metres(truth, predicted, tmp_path):
    aoi = write_vectors(tmp_path / "aoi.gpkg", [house(0, 50, 0, 60)])
    near = evaluate(predicted, truth, aoi=aoi, tolerance_m=0.6).as_json()["classes"][1]["boundary_f1"]
    far = evaluate(predicted, truth, aoi=aoi, tolerance_m=0.4).as_json()["classes"][1]["boundary_f1"]
    assert near == 1.0  # one pixel of half a metre to the east
    assert far < 0.9


@pytest.mark.parametrize("rows", [7, 64])
def test_strips_add_up_to_the_whole(truth, predicted, monkeypatch, rows):
    whole = evaluate(predicted, truth, tolerance_m=2.2).as_json()
    monkeypatch.setattr("geoseg.evaluate.STRIP_ROWS", rows)
    assert evaluate(predicted, truth, tolerance_m=2.2).as_json() == whole


def test_polygons_against_polygons_need_no_raster(truth, tmp_path):
    shifted = write_vectors(tmp_path / "p.gpkg", [house(10, 30, 11, 41), house(120, 140, 10, 30)])
    scores = evaluate(shifted, truth, tolerance_m=1.0).as_json()
    objects = scores["objects"]
    assert (objects["found"], objects["invented"], objects["missed"]) == (1, 1, 1)
    assert objects["f1"] == 0.5
    assert objects["mean_iou"] == pytest.approx(29 / 31, abs=1e-6)
    assert scores["classes"][1]["iou"] == pytest.approx(580 / (620 + 1200 + 400), rel=0.01)
    assert evaluate(truth, truth).as_json()["mean_iou"] == 1.0


def test_the_shapes_of_polygons_are_scored_in_metres(truth, tmp_path):
    shapes = [house(10, 30, 11, 41), house(120, 140, 10, 30), house(130, 150, 10, 30)]
    answers = write_vectors(tmp_path / "p.gpkg", shapes, crs="EPSG:4326", confidence=[0.5, 0.9, 0.8])
    scores = evaluate(answers, truth).as_json()["polygons"]
    assert (scores["truth"], scores["predicted"], scores["matched"]) == (2, 3, 1)
    assert (scores["f1_50"], scores["f1_90"]) == (0.4, 0.4)
    assert scores["ap_50"] == pytest.approx(51 / 101 / 3, abs=1e-6)  # two that are surer are wrong
    assert (scores["n_ratio"], scores["right_angle_share"], scores["valid_share"]) == (1, 1, 1)
    assert scores["hausdorff_m"] == pytest.approx(GSD_M, rel=1e-3)
    assert scores["polis_m"] == pytest.approx(GSD_M / 2, rel=1e-3)  # two of four corners slid along the wall
    assert scores["overlap_m2"] == pytest.approx(200 * GSD_M**2, rel=1e-3)
    assert evaluate(truth, truth).as_json()["polygons"]["ap"] is None


def test_an_invalid_polygon_is_counted_and_its_larger_part_scored(truth, tmp_path):
    x0, y0, x1, y1 = house(10, 30, 10, 40).bounds
    with_tail = shapely.Polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0 - 2, y0 - 2), (x0 - 2, y0)])
    assert not with_tail.is_valid
    scores = evaluate(write_vectors(tmp_path / "p.gpkg", [with_tail]), truth).as_json()["polygons"]
    assert (scores["valid_share"], scores["matched"]) == (0, 1)


def test_finding_nothing_scores_zero_and_no_truth_is_an_error(truth, tmp_path):
    nothing = write_vectors(tmp_path / "none.gpkg", [])
    scores = evaluate(nothing, truth).as_json()
    assert (scores["classes"][1]["iou"], scores["objects"]["f1"], scores["objects"]["missed"]) == (0.0, 0.0, 2)
    with pytest.raises(InputError, match=r"none\.gpkg: no polygons"):
        evaluate(truth, nothing)
    with pytest.raises(InputError, match=r"gone\.gpkg: no such file"):
        evaluate(truth, tmp_path / "gone.gpkg")
    with pytest.raises(ConfigError, match="tolerance-m 0: "):
        evaluate(truth, truth, tolerance_m=0)


def test_polygons_are_judged_on_the_grid_of_a_truth_raster(predicted, tmp_path):
    shapes = write_vectors(tmp_path / "p.gpkg", [house(10, 30, 11, 41)])
    assert evaluate(shapes, predicted).as_json()["mean_iou"] == 1.0


def test_a_class_raster_is_scored_by_its_own_table(tmp_path):
    names = ("water", "forest", "field")
    truth = np.repeat([[1, 2, 3, 0]], 8, axis=0).repeat(8, axis=1)
    answer = truth.copy()
    answer[:4, :8] = 2
    paths = [write_classes(tmp_path / f"{n}.tif", v, names) for n, v in (("t", truth), ("p", answer))]
    scores = evaluate(paths[1], paths[0]).as_json()
    assert [c["name"] for c in scores["classes"]] == list(names)
    assert [c["iou"] for c in scores["classes"]] == pytest.approx([0.5, 64 / 96, 1.0], abs=1e-6)
    assert scores["pixels"] == 3 * 64
    assert evaluate(paths[0], paths[0]).as_json()["overall_accuracy"] == 1.0


def test_polygons_with_a_class_column_score_a_class_raster(tmp_path):
    values = np.repeat([[1, 2, 3, 3]], 8, axis=0).repeat(8, axis=1)
    raster = write_classes(tmp_path / "p.tif", values, ("water", "forest", "field"))
    truth = write_vectors(tmp_path / "t.gpkg", [house(0, 8, 0, 8), house(0, 8, 8, 24)], use=["water", "3"])
    scores = evaluate(raster, truth, column="use").as_json()
    assert scores["pixels"] == 8 * 24  # no polygon, no judgement
    assert scores["confusion"]["truth_by_prediction"] == [[64, 0, 0], [0, 0, 0], [0, 64, 64]]
    with pytest.raises(ConfigError, match="name the column that holds the class with --column"):
        evaluate(raster, truth)
    with pytest.raises(ConfigError, match="no column 'kind'"):
        evaluate(raster, truth, column="kind")
    odd = write_vectors(tmp_path / "o.gpkg", [house(0, 8, 0, 8)], use=["swamp"])
    with pytest.raises(ConfigError, match="use = swamp is neither name nor id"):
        evaluate(raster, odd, column="use")


def test_a_land_cover_map_with_buildings_is_judged_by_footprints(truth, tmp_path):
    values = np.ones(SCENE_SHAPE, np.uint8)
    values[10:30, 10:40] = values[60:100, 50:80] = 3
    values[:5] = 2
    raster = write_classes(tmp_path / "p.tif", values, ("field", "water", "building"))
    scores = evaluate(raster, truth).as_json()
    assert [c["name"] for c in scores["classes"]] == ["background", "building"]
    assert scores["mean_iou"] == 1.0


def test_a_raster_on_another_grid_is_refused(predicted, tmp_path):
    moved = np.ones((1, *SCENE_SHAPE), np.uint8)
    path = write_tif(tmp_path / "moved.tif", moved, transform=Affine(GSD_M, 0, LEFT + 3, 0, -GSD_M, TOP))
    with pytest.raises(InputError, match=r"moved\.tif: its grid differs"):
        evaluate(predicted, path)


def test_ground_without_anything_to_judge_is_an_error(predicted, truth, tmp_path):
    aoi = write_vectors(tmp_path / "aoi.gpkg", [house(152, 158, 0, 60)])
    with pytest.raises(InputError, match="nothing to judge"):
        evaluate(predicted, truth, aoi=aoi)


def test_a_raster_without_names_is_counted_and_its_palette_kept(tmp_path):
    path = write_classes(tmp_path / "p.tif", np.repeat([[1, 4, 0, 255]], 4, axis=0), names=())
    assert [(c.id, c.name) for c in class_table(path)] == [(1, "class 1"), (4, "class 4")]
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {1: (1, 2, 3, 255), 4: (9, 8, 7, 255)})
    assert [c.color for c in class_table(path)] == [(1, 2, 3), (9, 8, 7)]
    with pytest.raises(InputError, match="float32 values"):
        class_table(write_tif(tmp_path / "f.tif", np.zeros((1, 4, 4), np.float32)))


def test_the_verb_prints_tables_and_writes_json(capsys, truth, predicted, tmp_path):
    argv = ["evaluate", str(predicted), "--truth", str(truth)]
    assert main([*argv, "--json", str(tmp_path / "s.json")]) == 0
    out = capsys.readouterr().out
    assert f"{580 / 1820:.4f}" in out
    assert "baseline, always building" in out
    assert "PoLiS" not in out
    written = json.loads((tmp_path / "s.json").read_text())
    assert main([*argv, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert written["truth"] == str(truth)


def test_the_verb_tells_the_shapes_of_polygons(capsys, truth):
    assert main(["evaluate", str(truth), "--truth", str(truth)]) == 0
    out = capsys.readouterr().out
    assert "PoLiS [m]" in out
    assert "AP" not in out  # without confidences there is none


def test_the_output_folder_of_a_run_is_scored_with_its_polygons(capsys, tmp_path, tiny_scene, tiny_bundle, tiny_truth):
    out = tmp_path / "o"
    assert main(["buildings", str(tiny_scene), "-m", str(tiny_bundle), "-o", str(out), "-q"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--truth", str(tiny_truth), "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    houses = len(gpd.read_file(tiny_truth))
    assert scores["objects"]["found"] + scores["objects"]["missed"] == houses
    made = len(gpd.read_file(out / "buildings.gpkg", layer="buildings"))
    assert scores["objects"]["found"] + scores["objects"]["invented"] == made
