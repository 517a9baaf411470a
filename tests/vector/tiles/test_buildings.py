"""The polygons of a scene drawn in tiles are those of the scene drawn in one piece, to the last bit."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from scipy import ndimage
from test_blocks import spiral

from geoseg.errors import InputError
from geoseg.outputs.geopackage.footprints import buildings_batch, buildings_schema
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.grid import Grid
from geoseg.vector import STATUS, FootprintRules, extract_footprints
from geoseg.vector.adjacent.block import find_blocks
from geoseg.vector.adjacent.overlaps import REACH_PX
from geoseg.vector.pixels.instances import border_probability, label_instances
from geoseg.vector.tiles.draw import (
    Drawing,
    PolygonRows,
    draw_polygons,
    find_crossing_components,
    polygon_stage,
    projected_polygon_bytes,
)

HOUSE = ClassInfo(1, "building", (200, 66, 46))
METRES = Affine(1, 0, 5e5, 0, -1, 5e6)


@dataclass(frozen=True)
class InMemory:
    """Pixels of arrays; picklable."""

    probability: np.ndarray
    interior: np.ndarray | None = None

    def __call__(self, box):
        at = (slice(box.row0, box.row1), slice(box.col0, box.col1))
        return self.probability[at].copy(), None if self.interior is None else self.interior[at].copy()


PLAIN = FootprintRules()


def drawing(probability, interior=None, *, crs="EPSG:32633", transform=METRES, rules=PLAIN, **sizes):
    grid = Grid(CRS.from_string(crs), transform, probability.shape)
    return Drawing(pixels=InMemory(probability, interior), grid=grid, rules=rules, target=HOUSE, **sizes)


def drawn(what, *, each=map):
    schema = buildings_schema(fitted=what.rules.method == "regular")
    crossing = find_crossing_components(what, each=each)
    stage = polygon_stage(what, crossing, lambda drawn: [*PolygonRows(what, crossing, drawn)])
    return pa.Table.from_batches(stage.walk(each), schema=schema)


def in_one_piece(what):
    probability, interior = what.pixels(what.grid.box)
    labels = None
    if interior is not None:
        border = border_probability(probability, interior)
        labels = label_instances(probability, border, threshold=what.rules.threshold, min_seed_px=what.least_seed_px)
    return extract_footprints(probability, what.grid, what.rules, labels=labels)


def expected(what):
    return pa.Table.from_batches([buildings_batch(in_one_piece(what), crs=what.grid.crs, target=HOUSE)])


def town(seed, *, size=200, smooth=2.5, share=0.35):
    """Blobs of all sizes, with holes, some in others' holes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), smooth)
    noise = (noise - np.quantile(noise, 1 - share)) / noise.std()
    return np.clip(128 + noise * 60, 1, 255).astype(np.uint8)


RULES = [
    FootprintRules(),
    FootprintRules(min_area_m2=20, min_hole_m2=30),
    FootprintRules(min_hole_m2=400, tolerance_m=8),
    FootprintRules(method="contour", min_area_m2=5, min_hole_m2=60),
]


@pytest.mark.parametrize("rules", RULES, ids=["plain", "areas", "coarse", "contour"])
def test_tiles_do_not_show(rules):
    what = drawing(town(3), rules=rules)
    wanted = expected(what)
    assert len(wanted) > 20
    for tile_px in (37, 128, 1000):
        assert drawn(replace(what, tile_px=tile_px)).equals(wanted)


@given(
    arrays(
        np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 60, 127, 128, 255])
    ),
    st.integers(2, 17),
    st.sampled_from(RULES),
)
def test_tiles_do_not_show_in_noise(probability, tile_px, rules):
    what = drawing(probability, rules=rules, tile_px=tile_px)
    assert drawn(what).equals(expected(what))


def any_order(seed):
    """A map that computes in an order of its own and yields in the given one."""

    def each(call, items):
        items = list(items)
        done = {i: call(items[i]) for i in np.random.default_rng(seed).permutation(len(items))}
        return (done[i] for i in range(len(items)))

    return each


