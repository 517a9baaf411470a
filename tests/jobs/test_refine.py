"""geoseg refine: outlines come back to what a scene shows, each by itself, with all that the file says of them."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from conftest import write_tif
from rasterio.features import rasterize
from rasterio.transform import Affine
from scipy import ndimage
from shapely import affinity

from geoseg.cli import main
from geoseg.errors import MemoryBudgetError
from geoseg.jobs import refine as job
from geoseg.options.refine import RefineOptions
from geoseg.options.run import EngineOptions
from geoseg.scenes.open import open_scene
from geoseg.tiling.memory import GDAL_CACHE_BYTES, PLAIN_BASE_BYTES

SIDE, PIXEL_M, LEFT, TOP = 200, 0.5, 5e5, 3.1e6
PLACE = Affine(PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP)
METHODS = ["graph-cut", "chan-vese", "snake"]
SHAPES = [
    shapely.Point(40, 40).buffer(17),
    shapely.box(85, 20, 120, 60),
    affinity.rotate(shapely.box(140, 30, 180, 60), 27),
    shapely.box(20, 90, 70, 130) - shapely.box(45, 110, 70, 130),
    shapely.Point(110, 110).buffer(14),
    shapely.box(140, 90, 180, 130),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A scene of shapes on ground whose colours drift, its lower quarter without data, and the shapes gone astray."""
    folder, rng = tmp_path_factory.mktemp("refine"), np.random.default_rng(0)
    roofs = rasterize([(s, i + 1) for i, s in enumerate(SHAPES)], (SIDE, SIDE))
    colours = np.vstack([np.zeros(3), rng.choice([-1, 1], (len(SHAPES), 3)) * rng.uniform(25, 60, (len(SHAPES), 3))])
    drift = [40 * ndimage.gaussian_filter(rng.normal(size=roofs.shape), 4) for _ in range(3)]
    data = 120 + np.array(drift) + colours[roofs].transpose(2, 0, 1) + rng.normal(0, 6, (3, SIDE, SIDE))
    data = data.clip(1, 255).astype(np.uint8)
    data[:, 150:] = 0
    write_tif(folder / "scene.tif", data, transform=PLACE, nodata=0)
    astray = [affinity.translate(s, *rng.choice([-3, 3], 2)).buffer(-2, join_style="mitre") for s in SHAPES]
    frame = gpd.GeoDataFrame({"kind": [*"abcdef"], "area_m2": 1.5}, geometry=on_ground(astray), crs="EPSG:32645")
    frame.to_file(folder / "astray.gpkg")
    frame.to_crs(4326).to_file(folder / "astray.geojson")
    return folder


def on_ground(shapes):
    return [affinity.affine_transform(s, [PLACE.a, PLACE.b, PLACE.d, PLACE.e, PLACE.c, PLACE.f]) for s in shapes]


def ious(shapes, right):
    right = np.array(right, object)
    return shapely.area(shapely.intersection(shapes, right)) / shapely.area(shapely.union(shapes, right))


@pytest.mark.parametrize("method", METHODS)
def test_outlines_that_were_shifted_and_shrunk_come_back(places, tmp_path, method):
    before = gpd.read_file(places / "astray.gpkg")
    assert ious(np.asarray(before.geometry), on_ground(SHAPES)).max() < 0.8
    out = tmp_path / "out.gpkg"
    assert main(["refine", f"{places}/astray.gpkg", f"{places}/scene.tif", "-o", str(out), "--method", method]) == 0
    after = gpd.read_file(out)
    assert ious(np.asarray(after.geometry), on_ground(SHAPES)).min() >= 0.9
    assert after["kind"].tolist() == [*"abcdef"]
    assert after["refined"].tolist() == ["refined"] * 6
    assert after["area_m2"].tolist() == [1.5] * 6  # the file's own
    assert after["area_m2_1"].to_numpy() == pytest.approx(after.area.to_numpy(), rel=2e-3)
    assert after["area_change_m2"].to_numpy() == pytest.approx((after.area - before.area).to_numpy(), abs=0.5)
    assert after["iou_before"].to_numpy() == pytest.approx(
        ious(np.asarray(after.geometry), np.asarray(before.geometry)), abs=1e-6
    )


