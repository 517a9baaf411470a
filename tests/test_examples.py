"""The examples run as they stand, on small scenes, and give what they say."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from conftest import write_bundle
from rasterio.enums import ColorInterp

from geoseg.models.spec import Architecture, Channel, Normalisation

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def main_of(name: str) -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(EXAMPLES / name))["main"]
    return main


def test_each_example_is_short_and_tried_here() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert {*scripts} == {"predict_scene.py", "lazy_map.py", "look_first.py", "straighten_footprints.py"}
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


def test_a_cheap_model_looks_first(tiny_scene, tmp_path, capsys) -> None:
    """Houses lie in one corner of a dark field, and the models see what is bright."""
    bright = write_bundle(
        tmp_path / "bright",
        widths=[],
        arch=Architecture(name="probe-identity"),
        normalisation=Normalisation(mean=(0.0,) * 3, std=(255.0,) * 3),
        channels=(Channel(name="background", class_id=1), Channel(name="building", class_id=2)),
    )
    with rasterio.open(tiny_scene) as src:
        pixels, profile = np.full((3, 480, 512), 60, np.uint8), src.profile | {"height": 480, "width": 512}
        pixels[:, : src.height, : src.width] = src.read()
    with rasterio.open(tmp_path / "wide.tif", "w", **profile) as dst:
        dst.write(pixels)
        dst.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    main_of("look_first.py")(str(tmp_path / "wide.tif"), str(bright), str(bright), str(tmp_path / "out"))
    said = re.fullmatch(r"(\d+)% of (\d+) windows saved\n(\d+) of (\d+) buildings lost\n", capsys.readouterr().out)
    assert said is not None
    saved, _, lost, buildings = map(int, said.groups())
    assert saved > 20
    assert lost == 0
    assert buildings > 0


def test_footprints_are_straightened(tmp_path, capsys) -> None:
    house = shapely.segmentize(shapely.box(500_000, 5_000_000, 500_020, 5_000_012), 0.5)
    corners = shapely.get_coordinates(house)[:-1]
    wobbly = shapely.Polygon(corners + np.random.default_rng(0).normal(0, 0.05, corners.shape))
    gpd.GeoDataFrame(geometry=[wobbly], crs="EPSG:32633").to_file(tmp_path / "own.gpkg")
    main_of("straighten_footprints.py")(str(tmp_path / "own.gpkg"), str(tmp_path / "straight.gpkg"))
    assert "vertices became" in capsys.readouterr().out
    (straight,) = gpd.read_file(tmp_path / "straight.gpkg").geometry
    assert shapely.get_num_coordinates(straight) == 5
