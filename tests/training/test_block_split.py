"""Blocks of ground: no training pixel comes near ground of another role, in any scene; roles stay; classes are held."""

from itertools import chain

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from scipy.spatial import cKDTree

from geoseg.errors import ConfigError, InputError
from geoseg.training.blocks import BlockedScene, Roles, block_ground, block_of, chance, stratified
from geoseg.training.data_spec import BlockSplit
from geoseg.training.samples import load_samples
from geoseg.training.spec import Schedule, TrainSpec
from geoseg.training.split_file import write_split
from geoseg.training.split_plan import plan_split
from geoseg.training.targets import UNKNOWN, BuildingTarget
from geoseg.values.grid import Grid

UTM = CRS.from_epsg(32645)


def utm_grid(x, y, gsd, shape, angle):
    return Grid(UTM, Affine.translation(3e5 + x, 3.06e6 - y) @ Affine.rotation(angle) @ Affine.scale(gsd, -gsd), shape)


grids = st.builds(
    utm_grid, st.floats(0, 300), st.floats(0, 300), st.floats(1, 4), st.tuples(*[st.integers(40, 120)] * 2),
    st.floats(0, 90),
)  # fmt: skip
splits = st.builds(
    BlockSplit, by=st.just("blocks"), validation=st.floats(0.1, 0.4), test=st.floats(0, 0.3),
    folds=st.none() | st.integers(2, 5), seed=st.integers(0, 99),
)  # fmt: skip


def ground(grid, cells):
    """Centres of the pixels that cells hold, in metres, (N, 2)."""
    if (box := cells.box) is None:
        return np.empty((0, 2))
    box = box.clip(grid.box)
    rows, cols = np.nonzero(cells.at(np.arange(box.row0, box.row1) + 0.5, np.arange(box.col0, box.col1) + 0.5))
    return np.column_stack(grid.transform @ (box.col0 + cols + 0.5, box.row0 + rows + 0.5))


@given(grids, grids, splits, st.floats(60, 150), st.floats(5, 40))
@settings(max_examples=10)
def test_no_training_pixel_comes_within_the_buffer_of_other_ground_in_any_scene(one, other, split, side_m, buffer_m):
    roles = Roles(split)
    first, second = (BlockedScene.of(grid, side_m=side_m, buffer_m=buffer_m) for grid in (one, other))
    train = ground(one, first.training(roles, buffer_m=buffer_m))
    away = [
        ground(grid, cells)
        for grid, scene in ((one, first), (other, second))
        for key, cells in scene.blocks()
        if roles.of(key) != "train"
    ]
    away = np.concatenate([np.empty((0, 2)), *away])
    if len(train) and len(away):
        pixel = np.hypot(*one.ground_resolution_m()) / 2 + np.hypot(*other.ground_resolution_m()) / 2
        # centres: the pixels' own halves and the cells' of the other scene come off
        assert cKDTree(away).query(train)[0].min() >= buffer_m - pixel - np.hypot(*second.cell_m) / 2


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(50, 20_000))
def test_a_block_holds_its_places_and_is_about_square(lon, lat, side_m):
    row, col = block_of(np.array([lon]), np.array([lat]), side_m)[0]
    square = block_ground(f"{row},{col}", side_m)
    assert square.buffer(1e-9).covers(shapely.Point(lon, lat))
    left, bottom, right, top = square.bounds
    wide = (right - left) * np.cos(np.radians((top + bottom) / 2))
    assert wide == pytest.approx(top - bottom, rel=1e-6)


def test_every_key_validates_in_one_fold_and_scenes_that_are_added_change_no_role():
    keys = [f"{r},{c}" for r in range(20) for c in range(20)]
    plain = BlockSplit(by="blocks", test=0.2, folds=4)
    tested = {k for k in keys if Roles(plain).of(k) == "test"}
    assert 40 < len(tested) < 120
    in_folds = [
        [k for k in keys if Roles(plain.model_copy(update={"fold": i})).of(k) == "validation"] for i in range(4)
    ]
    assert sorted(chain(*in_folds)) == sorted(set(keys) - tested)
    held = {k: frozenset({0, 1}) for k in keys}
    some = stratified(Roles(BlockSplit(by="blocks")), {k: held[k] for k in keys[:200]})
    every = stratified(Roles(BlockSplit(by="blocks")), held)
    assert all(some.of(k) == every.of(k) for k in keys[:200])


