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
from geoseg.jobs.evaluate import class_table, evaluate
from geoseg.jobs.evaluate.errors import errors_of
from geoseg.outputs.class_raster import ClassRaster
from geoseg.scenes.labelled import class_text

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
    nothing = write_vectors(tmp_path / "nothing.gpkg", [None])
    with pytest.raises(InputError, match=r"nothing\.gpkg: holds no polygon"):
        evaluate(predicted, truth, aoi=nothing)


def test_boundaries_agree_within_the_tolerance_in_metres(truth, predicted, tmp_path):
    aoi = write_vectors(tmp_path / "aoi.gpkg", [house(0, 50, 0, 60)])
    near = evaluate(predicted, truth, aoi=aoi, tolerance_m=0.6).as_json()["classes"][1]["boundary_f1"]
    far = evaluate(predicted, truth, aoi=aoi, tolerance_m=0.4).as_json()["classes"][1]["boundary_f1"]
    assert near == 1.0  # one pixel of half a metre to the east
    assert far < 0.9


@pytest.mark.parametrize("rows", [7, 64])
def test_strips_add_up_to_the_whole(truth, predicted, monkeypatch, rows):
    whole = evaluate(predicted, truth, tolerance_m=2.2).as_json()
    monkeypatch.setattr("geoseg.jobs.evaluate.judged.STRIP_ROWS", rows)
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


def test_truth_that_crosses_itself_is_scored_and_told_once(truth, tmp_path, capsys):
    x0, y0, x1, y1 = house(10, 30, 10, 40).bounds
    bow = shapely.Polygon([(x0, y0), (x1, y1), (x1, y0), (x0, y1)])
    crossed = write_vectors(tmp_path / "crossed.gpkg", [bow, house(40, 50, 10, 30)])
    assert main(["evaluate", str(truth), "--truth", str(crossed)]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "invalid" in line]
    assert "crossed.gpkg: 1 of 2 polygons are invalid" in said
    assert main(["evaluate", str(crossed), "--truth", str(truth)]) == 0  # scored as the prediction's, by valid_share
    assert "invalid" not in capsys.readouterr().err


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
    assert scores["true_polygons"] == 2
    beside = write_vectors(tmp_path / "b.gpkg", [house(0, 8, 0, 8), house(0, 8, 40, 48)], use=["water", "3"])
    assert evaluate(raster, beside, column="use").as_json()["true_polygons"] == 1
    assert scores["confusion"]["truth_by_prediction"] == [[64, 0, 0], [0, 0, 0], [0, 64, 64]]
    with pytest.raises(ConfigError, match="name the column that holds the class with --column"):
        evaluate(raster, truth)
    with pytest.raises(ConfigError, match="no column 'kind'"):
        evaluate(raster, truth, column="kind")
    odd = write_vectors(tmp_path / "o.gpkg", [house(0, 8, 0, 8)], use=["swamp"])
    with pytest.raises(InputError, match="use = swamp is neither name nor id"):
        evaluate(raster, odd, column="use")


@pytest.mark.parametrize("ids", [[2, 2], [2.0, 2.0], ["building", "building"]])
def test_a_column_that_says_building_of_all_polygons_leaves_other_ground_background(tmp_path, predicted, ids):
    houses = [house(10, 30, 10, 40), house(60, 100, 50, 80)]
    plain = evaluate(predicted, write_vectors(tmp_path / "t.gpkg", houses)).as_json()
    named = evaluate(predicted, write_vectors(tmp_path / "c.gpkg", houses, kind=ids), column="kind").as_json()
    assert named["classes"] == plain["classes"]
    known = [*houses, house(0, 5, 0, SCENE_SHAPE[1])]
    marked = write_vectors(tmp_path / "m.gpkg", known, kind=[*map(class_text, ids), "cloud"])
    partly = evaluate(predicted, marked, column="kind", values={"cloud": "nodata"}).as_json()
    assert partly["pixels"] == named["pixels"] - 5 * SCENE_SHAPE[1]


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
    path = write_classes(tmp_path / "p.tif", np.repeat([[1, 4, 0]], 4, axis=0), names=())
    assert [(c.id, c.name) for c in class_table(ClassRaster.open(path))] == [(1, "class 1"), (4, "class 4")]
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {1: (1, 2, 3, 255), 4: (9, 8, 7, 255)})
    assert [c.color for c in class_table(ClassRaster.open(path))] == [(1, 2, 3), (9, 8, 7)]


