"""What a prompt or a notebook shows of a scene and of a result is five lines at most."""

from geoseg import open_scene
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