def test_neither_order_nor_threads_nor_processes_show():
    probability = town(5)
    interior = np.clip(probability.astype(int) - 30, 1, 255).astype(np.uint8)
    what = drawing(probability, interior, rules=RULES[1], tile_px=90, max_component_px=4000)
    once = drawn(what)
    assert len(once) > 20
    assert drawn(what, each=any_order(1)).equals(once)
    with ThreadPoolExecutor(3) as pool:
        assert drawn(what, each=pool.map).equals(once)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert drawn(what, each=pool.map).equals(once)


@pytest.mark.parametrize("tile_px", [40])
def test_tiles_do_not_show_where_touching_buildings_are_cut_apart(tile_px):
    probability = town(6, share=0.5)
    interior = np.clip(probability.astype(int) - 40, 1, 255).astype(np.uint8)
    what = drawing(probability, interior, tile_px=tile_px)
    wanted = expected(what)
    assert len(wanted) > len(expected(drawing(probability)))
    assert drawn(what).equals(wanted)


@pytest.mark.parametrize("tile_px", [40, 2048])
def test_buildings_that_cannot_be_parted_are_counted(tile_px, tmp_path, monkeypatch, caplog):
    probability = np.ones((60, 90), np.uint8)
    probability[10:50, 10:40] = probability[10:50, 50:80] = 250
    interior = probability.copy()
    interior[10:50, 24:27] = interior[29:31, 50:80] = 1
    what = drawing(probability, interior, tile_px=tile_px)
    monkeypatch.setattr(
        "geoseg.vector.footprints.extract.find_blocks",
        lambda *a, **k: [replace(block, split=None) for block in find_blocks(*a, **k)],
    )
    provenance = {"software": "geoseg", "version": "0", "model": None, "input": []}
    made = draw_polygons(tmp_path / "b.gpkg", what, classes=ClassMap((HOUSE,)), provenance=provenance)
    assert (made["count"], made["merged"]) == (2, 2)
    assert "b.gpkg: 2 polygons hold several buildings that could not be parted" in caplog.text
    monkeypatch.undo()
    made = draw_polygons(tmp_path / "b.gpkg", what, classes=ClassMap((HOUSE,)), provenance=provenance)
    assert (made["count"], made["merged"]) == (4, 0)


def nested(depth):
    """Rings within rings, ten pixels apart."""
    row, col = np.indices((20 * depth, 20 * depth))
    from_edge = np.minimum.reduce([row, col, row[::-1], col[:, ::-1]])
    return np.where(from_edge % 10 < 6, 255, 1).astype(np.uint8)


HARD = {
    "nothing": np.zeros((70, 90), np.uint8),
    "all inside": np.full((70, 90), 255, np.uint8),
    "checkers": (np.indices((20, 22)).sum(0) % 2 * 255).astype(np.uint8),
    "spiral": spiral(81),
    "nested": nested(5),
    "specks": (np.random.default_rng(2).random((60, 60)) < 0.05).astype(np.uint8) * 255,
    "one pixel": np.full((1, 1), 255, np.uint8),
}


@pytest.mark.parametrize("probability", HARD.values(), ids=HARD)
@pytest.mark.parametrize("rules", [PLAIN, FootprintRules(min_hole_m2=2000), FootprintRules(method="contour")])
def test_hard_shapes_come_out_alike_in_tiles(probability, rules):
    what = drawing(probability, rules=rules, tile_px=16)
    assert drawn(what).equals(expected(what))


@pytest.mark.parametrize("rules", RULES[1:], ids=["areas", "coarse", "contour"])
def test_what_is_too_large_keeps_its_pixel_edges_and_nothing_overlaps_it(rules):
    probability = town(9, share=0.45)
    what = drawing(probability, rules=rules, max_component_px=3000, tile_px=25)
    table = drawn(what)
    assert table.equals(drawn(drawing(probability, rules=rules, max_component_px=3000, tile_px=40)))
    polygons = shapely.from_wkb(table["geom"].to_numpy(zero_copy_only=False))
    assert shapely.is_valid(polygons).all()
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(shapely.area(polygons).sum())
    labels, _ = ndimage.label(probability >= 128)
    boxes = ndimage.find_objects(labels)
    large = [i for i, (r, c) in enumerate(boxes, 1) if (r.stop - r.start) * (c.stop - c.start) > 3000]
    assert len(large) > 2
    ground = shapely.transform(polygons, lambda xy: (xy - (METRES.c, METRES.f)) * (1, -1))
    edges = [p for p in shapely.get_parts(ground) if (shapely.get_coordinates(p) % 1 == 0).all()]
    for number in large:
        pixels = labels == number
        filled = ndimage.binary_fill_holes(pixels)
        first = shapely.Point(np.argwhere(pixels)[0][::-1] + 0.5)
        (own,) = [p for p in edges if p.contains(first)]
        assert pixels.sum() <= own.area <= filled.sum()
    if rules.method == "regular":
        kept = np.array(table["status"].to_pylist()) == STATUS[-1]
        assert kept.sum() >= len(large)
        assert not kept.all()