MASK = np.zeros((40, 60), np.uint8)
MASK[10:30, 20:50] = 1


def shifted(mask, *, cols):
    return np.roll(mask, cols, axis=1)


def building_of(prediction, truth, **options):
    scores = evaluate(prediction, truth, **options).as_json()
    assert [c["name"] for c in scores["classes"]] == ["background", "building"]
    return scores["classes"][1], scores["pixels"]


@pytest.mark.parametrize(
    "kind",
    ["uint8 0 1", "uint8 0 255", "int8 1 2", "uint16 1 2", "int16 1 2", "uint32 1 2", "int64 1 2", "float32 1 2"],
)
def test_truth_may_be_a_mask_or_ids_of_any_type(tmp_path, kind):
    dtype, no, yes = kind.split()
    prediction = write_classes(tmp_path / "p.tif", shifted(MASK, cols=3) + 1)
    truth = write_tif(tmp_path / "t.tif", np.where(MASK, int(yes), int(no))[None].astype(dtype))
    building, pixels = building_of(prediction, truth)
    assert pixels == MASK.size
    assert building["iou"] == pytest.approx(27 / 33, abs=1e-6)


def test_two_masks_are_scored_by_what_they_show(tmp_path):
    for scale in (1, 255):
        masks = [write_tif(tmp_path / f"{scale}_{i}.tif", m[None] * np.uint8(scale)) for i, m in
                 enumerate((MASK, shifted(MASK, cols=3)))]  # fmt: skip
        assert building_of(*masks)[0]["iou"] == pytest.approx(27 / 33, abs=1e-6)
    masks = [write_tif(tmp_path / f"n{i}.tif", m[None], nodata=0) for i, m in enumerate((MASK, shifted(MASK, cols=3)))]
    with pytest.raises(InputError, match=r"n1\.tif: holds 1 alone beside its nodata 0.*--nodata none"):
        evaluate(masks[1], masks[0])
    assert building_of(masks[1], masks[0], nodata="none")[0]["iou"] == pytest.approx(27 / 33, abs=1e-6)


def test_a_mask_whose_background_is_nodata_is_no_truth_unasked(tmp_path):
    prediction = write_classes(tmp_path / "p.tif", shifted(MASK, cols=3) + 1)
    truth = write_tif(tmp_path / "t.tif", MASK[None], nodata=0)
    with pytest.raises(InputError, match=r"holds 1 alone beside nodata 0.*--values 1=NAME.*--nodata none"):
        evaluate(prediction, truth)
    assert building_of(prediction, truth, nodata="none")[0]["iou"] == pytest.approx(27 / 33, abs=1e-6)
    assert building_of(prediction, truth, values={"1": "building"})[1] == MASK.sum()


def test_nodata_is_what_the_file_says(tmp_path):
    prediction = write_classes(tmp_path / "p.tif", MASK + 1)
    values = MASK.astype(np.float32) + 1
    values[:, :5] = np.nan
    assert building_of(prediction, write_tif(tmp_path / "nan.tif", values[None]))[1] == 40 * 55
    values[:, :5] = 9
    assert building_of(prediction, write_tif(tmp_path / "nine.tif", values[None], nodata=9))[1] == 40 * 55
    masked = write_tif(tmp_path / "masked.tif", MASK[None] + np.uint8(1))
    with rasterio.open(masked, "r+") as dst:
        dst.write_mask(np.arange(60)[None].repeat(40, 0) >= 5)
    assert building_of(prediction, masked)[1] == 40 * 55


