import json

import pytest

from geoseg.disk.places import matching
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.lists import ListedScene, ListKeys, list_scenes

KEYS = ListKeys()


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return [str(p) for p in paths]


def test_a_glob_is_sorted_and_reaches_into_folders(tmp_path):
    b, a, c = touch(tmp_path / "b.tif", tmp_path / "a.tif", tmp_path / "deep/er/c.tif")
    (tmp_path / "d.tif").mkdir()
    found = list_scenes([f"{tmp_path}/**/*.tif"], KEYS)
    assert found == [ListedScene("a", (a,)), ListedScene("b", (b,)), ListedScene("c", (c,))]
    with pytest.raises(InputError, match=r"none_\*\.tif: no file matches"):
        list_scenes([f"{tmp_path}/none_*.tif"], KEYS)


def test_rasters_are_taken_as_they_are_even_where_nothing_lies(tmp_path):
    odd, missing = tmp_path / "odd[1].tif", str(tmp_path / "missing.tif")
    touch(odd)
    url = "https://example.org/deep/x.tif?token=a/b"
    found = list_scenes([str(odd), missing, url, "/vsizip/a.zip/s*.tif"], KEYS)
    assert [s.name for s in found] == ["odd[1]", "missing", "x", "s*"]
    assert [s.files for s in found] == [(str(odd),), (missing,), (url,), ("/vsizip/a.zip/s*.tif",)]


def test_a_table_names_scenes_and_starts_at_its_own_folder(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("﻿name,scene,note\nfirst,a.tif,x\n,/data/b.tif,\nbands,B02.tif; B03.tif,\n", encoding="utf-8")
    assert list_scenes([str(table)], KEYS) == [
        ListedScene("first", (str(tmp_path / "a.tif"),)),
        ListedScene("b", ("/data/b.tif",)),
        ListedScene("bands", (str(tmp_path / "B02.tif"), str(tmp_path / "B03.tif"))),
    ]
    table.write_text("path,label\na.tif,one\n")
    assert list_scenes([str(table)], ListKeys(scene_column="path", name_column="label"))[0].name == "one"
    with pytest.raises(ConfigError, match=r"no column 'scene'; it has path, label.*scene_column"):
        list_scenes([str(table)], KEYS)


def test_dates_of_a_table_start_at_its_folder(tmp_path):
    (tmp_path / "t.csv").write_text("name,scene\nx,2024-05-03=may.tif;2024-07-01=tiles\n")
    (scene,) = list_scenes([str(tmp_path / "t.csv")], KEYS)
    assert scene.files == (f"2024-05-03={tmp_path}/may.tif", f"2024-07-01={tmp_path}/tiles")


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_of_a_spreadsheet_may_part_columns_by_other_marks(tmp_path, mark):
    table = tmp_path / "list.csv"
    table.write_text(f'scene{mark}name\na.tif{mark}one\n"B02.tif;B03.tif"{mark}two\n')
    assert list_scenes([str(table)], KEYS) == [
        ListedScene("one", (str(tmp_path / "a.tif"),)),
        ListedScene("two", (str(tmp_path / "B02.tif"), str(tmp_path / "B03.tif"))),
    ]
    table.write_text(f"scene{mark}name\na.tif{mark}one\nB02.tif{mark}B03.tif{mark}two\n")
    with pytest.raises(InputError, match="line 3 has more cells than the header; quote"):
        list_scenes([str(table)], KEYS)


def item(name, **assets):
    return {"type": "Feature", "id": name, "assets": assets}


def stac(path, *items):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return [str(path)]


def test_folders_that_are_called_like_patterns_are_taken_as_they_are_named(tmp_path):
    (tmp_path / "br[1]").mkdir()
    (tmp_path / "br[1]/c.tif").touch()
    assert [s.name for s in list_scenes([str(tmp_path / "br[1]/*.tif")], KEYS)] == ["c"]
    assert matching(str(tmp_path / "**/*.tif")) == matching(str(tmp_path / "b*/c.tif")) != []


def test_stac_items_give_their_only_raster_or_the_assets_that_are_named(tmp_path):
    tiff = {"type": "image/tiff; application=geotiff; profile=cloud-optimized"}
    data, shown = {**tiff, "href": "./a.tif", "roles": ["data"]}, {**tiff, "href": "p.tif", "roles": ["overview"]}
    red, green = {"href": "https://example.org/red.TIF"}, {"href": "file:///data/green.tif"}
    files = stac(
        tmp_path / "items.json",
        item("one", visual=data, preview=shown, thumbnail={"href": "t.png"}),
        item("two", red=red, green=green),
        item("none", thumbnail={"href": "t.png"}),
    )
    one, two, none = list_scenes(files, KEYS)
    assert (one.name, one.files, one.fault) == ("one", (str(tmp_path / "a.tif"),), "")
    assert (two.files, two.fault) == ((f"{files[0]}#two",), "")  # its bands, as the item says them
    assert "item none has no raster among thumbnail" in none.fault
    one, two, _ = list_scenes(files, ListKeys(assets=("red", "green")))
    assert "item one has no asset red among visual, preview, thumbnail" in one.fault
    assert two.files == ("https://example.org/red.TIF", "/data/green.tif")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.json", "{", "not a STAC item collection"),
        ("x.json", "[1]", "not a STAC item collection"),
        ("x.json", '{"type": "FeatureCollection", "features": []}', "holds no items"),
        ("x.csv", "scene\n", "holds no scenes"),
        ("x.csv", "scene,name\n,a\n", "line 2 has no path"),
        ("x.csv", None, "cannot be read as a list"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=told):
        list_scenes([str(tmp_path / name)], KEYS)


def test_names_that_clash_or_cannot_be_a_folder_are_refused(tmp_path):
    touch(tmp_path / "a/S.tif", tmp_path / "b/s.tif")
    with pytest.raises(InputError, match=r"b/s\.tif: would be written to 's' as .*a/S\.tif is; give them names"):
        list_scenes([f"{tmp_path}/*/*.tif"], KEYS)
    with pytest.raises(InputError, match="the batch itself"):
        list_scenes([str(tmp_path / "summary.json.tif")], KEYS, reserved=["summary.json"])
    for name in ("a/b", "..", ".hidden", "two\nlines"):
        with pytest.raises(InputError, match="cannot name its output folder"):
            list_scenes(stac(tmp_path / "i.json", item(name, data={"href": "a.tif"})), KEYS)


def test_outputs_of_runs_under_the_pattern_are_no_scenes(tmp_path):
    a, own, theirs, shown, other = touch(
        *(tmp_path / name for name in ("a.tif", "out/a/classes.tif", "out/a/b.tif", "out/c/confidence.tif", "d/e.tif"))
    )
    (tmp_path / "out/a/run.json").write_text('{"software": "geoseg", "outputs": {"classes.tif": {}}}')
    (tmp_path / "d/run.json").write_text('{"software": "other", "outputs": {"e.tif": {}}}')
    (tmp_path / "out/c/.job").mkdir()
    (tmp_path / "out/c/.job/shown.json").write_text('["confidence.tif"]')
    found = [scene.files for scene in list_scenes([f"{tmp_path}/**/*.tif"], KEYS)]
    assert found == [(a,), (other,), (theirs,)]
    assert [scene.files for scene in list_scenes([own, shown], KEYS)] == [(own,), (shown,)]  # named, so meant
    with pytest.raises(InputError, match="no file matches"):
        list_scenes([f"{tmp_path}/out/c/*.tif"], KEYS)
