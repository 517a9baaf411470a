"""What lies beside a run's outputs for people, and that every table of classes says the same."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import rasterio
import shapely
from stac_schemas import violations

import geoseg
from geoseg.errors import InputError
from geoseg.jobs.report import report
from geoseg.outputs.check import check_outputs
from geoseg.outputs.project import read_project

type Table = dict[int, tuple[str, str]]  # name and colour by class id


@pytest.fixture(scope="module")
def out(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("report") / "out")
    assert [path.name for path in report(folder)] == ["report.html", "run.qgz", "item.json", "SHA256SUMS"]
    return folder


def test_a_run_reports_of_itself_where_it_is_asked_to(tiny_scene: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    options = geoseg.RunOptions(engine="sync", report=True)
    result = geoseg.predict(tiny_scene, tiny_bundle, tmp_path / "out", options=options)
    assert {"report.html", "run.qgz", "item.json", "SHA256SUMS"} <= result.paths.keys()
    assert faults(tmp_path / "out") == []
    other = geoseg.RunOptions(engine="sync", layers=("classes",), overwrite=True)
    geoseg.predict(tiny_scene, tiny_bundle, tmp_path / "out", options=other)
    assert faults(tmp_path / "out") == []  # what was said of the run before is said anew


def faults(folder: Path) -> list[str]:
    return [found.name for found in check_outputs(folder) if not found.ok]


def test_a_reported_folder_is_sound_wherever_it_lies(out: Path, tmp_path: Path) -> None:
    assert faults(shutil.copytree(out, tmp_path / "elsewhere")) == []
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    report(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_edit("report.html", "<h1>", '<img src="https://example.org/a.png"><h1>'), "report.html: self-contained"),
        (_edit("report.html", "background: #", "background:#"), "report.html: legend as the table"),
        (_edit("item.json", '"title": "building"', '"title": "roof"'), "item.json: place, classes and lineage"),
        (_edit("item.json", '"1220', '"1221'), "item.json: checksums as in run.json"),
        (_edit("SHA256SUMS", "  classes.tif\n", "  other.tif\n"), "SHA256SUMS: digests as in run.json"),
        (lambda folder: (folder / "run.qgz").write_bytes(b"PK"), "run.qgz: readable"),
    ],
)
def test_check_sees_each_damage(out: Path, tmp_path: Path, damage: Callable[[Path], None], fault: str) -> None:
    folder = shutil.copytree(out, tmp_path / "out")
    damage(folder)
    assert any(name.startswith(fault) for name in faults(folder)), faults(folder)


def test_the_item_keeps_to_the_published_schemas(out: Path) -> None:
    item = json.loads((out / "item.json").read_text(encoding="utf-8"))
    assert [address.split("/")[-3] for address in item["stac_extensions"]] == [
        "projection",
        "processing",
        "classification",
        "file",
    ]
    assert violations(item) == []
    assert shapely.from_geojson(json.dumps(item["geometry"])).is_valid
    assert shapely.box(*item["bbox"]).covers(shapely.from_geojson(json.dumps(item["geometry"])))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("properties", "datetime"), "yesterday"),
        (("links", 0), {"href": "scene.tif"}),
        (("properties", "proj:shape"), ["700", "1100"]),
        (("properties", "processing:software"), "geoseg"),
        (("assets", "classes.tif", "classification:classes", 0), {"value": 1, "title": "without a name"}),
        (("assets", "classes.tif", "file:checksum"), "no hexadecimal digits"),
    ],
)
def test_the_schemas_see_what_is_wrong(out: Path, path: tuple[str | int, ...], value: object) -> None:
    item = json.loads((out / "item.json").read_text(encoding="utf-8"))
    node = item
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert len(violations(item)) == 1


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json: no finished run"):
        report(tmp_path)


def _of_palette(out: Path) -> Table:
    with rasterio.open(out / "classes.tif") as src:
        names = {int(key[6:]): name for key, name in src.tags(1).items() if key.startswith("CLASS_")}
        palette = src.colormap(1)
    return {i: (name, "#{:02x}{:02x}{:02x}".format(*palette[i])) for i, name in names.items()}


def _of_pam(out: Path) -> Table:
    root = ET.parse(out / "classes.tif.aux.xml")
    names = [node.text or "" for node in root.iterfind(".//Category")]
    colors = [[int(node.attrib[f"c{i}"]) for i in (1, 2, 3)] for node in root.iterfind(".//ColorTable/Entry")]
    both = enumerate(zip(names, colors, strict=True))
    return {i: (name, "#{:02x}{:02x}{:02x}".format(*color)) for i, (name, color) in both if i}


def _of_rat(out: Path) -> Table:
    rows = [[f.text or "" for f in row] for row in ET.parse(out / "classes.tif.aux.xml").iterfind(".//Row")]
    return {int(row[0]): (row[2], "#{:02x}{:02x}{:02x}".format(*map(int, row[3:6]))) for row in rows}


def _query(out: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(out / "buildings.gpkg")) as db:
        return db.execute(query).fetchall()


def _of_qml(out: Path) -> Table:
    root = ET.fromstring(_query(out, "SELECT styleQML FROM layer_styles")[0][0])
    fills = [node.attrib["v"].split(",") for node in root.iterfind(".//prop[@k='color']")]
    found = zip(root.iter("category"), fills, strict=True)
    return {int(c.attrib["value"]): (c.attrib["label"], "#" + bytes(map(int, fill[:3])).hex()) for c, fill in found}


def _of_sld(out: Path) -> Table:
    root = ET.fromstring(_query(out, "SELECT styleSLD FROM layer_styles")[0][0])
    se, ogc = "{http://www.opengis.net/se}", "{http://www.opengis.net/ogc}"
    return {
        int(rule.findtext(f".//{ogc}Literal") or 0): (
            rule.findtext(f"{se}Name") or "",
            rule.findtext(f".//{se}SvgParameter[@name='fill']") or "",
        )
        for rule in root.iter(f"{se}Rule")
    }


def _of_stac(out: Path) -> Table:
    item = json.loads((out / "item.json").read_text(encoding="utf-8"))
    classes = item["assets"]["classes.tif"]["classification:classes"]
    return {c["value"]: (c["title"], f"#{c['color_hint'].lower()}") for c in classes}


def _of_project(out: Path) -> Table:
    entries = read_project(out / "run.qgz").iter("paletteEntry")
    return {int(e.attrib["value"]): (e.attrib["label"], e.attrib["color"]) for e in entries}


def test_every_table_of_classes_says_the_same(out: Path) -> None:
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    table = {c["id"]: (c["name"], "#" + bytes(c["color"]).hex()) for c in run["classes"]}
    for read in (_of_palette, _of_pam, _of_rat, _of_stac, _of_project):
        assert read(out) == table, read
    for read in (_of_qml, _of_sld):  # polygons are of one class
        assert read(out).items() <= table.items(), read
        assert len(read(out)) == 1
    enum = _query(out, "SELECT value, description FROM gpkg_data_column_constraints")
    assert {int(value): name for value, name in enum} == {i: name for i, (name, _) in table.items()}
    legend = re.findall(r"background: (#\w+)\"></i>([^<]+)", (out / "report.html").read_text(encoding="utf-8"))
    assert [(name, color) for color, name in legend] == list(table.values())