def test_values_mean_what_the_user_says(tmp_path):
    prediction = write_classes(tmp_path / "p.tif", shifted(MASK, cols=3) + 1)
    odd = write_tif(tmp_path / "odd.tif", np.where(MASK, 7, 3)[None].astype(np.uint8))
    with pytest.raises(
        InputError, match=r"odd\.tif: holds 3, 7; the prediction's classes are 1 background, 2 building"
    ):
        evaluate(prediction, odd)
    assert building_of(prediction, odd, values={"3": "background", "7": "2"})[0]["iou"] == pytest.approx(
        27 / 33, abs=1e-6
    )
    assert building_of(prediction, odd, values={"3": "nodata", "7": "building"})[1] == MASK.sum()
    with pytest.raises(ConfigError, match="--values: no class 'house'"):
        evaluate(prediction, odd, values={"3": "house"})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.where(MASK, 1.5, 1).astype(np.float32), r"t\.tif: holds 1\.5; classes are integers"),
        (np.where(MASK, np.inf, 1).astype(np.float32), r"t\.tif: holds inf; classes are integers"),
        (np.where(MASK, 2, -1).astype(np.int16), r"t\.tif: holds -1; the prediction's classes are"),
        (np.where(MASK, 300, 1).astype(np.uint16), r"t\.tif: holds 300; the prediction's classes are"),
        (np.where(MASK, 2, 0).astype(np.uint8), r"t\.tif: holds 0; .*--values .*0=nodata"),
        (np.arange(2400).reshape(40, 60).astype(np.int32), "more than 254 different values"),
        (MASK.astype(np.complex64), "complex64 values"),
    ],
)
def test_what_is_no_class_is_refused(tmp_path, values, told):
    prediction = write_classes(tmp_path / "p.tif", MASK + 1)
    truth = write_tif(tmp_path / "t.tif", values[None])
    with pytest.raises(InputError, match=told):
        evaluate(prediction, truth)


def test_a_prediction_without_a_table_has_to_hold_classes(tmp_path):
    truth = write_classes(tmp_path / "t.tif", MASK + 1)
    for values, told in ((MASK * 3, "holds 0; classes are 1..254"), (MASK + 254, "holds 255; classes")):
        with pytest.raises(InputError, match=told):
            evaluate(write_tif(tmp_path / "p.tif", values[None]), truth)
    assert evaluate(write_tif(tmp_path / "p.tif", MASK[None] + np.uint8(1)), truth).confusion.pixels == MASK.size
    stray = write_classes(tmp_path / "stray.tif", MASK * 2 + 1)
    with pytest.raises(InputError, match=r"stray\.tif: holds 3, which its class table \(1 background, 2 building\)"):
        evaluate(stray, truth)


def test_classes_of_two_maps_are_compared_by_name(tmp_path):
    prediction = write_classes(tmp_path / "p.tif", MASK + 1, ("field", "water"))
    truth = write_classes(tmp_path / "t.tif", 2 - MASK, ("water", "field"))
    assert evaluate(prediction, truth).as_json()["mean_iou"] == 1.0
    other = write_classes(tmp_path / "o.tif", MASK + 1, ("field", "road"))
    with pytest.raises(InputError, match=r"o\.tif: holds 2 road; the prediction's classes are 1 field, 2 water"):
        evaluate(prediction, other)


