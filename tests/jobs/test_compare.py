"""Two predictions on one truth, numbers, objects with classes, and the pages that show them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from conftest import write_tif

from geoseg.cli import main
from geoseg.errors import FaultFoundError, InputError
from geoseg.jobs.evaluate import judge
from geoseg.jobs.evaluate.compare import Comparison
from geoseg.options.evaluate import EvaluateOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.shown import shown
from geoseg.trust import Change, changes, differences, tally

NAMES = ("field", "water", "wood")


def write_classes(path, values, names=NAMES):
    write_tif(path, values[None].astype(np.uint8), nodata=0)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(1, **{f"CLASS_{i}": n for i, n in enumerate(names, 1)})
    return str(path)


@pytest.fixture
def maps(tmp_path):
    """Truth in stripes of three classes; a worse and a better map, that err in 20 and 5 of 100 pixels; imagery."""
    made = np.random.default_rng(0)
    truth = np.arange(200)[:, None] // 20 % 3 + 1 + np.zeros((1, 160), int)
    found = {"truth": truth}
    for name, share in (("worse", 0.2), ("better", 0.05)):
        found[name] = np.where(made.random(truth.shape) < share, truth % 3 + 1, truth)
    found["worse"][:10] = 0
    write_tif(tmp_path / "scene.tif", np.stack([truth * 60 + k for k in range(3)]).astype(np.uint8))
    return {name: write_classes(tmp_path / f"{name}.tif", values) for name, values in found.items()} | {
        "scene": str(tmp_path / "scene.tif")
    }


def test_a_change_is_that_of_the_scores_on_ground_both_know_and_its_interval_holds_it(maps):
    options = EvaluateOptions()
    worse, better = (judge(maps[name], maps["truth"], options) for name in ("worse", "better"))
    found = Comparison.of(worse, better)
    assert found.blocks == 12 * 9  # of 18 px
    on_common = worse.beside(better)[1].scores(1.0)
    for c in found.classes:
        change = found.each[c.id]
        assert change.after == pytest.approx(on_common.confusion.iou[c.id])
        assert change.low < change.difference < change.high
        assert change.low > 0.05
    assert found.mean.after == pytest.approx(on_common.confusion.mean_iou)
    found.refuse_worse(0)
    back = Comparison.of(better, worse)
    with pytest.raises(FaultFoundError, match=r"IoU falls by more than 0\.01: field from 0\.\d+ to 0\.\d+ \(95 %"):
        back.refuse_worse(0.01)
    back.refuse_worse(0.5)
    assert Comparison.of(worse, better, block_m=1000).as_json()["mean"]["low"] is None


def test_an_interval_covers_the_true_change_as_often_as_it_says():
    made = np.random.default_rng(1)
    covered = []
    for _ in range(40):
        right = made.binomial(50, 0.7, (100, 2)) + made.integers(-10, 10, (100, 1))  # blocks differ, both maps alike
        sides = [np.stack([r, np.full(100, 60), r], 1)[:, :, None].repeat(2, 2) for r in right.T]
        change = changes(*sides)[0][1]
        covered.append(change.low <= 0 <= change.high)
    assert 0.85 <= np.mean(covered) <= 1


def test_a_class_that_a_side_lacks_has_no_change_and_stays_out_of_the_mean():
    truth, same = np.full((40, 40), 1, np.uint8), np.full((40, 40), 1, np.uint8)
    odd = same.copy()
    odd[0, 0] = 2
    counts = [tally(truth, said, max_id=3, side_px=8) for said in (same, odd)]
    each, mean = changes(*counts)
    assert np.isnan([each[2].difference, each[3].difference, each[3].low]).all()
    assert mean == Change(each[1].before, each[1].after, each[1].low, each[1].high)


class Page(HTMLParser):
    """The words of a page, and the addresses of its pictures."""

    def __init__(self, path):
        super().__init__()
        self.words, self.pictures = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.words)

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attrs):
        self.pictures += [value for name, value in attrs if name in ("src", "href")]


def test_the_verb_compares_reports_and_refuses_what_is_worse(capsys, maps, tmp_path):
    report, blind, key = (tmp_path / name for name in ("report.html", "blind.html", "blind.key.json"))
    argv = ["evaluate", maps["better"], "--truth", maps["truth"], "--scene", maps["scene"], "--not-worse", "0.01"]
    pages = ["--report", str(report), "--blind", str(blind)]
    assert main([*argv, "--against", maps["worse"], *pages]) == 0
    assert "intervals from 108 blocks" in capsys.readouterr().out
    page = Page(report)
    for word in ("wood", "truth \\ predicted", "95 % interval", "missed", "another class", "is called"):
        assert word in page.text
    assert all(address.startswith("data:image/png;base64,") for address in page.pictures)
    assert len(page.pictures) == 1 + 4  # the whole ground, and one place: imagery, truth, prediction, errors
    sheet, sides = Page(blind), json.loads(key.read_text())["places"]
    assert len(sheet.pictures) == 3 * len(sides)
    assert "better.tif" not in sheet.text
    assert all({*s.values()} == {maps["better"], maps["worse"]} for s in sides.values())
    assert main([*argv, "--against", maps["worse"], "--report", str(report)]) == 5
    turned = ["evaluate", maps["worse"], "--truth", maps["truth"], "--against", maps["better"]]
    assert main([*turned, "--not-worse", "0.01", "--json", "-"]) == 8
    said = capsys.readouterr()
    assert "falls by more than 0.01: field" in said.err
    assert json.loads(said.out)["comparison"]["classes"][0]["difference"] < -0.05


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--not-worse", "0.1"], 2, "not-worse: name the earlier prediction with --against"),
        (["--report", "report.txt"], 2, "report.txt: pages are HTML"),
        (["--blind", "b.html"], 2, "name the other prediction with --against"),
        (["--against", "{worse}", "--blind", "b.html"], 2, "name the imagery with --scene"),
        (["--against", "{better}", "--blind", "b.html", "--scene", "{scene}"], 3, "agree everywhere"),
        (["--numbers", "--report", "r.html"], 2, "--numbers prints scores alone"),
    ],
)
def test_what_cannot_be_compared_or_shown_is_refused(capsys, maps, monkeypatch, tmp_path, flags, code, told):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", maps["better"], "--truth", maps["truth"], *(f.format(**maps) for f in flags)]) == code
    assert told in capsys.readouterr().err


def test_predictions_of_other_classes_are_not_compared(maps, tmp_path):
    other = write_classes(tmp_path / "o.tif", np.full((200, 160), 2), ("field", "water", "moor"))
    one, two = (judge(path, maps["truth"], EvaluateOptions(values={"3": "3"})) for path in (maps["better"], other))
    with pytest.raises(InputError, match="other classes: 1 field, 2 water, 3 wood, and 1 field, 2 water, 3 moor"):
        Comparison.of(one, two)


def test_numbers_are_compared_where_both_are_known(capsys, tmp_path):
    right = np.linspace(0, 50, 600).reshape(20, 30).astype(np.float32)
    said = right + np.tile([1, -3], 300).reshape(right.shape).astype(np.float32)
    said[0], right[19] = np.nan, -9999
    files = [str(write_tif(tmp_path / f"{n}.tif", v[None], nodata=d)) for n, v, d in
             (("right", right, -9999), ("said", said, None))]  # fmt: skip
    assert main(["evaluate", files[1], "--truth", files[0], "--numbers", "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["pixels"] == 18 * 30
    assert (scores["bias"], scores["mae"]) == pytest.approx((-1, 2), abs=1e-5)
    assert scores["rmse"] == pytest.approx(5**0.5, abs=1e-5)
    assert scores["r2"] == pytest.approx(1 - 5 / right[1:19].var(), abs=1e-4)
    aoi = gpd.GeoDataFrame(geometry=[shapely.box(3e5, 3.06e6 - 1, 3e5 + 5, 3.06e6)], crs="EPSG:32645")
    aoi.to_file(tmp_path / "aoi.gpkg")
    argv = ["evaluate", files[1], "--truth", files[0], "--numbers", "--aoi", str(tmp_path / "aoi.gpkg")]
    assert main([*argv, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["pixels"] == 10
    moved = str(write_tif(tmp_path / "m.tif", right[None, :10]))
    assert main(["evaluate", moved, "--truth", files[0], "--numbers"]) == 3
    assert "its grid (30 x 20 px of" in capsys.readouterr().err
    assert main(["evaluate", files[1], "--truth", files[0]]) == 3
    assert "--numbers" in capsys.readouterr().err
    halves = [differences(right[:, k : k + 15].astype(float), said[:, k : k + 15].astype(float)) for k in (0, 15)]
    assert (halves[0] + halves[1]).pixels == differences(right, said).pixels


def test_polygons_of_classes_are_found_class_by_class(capsys, tmp_path):
    def square(x, y):
        return shapely.box(3e5 + x, 3e6 + y, 3e5 + x + 10, 3e6 + y + 10)

    def write(name, shapes, **columns):
        gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32645").to_file(tmp_path / name)
        return str(tmp_path / name)

    right = write(
        "t.gpkg", [square(0, 0), square(20, 0), square(40, 0), square(0, 30)], kind=["car", "car", "ship", "car"]
    )
    said = write(
        "p.gpkg", [square(1, 0), square(20, 0), square(60, 0), square(40, 1)],
        kind=["car", "car", "car", "car"], score=[0.9, 0.8, 0.7, 0.6],
    )  # fmt: skip
    assert main(["evaluate", said, "--truth", right, "--column", "kind", "--json", "-"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in scores["classes"]] == ["background", "car", "ship"]
    car, ship = scores["instances"]["classes"]
    assert (car["found"], car["invented"], car["missed"]) == (2, 2, 1)
    assert (ship["found"], ship["invented"], ship["missed"]) == (0, 0, 1)
    assert car["ap_50"] == pytest.approx(67 / 101, abs=1e-6)
    assert scores["instances"]["map_50"] == pytest.approx(car["ap_50"] / 2, abs=1e-6)  # no ship was found
    assert scores["objects"] is None
    assert main(["evaluate", said, "--truth", right, "--column", "kind"]) == 0
    assert "mAP" in capsys.readouterr().out


def test_imagery_is_shown_on_any_grid(maps):
    scene = open_scene(maps["scene"])
    box = scene.grid.box.__class__(20, 10, 60, 50)
    bands, known = shown(scene, scene.grid.crop(box))
    assert known.all()
    assert (bands[0, 2:18] == 120).all()
    beside, none = shown(scene, scene.grid.crop(box.shifted(0, 1000)))
    assert not none.any()
    assert beside.shape == (3, 40, 40)


@pytest.mark.parametrize("flag", ["--errors", "--report", "--blind", "--json"])
def test_an_input_is_never_written_and_other_files_only_when_told(maps, tmp_path, capsys, flag):
    argv = ["evaluate", maps["better"], "--truth", maps["truth"], "--against", maps["worse"]]
    taken = tmp_path / "mine.html"
    taken.write_text("mine")
    assert main([*argv, flag, str(taken)]) == 5
    assert f"{taken}: exists already" in capsys.readouterr().err
    assert taken.read_text() == "mine"
    before = Path(maps["truth"]).read_bytes()
    for name in ("better", "worse", "truth"):
        link = tmp_path / f"{name}.html"  # pages are called so
        link.hardlink_to(maps[name])
        assert main([*argv, flag, str(link), "--overwrite"]) == 5
        assert "is read by this run" in capsys.readouterr().err
    assert Path(maps["truth"]).read_bytes() == before
