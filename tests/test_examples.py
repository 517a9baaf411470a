"""The examples run as they stand, on small scenes, and give what they say."""

import runpy
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def main_of(name: str) -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(EXAMPLES / name))["main"]
    return main


def test_each_example_is_short_and_tried_here() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert {*scripts} == {"predict_scene.py", "lazy_map.py", "straighten_footprints.py"}
    assert all(text.count("\n") <= 34 for text in scripts.values())


def test_a_scene_is_predicted(tiny_scene, tiny_bundle, tmp_path, capsys) -> None:
    main_of("predict_scene.py")(str(tiny_scene), str(tiny_bundle), str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert "buildings of" in said
    assert "surer than 0.9" in said
    assert {"classes.tif", "confidence.tif", "buildings.gpkg"} < {p.name for p in (tmp_path / "out").iterdir()}


def test_a_map_is_looked_at_before_it_is_there(tiny_scene, tiny_bundle, tmp_path, capsys) -> None:
    main_of("lazy_map.py")(str(tiny_scene), str(tiny_bundle), str(tmp_path / "middle.tif"))
    assert ": sure at " in capsys.readouterr().out
    with rasterio.open(tmp_path / "middle.tif") as src, rasterio.open(tiny_scene) as scene:
        assert src.shape == (scene.height // 2, scene.width // 2)
        assert src.xy(0, 0) == pytest.approx(scene.xy(scene.height // 4, scene.width // 4))
        assert {*np.unique(src.read(1)).tolist()} <= {1, 2}


def test_footprints_are_straightened(tmp_path, capsys) -> None:
    house = shapely.segmentize(shapely.box(500_000, 5_000_000, 500_020, 5_000_012), 0.5)
    corners = shapely.get_coordinates(house)[:-1]
    wobbly = shapely.Polygon(corners + np.random.default_rng(0).normal(0, 0.05, corners.shape))
    gpd.GeoDataFrame(geometry=[wobbly], crs="EPSG:32633").to_file(tmp_path / "own.gpkg")
    main_of("straighten_footprints.py")(str(tmp_path / "own.gpkg"), str(tmp_path / "straight.gpkg"))
    assert "vertices became" in capsys.readouterr().out
    (straight,) = gpd.read_file(tmp_path / "straight.gpkg").geometry
    assert shapely.get_num_coordinates(straight) == 5