def test_validation_and_test_get_a_class_that_few_blocks_have():
    split = BlockSplit(by="blocks", validation=0.1, test=0.1)
    rare = [k for k in (f"0,{i}" for i in range(500)) if Roles(split).of(k) == "train"][:3]
    held = {f"0,{i}": frozenset({0}) for i in range(100)} | {k: frozenset({0, 1}) for k in rare}
    roles = stratified(Roles(split), held)
    assert sorted(roles.of(k) for k in rare) == ["test", "train", "validation"]
    assert roles.of(min(rare, key=lambda k: chance(k, 1))) == "validation"
    alone = {**held, rare[1]: frozenset({0}), rare[2]: frozenset({0})}
    assert stratified(Roles(split), alone).of(rare[0]) == "train"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scene of 300 x 400 px of 0.5 m with a hole, and buildings all over it."""
    folder = tmp_path_factory.mktemp("blocks")
    rng = np.random.default_rng(0)
    transform = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
    data = rng.integers(50, 200, (3, 300, 400), np.uint8)
    data[:, 100:140, 200:260] = 0
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=3, height=300, width=400, dtype="uint8", nodata=0,
        crs=UTM, transform=transform, photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(data)
    shapes = [
        shapely.box(3e5 + x, 3.06e6 - y - 8, 3e5 + x + 8, 3.06e6 - y)
        for x in range(2, 190, 15)
        for y in range(2, 140, 15)
    ]
    gpd.GeoDataFrame(geometry=shapes, crs=32645).to_file(folder / "roofs.gpkg")
    return folder


def spec(folder, split=None, **changes):
    values = {
        "name": "t",
        "data": ({"scene": "scene.tif", "labels": "roofs.gpkg"},),
        "target": BuildingTarget(),
        "bands": "red,green,blue",
        "schedule": Schedule(crop_px=32),
        "margin_px": 8, "ramp_px": 16, "window_px": 64,
        "split": {"by": "blocks", "side_m": 30, "buffer_m": 6, **(split or {})},
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changes}).resolve(folder)


@pytest.mark.parametrize("gsd_m", [None, 1.0])
def test_what_training_and_validation_are_shown_shares_no_ground(folder, gsd_m):
    found = load_samples(spec(folder, gsd_m=gsd_m))
    shape = (150, 200) if gsd_m else (300, 400)
    seen = {role: np.zeros(shape, int) for role in ("train", "validation", "scattered")}
    known = {role: np.zeros(shape, int) for role in seen}
    for role, count in seen.items():
        for area in getattr(found, role):
            part = area.read()
            rows, cols = slice(area.box.row0, area.box.row1), slice(area.box.col0, area.box.col1)
            count[rows, cols] += part.valid
            known[role][rows, cols] += part.labels != UNKNOWN
            assert not part.image[:, ~part.valid].any()
    assert max(count.max() for count in seen.values()) == 1
    assert not (seen["train"] & seen["validation"]).any()
    assert not (known["train"] & known["scattered"]).any()
    assert 0 < known["scattered"].sum() < 0.2 * known["train"].sum()
    rows, cols = (np.argwhere(seen[role]) for role in ("train", "validation"))
    assert cKDTree(rows).query(cols)[0].min() * (gsd_m or 0.5) >= 6 - (gsd_m or 0.5)


def test_the_split_is_written_and_kept(folder, tmp_path):
    first = spec(folder)
    found = load_samples(first)
    write_split(tmp_path / "split.gpkg", first, found)
    table = gpd.read_file(tmp_path / "split.gpkg")
    assert set(table.role) == {"train", "validation", "test"}
    assert table.geometry.is_valid.all()
    assert table.labels.str.contains("building").any()
    again = plan_split(spec(folder, {"side_m": None, "seed": 7, "keep": str(tmp_path / "split.gpkg")}))
    assert again.side_m == 30
    assert {b.key: b.role for b in again.blocks} == {b.key: b.role for b in found.plan.blocks}
    assert "blocks of 30 m: " in found.plan.lines()[0]


def test_a_side_is_found_and_too_few_blocks_are_refused(folder):
    plan = plan_split(spec(folder, {"side_m": None}))
    assert 32 <= plan.side_m <= 150 / 2  # two windows of 16 m at least
    assert plan.buffer_m == 6
    with pytest.raises(InputError, match=r"1 blocks leave no labels for .*; make side_m smaller"):
        plan_split(spec(folder, {"side_m": 1e6}))


def test_groups_keep_whole_scenes_together(folder):
    data = [
        {"scene": "scene.tif", "labels": "roofs.gpkg", "site": f"site{i // 2}", "date": f"20{i}"} for i in range(12)
    ]
    plan = plan_split(spec(folder, {"by": "site"}, data=data))
    assert len(plan.blocks) == 6
    assert {b.role for b in plan.blocks} == {"train", "validation", "test"}
    with pytest.raises(ConfigError, match=r"split\.by: sensor, and .*scene\.tif says none"):
        plan_split(spec(folder, split={"by": "sensor"}))