def test_memory_counts_all_outlines_and_then_a_window(places, tmp_path):
    scene, least = open_scene(places / "scene.tif"), PLAIN_BASE_BYTES + GDAL_CACHE_BYTES
    held = 6 * job.OUTLINE_BYTES
    for more, message in ((held, "its first 6 outlines take"), (20 * held, "its window of")):
        run = EngineOptions(engine="sync", memory_bytes=least + more)
        with pytest.raises(MemoryBudgetError, match=message):
            job.refine(places / "astray.gpkg", scene, tmp_path / "out.gpkg", run=run)
    assert not list(tmp_path.iterdir())


def test_tasks_and_another_crs_change_nothing(places, tmp_path, monkeypatch):
    scene, run = open_scene(places / "scene.tif"), EngineOptions(engine="sync")
    job.refine(places / "astray.gpkg", scene, tmp_path / "one.gpkg", run=run)
    monkeypatch.setattr(job, "AT_ONCE", 1)
    job.refine(places / "astray.gpkg", scene, tmp_path / "two.gpkg", run=EngineOptions(lanes=2))
    assert (tmp_path / "one.gpkg").read_bytes() == (tmp_path / "two.gpkg").read_bytes()
    job.refine(places / "astray.geojson", scene, tmp_path / "degrees.gpkg", run=run)
    ours, theirs = (gpd.read_file(tmp_path / f"{name}.gpkg").to_crs(32645) for name in ("one", "degrees"))
    assert ious(np.asarray(ours.geometry), np.asarray(theirs.geometry)).min() > 0.99


def test_ground_of_neighbours_and_ground_without_likeness_stay(places, tmp_path):
    both = [shapely.box(85, 20, 100, 60), shapely.box(102, 20, 120, 60)]  # two halves of one roof
    flat = shapely.box(75, 75, 85, 82)
    gpd.GeoDataFrame(geometry=on_ground([*both, flat]), crs="EPSG:32645").to_file(tmp_path / "in.gpkg")
    options = RefineOptions(method="graph-cut")
    job.refine(tmp_path / "in.gpkg", open_scene(places / "scene.tif"), tmp_path / "out.gpkg", options=options)
    left, right, bare = gpd.read_file(tmp_path / "out.gpkg").geometry
    assert left.intersection(on_ground(both)[1]).area == 0
    assert right.intersection(on_ground(both)[0]).area == 0
    assert bare.equals(on_ground([flat])[0])


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        (shapely.box(260, 20, 280, 40), "lies off"),
        (shapely.box(20, 160, 40, 180), "lies on nodata"),
        (shapely.Polygon(), "has no area"),
        (shapely.box(-2000, 20, 2000, 40), "needs a window of"),
    ],
)
def test_an_object_that_cannot_be_drawn_is_named_or_left(places, tmp_path, capsys, shape, fault, monkeypatch):
    monkeypatch.setattr(job, "LARGEST_PX", 128)
    frame = gpd.GeoDataFrame({"object": ["good", "bad"]}, geometry=on_ground([SHAPES[0], shape]), crs="EPSG:32645")
    frame.to_file(tmp_path / "in.gpkg")
    command = ["refine", f"{tmp_path}/in.gpkg", f"{places}/scene.tif", "-o", str(tmp_path / "out.gpkg")]
    assert main(command) == 3
    said = capsys.readouterr().err
    assert f"object 'bad' {fault}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.gpkg").exists()
    assert main([*command, "--skip-bad"]) == 0
    assert gpd.read_file(tmp_path / "out.gpkg")["refined"].tolist() == ["refined", "skipped"]


def test_what_makes_no_sense_is_said(places, tmp_path, capsys):
    named = [f"{places}/astray.gpkg", f"{places}/scene.tif"]
    for flags, code, said in (
        ([named[0]], 2, "geoseg refine FOOTPRINTS SCENE"),
        ([*named, "--reach-m", "0.2"], 2, "write 0.5 to 64"),
        ([*named, "--method", "watershed"], 2, "watershed"),
        ([*named, "--memory", "100MB"], 6, "its first 6 outlines take"),
        ([named[1], named[1]], 3, "not a vector file"),
    ):
        assert main(["refine", *flags, "-o", str(tmp_path / "out.gpkg")]) == code
        assert said in capsys.readouterr().err
    assert main(["refine", *named, "-o", named[0], "--overwrite"]) == 5