def test_a_building_that_leaves_the_scene_as_far_as_it_may_is_written_and_holds_none_back():
    probability = np.ones((200, 200), np.uint8)
    probability[20:60, 20:60] = probability[150:200, 100:150] = 255
    what = drawing(probability, tile_px=64)

    def leaving(drawn):
        for row, finished, unresolved in drawn:
            pending = unresolved.pending
            down = shapely.transform(pending.polygons, lambda xy: np.where(xy >= 199.5, 200 + REACH_PX, xy))
            yield row, finished, replace(unresolved, pending=replace(pending, polygons=down))

    crossing = find_crossing_components(what)
    stage = polygon_stage(what, crossing, lambda drawn: [*PolygonRows(what, crossing, leaving(drawn))])
    assert sum(batch.num_rows for batch in stage.walk(map)) == 2


def test_the_geopackage_is_the_same_for_any_tiles(tmp_path):
    probability = town(13, size=700, smooth=5.0, share=0.15)
    provenance = {"software": "geoseg", "version": "0", "model": None, "input": []}
    files = []
    with ThreadPoolExecutor(2) as pool:
        for tile_px, each in ((256, pool.map), (512, any_order(3)), (2048, map)):
            what = drawing(probability, rules=RULES[1], tile_px=tile_px)
            path = tmp_path / f"{tile_px}.gpkg"
            made = draw_polygons(path, what, classes=ClassMap((HOUSE,)), provenance=provenance, each=each)
            files.append(path.read_bytes())
    assert made["count"] > 60
    assert (made["streamed"], made["merged"]) == (0, 0)
    assert len(set(files)) == 1
    whole = buildings_batch(in_one_piece(what), crs=what.grid.crs, target=HOUSE)
    read = pyogrio.read_dataframe(path, layer="buildings")
    assert read.geometry.to_wkb().tolist() == whole["geom"].to_pylist()
    assert made["area_m2"] == pytest.approx(sum(whole["area_m2"].to_pylist()))


def test_what_a_task_raises_is_told_and_leaves_no_file(tmp_path):
    what = replace(drawing(town(1)), tile_px=80, pixels=broken)
    with pytest.raises(InputError, match="damaged"):
        draw_polygons(tmp_path / "b.gpkg", what, classes=ClassMap((HOUSE,)), provenance={})
    assert list(tmp_path.iterdir()) == []


def broken(box):
    if box.row1 > 100 and box.shape != (80, 80):  # not yet where blocks are found
        raise InputError("the file is damaged")
    return InMemory(town(1))(box)


def test_memory_is_planned_by_lanes_and_what_they_hold_and_hardly_by_the_scene():
    small, large = (projected_polygon_bytes((n, n), lanes=2, interior=True) for n in (20_000, 40_000))
    assert large - small < 0.15 * 1.2e9
    one, two = (projected_polygon_bytes((9000, 9000), lanes=n, interior=False) for n in (1, 2))
    assert two > one
    assert projected_polygon_bytes((9000, 9000), lanes=1, interior=True) > one
    assert projected_polygon_bytes((9000, 9000), lanes=1, interior=False, max_component_px=2**25) > one


def test_degrees_a_crop_and_the_edge_of_the_scene():
    degrees = {"crs": "EPSG:4326", "transform": Affine(1.8e-5, 0, 24, 0, -9e-6, 60)}
    probability = town(11)
    what = drawing(probability, tile_px=70, **degrees)
    assert drawn(what).equals(expected(what))
    edge = drawing(np.ascontiguousarray(probability[30:170, 20:190]), tile_px=64)
    assert drawn(edge).equals(expected(edge))