def test_rasters_that_are_no_class_rasters_are_refused(tmp_path):
    prediction = write_classes(tmp_path / "p.tif", MASK + 1)
    three = write_tif(tmp_path / "three.tif", np.stack([MASK + 1] * 3))
    nowhere = write_tif(tmp_path / "nowhere.tif", MASK[None] + np.uint8(1), crs=None)
    cut = write_tif(tmp_path / "cut.tif", np.random.default_rng(0).integers(1, 3, (1, 400, 600)).astype(np.uint8))
    cut.write_bytes(cut.read_bytes()[:150_000])
    torn = write_tif(
        tmp_path / "torn.tif", np.random.default_rng(0).integers(1, 3, (1, 400, 600)).astype(np.uint8), compress="zstd"
    )
    content = bytearray(torn.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    torn.write_bytes(content)
    of_file = r"\.tif.*(damaged|cannot be|not a raster)"
    for path, told in ((three, "3 bands"), (nowhere, "no CRS"), (cut, f"cut{of_file}"), (torn, f"torn{of_file}")):
        for pair in ((prediction, path), (path, prediction)):
            with pytest.raises(InputError, match=told):
                evaluate(*pair)


def test_truth_beside_the_prediction_is_an_error(tmp_path, truth, predicted):
    far = write_vectors(tmp_path / "far.gpkg", [house(1000, 1010, 1000, 1010)])
    with pytest.raises(InputError, match=r"far\.gpkg: none of its 1 polygons lies on the judged ground"):
        evaluate(predicted, far)
    with pytest.raises(InputError, match=r"far\.gpkg: none of its 1 polygons"):
        evaluate(far, predicted)
    with pytest.raises(InputError, match=r"far\.gpkg: its polygons share no ground with those of .*truth\.gpkg"):
        evaluate(truth, far)
    empty = write_vectors(tmp_path / "aoi.gpkg", [house(110, 130, 0, 60)])
    assert evaluate(predicted, truth, aoi=empty).as_json()["classes"][1]["truth_px"] == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"classes": 3}', '{"classes": [{"id": 1}]}', "\x00"])
def test_a_damaged_run_json_is_told(tmp_path, truth, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: no finished run .*run it again"):
        evaluate(tmp_path, truth)


def test_one_of_several_layers_is_named(tmp_path, predicted, truth):
    several = tmp_path / "several.gpkg"
    gpd.GeoDataFrame(geometry=[house(0, 5, 0, 5)], crs=CRS_NAME).to_file(several, layer="a_roads")
    gpd.read_file(truth).to_file(several, layer="truth")
    expected = evaluate(predicted, truth).as_json()
    with pytest.raises(InputError, match=r"holds 2 layers \(a_roads, truth\)"):
        evaluate(predicted, several)
    assert evaluate(predicted, several, layer="truth").as_json() == expected
    assert evaluate(predicted, f"{several}|layername=truth").as_json() == expected
    with pytest.raises(ConfigError, match="a raster has neither layer nor column"):
        evaluate(predicted, predicted, layer="truth")


def test_a_vrt_of_vectors_is_truth_like_the_file_behind_it(tmp_path, predicted, truth):
    virtual = tmp_path / "truth.vrt"
    virtual.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="truth"><SrcDataSource>{truth}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )
    assert evaluate(predicted, virtual).as_json() == evaluate(predicted, truth).as_json()


def test_class_columns_of_any_type(tmp_path):
    values = np.repeat([[1, 2, 2, 2]], 8, axis=0).repeat(8, axis=1)
    raster = write_classes(tmp_path / "p.tif", values, ("water", "forest"))
    shapes = [house(0, 8, 0, 8), house(0, 8, 8, 32)]
    for name, column in (("float", [1.0, 2.0]), ("int", [1, 2]), ("text", [" water", "2 "])):
        truth = write_vectors(tmp_path / f"{name}.gpkg", shapes, class_id=column)
        assert evaluate(raster, truth, column="class_id").as_json()["mean_iou"] == 1.0
    null = write_vectors(tmp_path / "null.gpkg", shapes, class_id=np.array([1, None], object))
    with pytest.raises(InputError, match=r"1 of 2 polygons have no class_id \(NULL\); fill them in"):
        evaluate(raster, null, column="class_id")
    words = write_vectors(tmp_path / "words.gpkg", shapes, kind=["lake", "wood"])
    named = {"lake": "water", "wood": "2"}
    assert evaluate(raster, words, column="kind", values=named).as_json()["mean_iou"] == 1.0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--values", "0background"], "values 0background: write VALUE=CLASS"),
        (["--nodata", "x"], "nodata x: write a number, or none"),
        (["--tolerance-m", "inf"], "tolerance-m inf"),
    ],
)
def test_flags_that_say_nothing_are_refused(capsys, truth, predicted, flags, told):
    assert main(["evaluate", str(predicted), "--truth", str(truth), *flags]) == 2
    assert told in capsys.readouterr().err


