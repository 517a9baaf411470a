"""What a prompt or a notebook shows of a scene and of a result is five lines at most."""

import json
from xml.etree import ElementTree as ET

from geoseg import RunOptions, load_model, open_scene
from geoseg.executors.open import open_engine
from geoseg.jobs.plan import make_plan
from geoseg.jobs.result import Result


def test_a_scene_is_shown_in_five_lines(tiny_scene):
    lines = repr(open_scene(tiny_scene)).splitlines()
    assert len(lines) == 5
    assert lines[0] == "Scene scene.tif"
    assert all(word in line for word, line in zip(("160 x 192", "0.5", "EPSG:32645", "uint8"), lines[1:], strict=True))


def test_a_result_is_shown_in_five_lines(tmp_path):
    rows = [{"name": "building", "area_ha": 1.5}, {"name": "background", "area_ha": 2}]
    run = {"classes": rows, "polygons": {"count": 7}, "missing_chunks": ["r0c0"]}
    assert repr(Result(tmp_path, {"classes.tif": tmp_path / "classes.tif"}, run)).splitlines() == [
        f"Result {tmp_path}",
        "  files    classes.tif",
        "  classes  building 1.50 ha, background 2.00 ha",
        "  polygons 7",
        "  missing  1 chunks are nodata",
    ]
    assert len(repr(Result(tmp_path, {}, {"shard": [0, 2], "chunks": 3})).splitlines()) == 2


def test_notebooks_show_a_picture_beside_the_lines(tiny_scene, tiny_bundle, finished_run, tmp_path):
    scene, bundle, options = open_scene(tiny_scene), load_model(tiny_bundle), RunOptions(engine="sync", device="cpu")
    run = json.loads((finished_run / "run.json").read_text())
    with open_engine(options) as engine:
        plan = make_plan(scene, [bundle], site=engine.site("cpu", {"torch"}), options=options)
    result = Result(finished_run, {"classes.tif": finished_run / "classes.tif"}, run)
    for shown, word in ((scene, "160 x 192"), (plan, "windows: 4"), (result, "background"), (bundle, "compact-unet")):
        html = shown._repr_html_()
        assert word in html
        assert ("data:image/png;base64," in html) == (shown is not bundle)
        ET.fromstring(f"<div>{html}</div>".replace('alt="thumbnail">', 'alt="thumbnail"/>'))
    copy = tmp_path / "a.tif"
    copy.write_bytes(tiny_scene.read_bytes())
    gone = open_scene(copy)
    copy.unlink()
    assert "no such file" in gone._repr_html_()
