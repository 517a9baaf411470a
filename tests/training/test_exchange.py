"""Labels to CVAT and Label Studio and back, by the verbs."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import write_tif
from pycocotools.coco import COCO

from geoseg.cli import main
from geoseg.training.exchange import Piece, joined
from geoseg.values.box import Box

SIDE = 64
TURNED = Affine.translation(3e5, 3.06e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
SHAPES = {  # in pixels of a scene of 150 x 140 px
    "roof": shapely.Polygon([(10.3, 10.7), (90.2, 20.4), (80.9, 70.1), (20.6, 60.8)]),  # on four tiles
    "lake": shapely.box(20.25, 75, 120, 120.5)
    - shapely.box(40, 80, 64 - 1e-9, 90)
    - shapely.Point(70, 100).buffer(9.7),
    "wood": shapely.MultiPolygon([shapely.box(100, 5, 110, 15), shapely.box(112.5, 5, 115, 15)]),
}


def on_map(shape):
    return shapely.transform(shape, lambda xy: np.column_stack(TURNED @ tuple(xy.T)))


def in_pixels(shape):
    return shapely.transform(shape, lambda xy: np.column_stack(~TURNED @ tuple(xy.T)))


@pytest.fixture
def scene(tmp_path):
    """A turned scene of 16 bits, its lower right tile without data, and polygons on it in degrees."""
    pixels = np.random.default_rng(0).integers(900, 3000, (3, 140, 150)).astype(np.uint16)
    pixels[:, 128:, 128:] = 0
    shapes = [*map(on_map, SHAPES.values()), on_map(shapely.box(5, 130, 9, 135))]
    columns = {"class": [*SHAPES, "roof"], "review": ["unseen"] * 3 + ["rejected"]}
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32645").to_crs(4326)
    frame.to_file(tmp_path / "drawn.gpkg")
    return write_tif(tmp_path / "s.tif", pixels, transform=TURNED, nodata=0)


def exported(scene, tool, name="out"):
    folder = scene.parent / name
    argv = ["labels", "export", scene, scene.parent / "drawn.gpkg", "-o", folder, "--format", tool, "--tile-px", SIDE]
    assert main(list(map(str, argv))) == 0
    return folder


def imported(file, tiles):
    out = file.parent / "back.gpkg"
    assert main(["labels", "import", str(file), "--tiles", str(tiles), "-o", str(out), "--overwrite"]) == 0
    return gpd.read_file(out, layer="labels")


def assert_same(frame):
    assert sorted(frame["class"]) == sorted(SHAPES)
    for name, geometry in zip(frame["class"], frame.geometry, strict=True):
        shape = in_pixels(geometry)
        assert shapely.hausdorff_distance(shape.boundary, SHAPES[name].boundary, densify=0.05) < 1 / 16
        assert shapely.area(shape ^ SHAPES[name]) < 0.01 * SHAPES[name].area


def changed(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def as_cvat_leaves_it(content):
    """Two decimals, folders in names, attributes that the task does not know are gone."""
    for image in content["images"]:
        image["file_name"] = f"images/{image['file_name']}"
    for one in content["annotations"]:
        one["segmentation"] = [np.round(ring, 2).tolist() for ring in one["segmentation"]]
        del one["attributes"]


def test_coco_comes_back_and_so_it_does_from_cvat_without_numbers(scene):
    folder = exported(scene, "cvat")
    file = folder / "annotations/instances_default.json"
    frame = imported(file, folder / "tiles.json")
    assert_same(frame)
    assert set(frame["review"]) == {"accepted"}

    again = exported(scene, "cvat", "again")
    bare = imported(changed(again / "annotations/instances_default.json", as_cvat_leaves_it), again / "tiles.json")
    assert_same(bare)


def test_other_readers_see_the_same_shapes_and_places(scene):
    folder = exported(scene, "cvat")
    coco = COCO(folder / "annotations/instances_default.json")
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    masks = dict.fromkeys(names.values(), 0)
    for one in coco.loadAnns(coco.getAnnIds()):
        masks[names[one["category_id"]]] += int(coco.annToMask(one).sum())
        assert one["area"] == pytest.approx(coco.annToMask(one).sum(), abs=0.1 * one["area"] + 8)
    for name, shape in SHAPES.items():
        assert masks[name] == pytest.approx(shape.area, rel=0.05)
    pictures = sorted(p.name for p in (folder / "images").glob("*.png"))
    assert len(pictures) == 8  # of nine: one has no data and no polygon
    with rasterio.open(folder / "images/r000064_c000128.png") as tile, rasterio.open(scene) as src:
        assert tile.transform.almost_equals(TURNED @ Affine.translation(128, 64), 1e-6)
        assert tile.shape == (64, 22)
        stored = src.read(1)
        low, high = np.percentile(stored[stored > 0], [2, 98])
        expected = np.clip((stored[64:128, 128:].astype(float) - low) / (high - low), 0, 1) * 255
        assert np.abs(tile.read(1) - np.where(stored[64:128, 128:] > 0, expected, 0)).max() < 4


def test_label_studio_takes_predictions_and_gives_what_was_looked_at(scene):
    folder = exported(scene, "label-studio")
    file, tiles = folder / "tasks.json", folder / "tiles.json"
    tasks = json.loads(file.read_text())
    assert all("annotations" not in task for task in tasks)
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=out/images/r000000_c000000.png"
    frame = imported(file, tiles)
    assert_same(frame)
    assert set(frame["review"]) == {"unseen"}

    def as_label_studio_leaves_it(content):
        for task in content:
            (kept,) = task.pop("predictions")
            for number, region in enumerate(kept["result"]):
                region["id"] = f"aB{number}"
            kept["result"].append({"type": "choices", "value": {"choices": ["sure"]}})
            task["annotations"] = [kept]
            task["data"] = {"image": f"/data/upload/1/12ab34cd-{task['data']['tile']}"}

    frame = imported(changed(file, as_label_studio_leaves_it), tiles)
    assert set(frame["review"]) == {"accepted"}
    woods = frame["class"] == "wood"  # of two parts: without a number nothing says that they are one
    assert woods.sum() == 2
    assert_same(frame.dissolve("class").reset_index())


def test_pieces_without_a_number_meet_where_most_of_their_edges_do():
    boxes = {"a": Box(0, 0, 10, 10), "b": Box(0, 10, 10, 20)}

    def pieces(y0, name="roof", numbers=(None, None)):
        shapes = shapely.box(6, 2, 10, 6), shapely.box(0, y0, 3, y0 + 4)
        return [Piece(t, n, k, s) for t, n, k, s in zip("ab", ("roof", name), numbers, shapes, strict=True)]

    assert len(joined(pieces(2), boxes)) == 1
    assert len(joined(pieces(3, numbers=(1, None)), boxes)) == 1
    assert len(joined(pieces(4.5), boxes)) == 2
    assert len(joined(pieces(2, "lake"), boxes)) == 2
    assert len(joined(pieces(2, numbers=(1, 2)), boxes)) == 2
    assert len(joined(pieces(5.9, numbers=(1, 1)), boxes)) == 1
    assert joined([], boxes) == []


def test_what_cannot_be_placed_is_refused_in_a_line(scene, capsys):
    folder = exported(scene, "cvat")
    file, tiles = folder / "annotations/instances_default.json", folder / "tiles.json"

    def said(code, *argv):
        capsys.readouterr()
        assert main(["labels", *map(str, argv)]) == code
        return capsys.readouterr().err

    out = ["-o", scene.parent / "x.gpkg"]
    assert "--tiles is missing: the tiles.json of" in said(3, "import", file, *out)
    assert "says not where tiles lie" in said(3, "import", file, "--tiles", file, *out)
    assert "neither COCO" in said(3, "import", tiles, "--tiles", tiles, *out)
    assert "exists already; choose another folder" in said(
        5, "export", scene, scene.parent / "drawn.gpkg", "-o", folder, "--format", "cvat"
    )
    far = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    far.to_file(scene.parent / "far.gpkg")
    told = said(3, "export", scene, scene.parent / "far.gpkg", "-o", scene.parent / "no", "--format", "cvat")
    assert "no polygon lies on the scene" in told
    assert not (scene.parent / "no").exists()
    first = lambda content: content["annotations"][0]  # noqa: E731
    emptied = folder / "none.json"
    emptied.write_text(json.dumps({"images": [], "categories": [], "annotations": []}))
    assert len(imported(emptied, tiles)) == 0  # all was deleted
    for message, change in {
        "draw a polygon instead": lambda c: first(c).update(segmentation=[]),
        "cannot be read (KeyError(99))": lambda c: first(c).update(category_id=99, segmentation=[[0, 0, 9, 0, 9, 9]]),
        "is 9 x 64 px, and was written as 64 x 64": lambda c: c["images"][0].update(height=9),
        "image 'elsewhere.png' is none of the tiles": lambda c: c["images"][0].update(file_name="elsewhere.png"),
    }.items():
        assert message in said(3, "import", changed(file, change), "--tiles", tiles, *out)
    assert not (scene.parent / "x.gpkg").exists()