def test_the_verb_takes_values_nodata_and_layer(capsys, tmp_path, truth):
    masks = [write_tif(tmp_path / f"{i}.tif", m[None], nodata=0) for i, m in enumerate((MASK, shifted(MASK, cols=3)))]
    argv = ["evaluate", str(masks[1]), "--truth", str(masks[0]), "--json", "-"]
    assert main(argv) == 3
    assert main([*argv, "--nodata", "none", "--values", "0=background,1=building"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"][1]["iou"] == pytest.approx(27 / 33, abs=1e-6)
    assert main(["evaluate", str(truth), "--truth", str(truth), "--layer", "truth", "--json", "-"]) == 0


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


def test_the_output_folder_of_a_run_is_scored_with_its_polygons(capsys, finished_run, tiny_truth):
    assert main(["evaluate", str(finished_run), "--truth", str(tiny_truth), "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    houses = len(gpd.read_file(tiny_truth))
    assert scores["objects"]["found"] + scores["objects"]["missed"] == houses
    made = len(gpd.read_file(finished_run / "buildings.gpkg", layer="buildings"))
    assert scores["objects"]["found"] + scores["objects"]["invented"] == made


@pytest.mark.parametrize("rows", [7, 512])
def test_errors_are_named_and_coloured_and_strips_add_up(truth, predicted, tmp_path, monkeypatch, rows):
    monkeypatch.setattr("geoseg.jobs.evaluate.errors.STRIP_ROWS", rows)
    file = tmp_path / "errors.tif"
    assert main(["evaluate", str(predicted), "--truth", str(truth), "--errors", str(file), "--tolerance-m", "0.6"]) == 0
    with rasterio.open(file) as src:
        kind, names = src.read(1), [src.tags(1)[f"CLASS_{i}"] for i in range(1, 6)]
        assert src.colormap(1)[2][:3] == (215, 48, 39)
    assert names == ["right", "missed", "invented", "another class", "boundary band"]
    assert (kind[150:] == 0).all()
    assert (kind[10:30, 10] == 5).all()  # a column too far east, of half a metre
    assert (kind[62:98, 52:78] == 2).all()
    assert (kind[61, 51:79] == 5).all()
    assert set(np.unique(kind)) == {0, 1, 2, 5}
    assert (kind == 1).sum() == 150 * SCENE_SHAPE[1] - 20 - 20 - 1200
    assert "missed" in (tmp_path / "errors.tif.aux.xml").read_text()
    assert main(["evaluate", str(predicted), "--truth", str(truth), "--errors", str(file)]) == 5


def test_errors_between_classes_and_those_of_a_background_are_told_apart():
    right, said = np.full((9, 9), 1, np.uint8), np.full((9, 9), 1, np.uint8)
    right[:, 4:], said[0], said[8] = 2, 3, 0
    kinds = {"background": 1, "tolerance_m": 1.0, "pixel_size_m": (1.0, 1.0)}
    assert errors_of(right, said, **kinds)[[0, 1, 8]].tolist() == [
        [3, 3, 5, 5, 5, 5, 4, 4, 4], [1, 1, 1, 1, 5, 5, 2, 2, 2], [0] * 9,
    ]  # fmt: skip
    assert errors_of(right, said, **{**kinds, "background": None})[0].tolist() == [4, 4, 5, 5, 5, 5, 4, 4, 4]


@pytest.mark.parametrize("tags", [{"CLASS_999": "x"}, {"CLASS_0": "x"}, {"CLASS_1": "x", "CLASS_2": "x"}])
def test_tags_that_are_no_class_table_are_refused_with_the_file(tmp_path, tags):
    raster = write_tif(tmp_path / "said.tif", MASK[None] + np.uint8(1))
    with rasterio.open(raster, "r+") as dst:
        dst.update_tags(1, **tags)
    with pytest.raises(InputError, match=r"said\.tif: its CLASS_n tags name no classes"):
        class_table(ClassRaster.open(raster))
