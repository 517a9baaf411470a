"""Labels of any kind: layers over each other, lines, review, labelled ground, borders, colours, COCO, chips."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.training.chips import expanded
from geoseg.training.coco import mask_of
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.palette import with_classes
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BORDER, IGNORE, INTERIOR, BuildingTarget, ClassTarget
from geoseg.values.classes import ClassInfo
from geoseg.values.grid import Grid

GRID = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), (60, 80))
WATER, FOREST, ROAD = 0, 1, 2
CLASSES = (ClassInfo(3, "water", (0, 0, 255)), ClassInfo(7, "forest", (0, 90, 0)), ClassInfo(9, "road", (90, 90, 90)))


def box(r0, c0, r1, c1, grid=GRID):
    return shapely.Polygon([grid.transform @ c for c in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))])


def write(path, shapes, **columns):
    gpd.GeoDataFrame(columns, geometry=list(shapes), crs=32645).to_file(path)
    return str(path)


def write_raster(path, values, *, grid=GRID, placed=True, **profile):
    bands = values if values.ndim == 3 else values[None]
    place = {"crs": grid.crs, "transform": grid.transform} if placed else {}
    with rasterio.open(
        path, "w", count=len(bands), height=bands.shape[1], width=bands.shape[2], dtype=values.dtype, **place, **profile
    ) as dst:
        dst.write(bands)
    return str(path)


def labels(layers, target=None, grid=GRID, **options):
    target = target or ClassTarget(column="kind", classes=CLASSES)
    data = LabelledScene.model_validate({"scene": "scene.tif", "labels": layers} | options)
    return target.labels(open_labels(data, target, grid)(grid.box), gsd_m=grid.mean_resolution_m())


def test_later_layers_lie_on_earlier_ones_and_rasters_let_through_where_they_say_nothing(tmp_path):
    cover = np.full(GRID.shape, 7, np.uint8)
    cover[:, 60:] = 0
    raster = write_raster(tmp_path / "cover.tif", cover, nodata=0)
    lakes = write(tmp_path / "lakes.gpkg", [box(0, 0, 30, 80)], kind=["water"])
    over = labels([raster, {"file": lakes}])
    assert [over[5, 5], over[40, 5], over[5, 70], over[40, 70]] == [WATER, FOREST, WATER, IGNORE]
    under = labels([lakes, raster])
    assert [under[5, 5], under[5, 70]] == [FOREST, WATER]


@pytest.mark.parametrize("crs", [32645, 4326, 3857])
def test_lines_are_widened_by_true_metres_whatever_the_grid(tmp_path, crs):
    line = gpd.GeoSeries([shapely.LineString([GRID.transform @ (-20, 30), GRID.transform @ (100, 30)])], crs=32645)
    place = gpd.GeoSeries([box(0, 0, 60, 80)], crs=32645).to_crs(crs)
    left, bottom, right, top = place.total_bounds
    shape = (60, 80)
    grid = Grid(CRS.from_epsg(crs), Affine((right - left) / 80, 0, left, 0, (bottom - top) / 60, top), shape)
    gpd.GeoDataFrame(geometry=line).to_file(tmp_path / "roads.gpkg")
    out = labels([{"file": str(tmp_path / "roads.gpkg"), "means": "road", "buffer_m": 3}], grid=grid)
    width_m = (out[:, 40] == ROAD).sum() * grid.ground_resolution_m()[0]
    assert width_m == pytest.approx(6, abs=0.6)
    with pytest.raises(InputError, match="LineString found; only polygons count here"):
        labels([{"file": str(tmp_path / "roads.gpkg"), "means": "road"}], grid=grid)


def test_rejected_is_background_unseen_is_void_and_what_is_not_done_too(tmp_path):
    shapes = [box(10, 10 * i, 20, 10 * i + 8) for i in range(5)]
    states = ["accepted", "edited", "rejected", "unseen", None]
    roofs = write(tmp_path / "roofs.gpkg", shapes, review=states)
    ground = write(tmp_path / "ground.gpkg", [box(0, 0, 40, 80), box(40, 0, 60, 80)], done=[True, False])
    out = labels(roofs, BuildingTarget(), area=ground)
    assert [out[15, 10 * i + 4] for i in range(5)] == [INTERIOR, INTERIOR, 0, IGNORE, IGNORE]
    assert (out[:10] == 0).all()
    assert (out[40:] == IGNORE).all()
    own = write(tmp_path / "own.gpkg", shapes[:1], review=["nice roof"])
    assert labels(own, BuildingTarget())[15, 4] == INTERIOR
    mistyped = write(tmp_path / "mistyped.gpkg", shapes[:3], review=["Accepted", "rejectd", "rejectd"])
    with pytest.raises(InputError, match=r"mistyped.gpkg: review = rejectd \(2\); it is accepted, edited, rejected"):
        labels(mistyped, BuildingTarget())


def test_uncertain_polygons_and_rings_around_the_others_are_void(tmp_path):
    roofs = write(tmp_path / "roofs.gpkg", [box(10, 10, 20, 20), box(10, 40, 20, 50)], unsure=["no", "YES"])
    out = labels([{"file": roofs, "uncertain": "unsure"}], BuildingTarget(void_px=1))
    assert out[15, 15] == INTERIOR
    assert (out[10:20, 40:50] == IGNORE).all()
    assert (out[15, 7:12] == [0, 0, IGNORE, BORDER, INTERIOR])[1:].all()
    fields = write(tmp_path / "fields.gpkg", [box(0, 0, 60, 40), box(0, 40, 60, 80)], kind=["water", "forest"])
    both = labels(fields, ClassTarget(column="kind", classes=CLASSES, void_px=1))
    assert both[30, 37:43].tolist() == [WATER, WATER, IGNORE, IGNORE, FOREST, FOREST]


def test_any_class_may_have_a_border_that_parts_its_objects(tmp_path):
    shapes = [box(0, 0, 60, 40), box(0, 40, 60, 60), box(0, 60, 60, 80)]
    fields = write(tmp_path / "fields.gpkg", shapes, kind=["forest", "forest", "road"])
    target = ClassTarget(column="kind", classes=CLASSES, border_m={"forest": 0.5})
    out = labels(fields, target)
    assert [c.name for c in target.channels] == ["water", "forest", "road", "forest border"]
    assert target.polygon_class == "forest"  # the class that geoseg buildings draws
    assert out[30, 37:43].tolist() == [FOREST, FOREST, 3, 3, FOREST, FOREST]
    assert out[30, 58:62].tolist() == [FOREST, 3, ROAD, ROAD]
    assert target.regions == ((0,), (1, 3), (2,), (3,))


def test_colours_stand_for_classes_in_bands_and_palettes_and_any_integer_is_a_value(tmp_path):
    water, forest = (0, 0, 255), (0, 90, 0)
    ids = np.zeros(GRID.shape, np.uint8)
    ids[:, 40:] = 1
    colours = np.array([water, forest], np.uint8)[ids].transpose(2, 0, 1)
    coded = write_raster(tmp_path / "coded.tif", colours, photometric="RGB")
    paletted = Image.fromarray(ids, "P")
    paletted.putpalette([*water, *forest])
    paletted.save(tmp_path / "paletted.png")
    by_colour = ClassTarget(values={"#0000FF": 3, "#005a00": 7}, classes=CLASSES)
    for file in (coded, str(tmp_path / "paletted.png")):
        out = labels(file, by_colour)
        assert (out[:, :40] == WATER).all()
        assert (out[:, 40:] == FOREST).all()
    large = write_raster(tmp_path / "large.tif", np.where(ids == 0, 4_000_000_000, 12).astype(np.uint32))
    out = labels(large, ClassTarget(values={4_000_000_000: 3, 12: 7}, classes=CLASSES))
    assert [out[5, 5], out[5, 60]] == [WATER, FOREST]


def test_a_mask_whose_nodata_means_background_is_read_so_where_it_is_said(tmp_path):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[10:20, 10:20] = 1
    path = write_raster(tmp_path / "mask.tif", mask, nodata=0)
    assert labels(path, BuildingTarget())[40, 40] == IGNORE
    assert labels([{"file": path, "nodata": "none"}], BuildingTarget())[40, 40] == 0


def test_a_raster_in_another_crs_comes_by_the_nearest_pixel(tmp_path):
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.choice([3, 7, 9], (8, 10)), np.ones((10, 10))).astype(np.int16)
    own = Grid(CRS.from_epsg(3857), Affine(0.57, 0, 0, 0, -0.57, 0), (80, 100))
    x, y = rasterio.warp.transform(GRID.crs, own.crs, [3e5 - 2], [3.06e6 + 2])
    own = Grid(own.crs, Affine(0.57, 0, x[0], 0, -0.57, y[0]), own.shape)
    out = labels(write_raster(tmp_path / "coarse.tif", coarse, grid=own))
    rows, cols = np.mgrid[0:60, 0:80] + 0.5
    xs, ys = GRID.transform @ (cols.ravel(), rows.ravel())
    x, y = rasterio.warp.transform(GRID.crs, own.crs, xs, ys)
    at = np.floor(np.stack(~own.transform @ (np.array(x), np.array(y)))).astype(int)
    expected = np.searchsorted([3, 7, 9], coarse[at[1], at[0]]).reshape(60, 80)
    assert (out == expected).mean() > 0.99


def test_classes_come_from_the_raster_with_their_names_and_colours(tmp_path):
    values = np.full(GRID.shape, 2, np.uint8)
    values[:30] = 5
    path = write_raster(tmp_path / "cover.tif", values)
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {2: (0, 0, 255, 255), 5: (0, 90, 0, 255)})
        dst.update_tags(1, CLASS_5="wood")
    found = with_classes(ClassTarget(), [LabelledScene(scene="scene.tif", labels=path)])
    assert found.classes == (ClassInfo(2, "class 2", (0, 0, 255)), ClassInfo(5, "wood", (0, 90, 0)))
    assert labels(path, found)[5, 5] == 1


RING = [10, 20, 30, 20, 30, 40, 10, 40]  # x, y


def coco(path, *, name="scene.tif", rle=None):
    notes = [{"id": 1, "image_id": 5, "category_id": 2, "segmentation": [RING], "iscrowd": 0}]
    if rle is not None:
        notes.append({"id": 2, "image_id": 5, "category_id": 1, "segmentation": rle, "iscrowd": 1})
    images = [{"id": 5, "file_name": f"images/{name}", "height": 60, "width": 80}]
    categories = [{"id": 1, "name": "water"}, {"id": 2, "name": "forest"}]
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": categories}))
    return str(path)


def test_coco_annotations_are_classes_and_objects(tmp_path):
    from pycocotools import mask as oracle

    wanted = np.zeros((60, 80), np.uint8)
    wanted[45:55, 3:70:2] = 1
    packed = oracle.encode(np.asfortranarray(wanted))
    rle = {"size": packed["size"], "counts": packed["counts"].decode()}
    found, col = mask_of(rle, (60, 80))
    np.testing.assert_array_equal(found, wanted[:, col : col + found.shape[1]])
    assert found.sum() == wanted.sum()
    path = coco(tmp_path / "notes.json", rle=rle)
    out = labels(path, ClassTarget(classes=CLASSES))
    assert (out[20:40, 10:30] == FOREST).all()
    np.testing.assert_array_equal(out == WATER, wanted)
    roofs = labels(path, BuildingTarget())
    assert roofs[30, 20] == INTERIOR
    assert (roofs[wanted > 0] == IGNORE).all()  # a crowd is no object
    with pytest.raises(InputError, match=r"notes\.json: no image is called other\.tif"):
        labels(path, BuildingTarget(), scene="other.tif")


def chips(folder, n=4):
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(folder / "images" / f"chip{i}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(folder / "masks" / f"chip{i}.png")


def test_folders_of_chips_without_a_crs_are_paired_by_name_and_read(tmp_path):
    chips(tmp_path)
    entry = {"scene": "images", "labels": "masks", "pixel_m": 0.3}
    spec = TrainSpec(
        name="t", bands="red,green,blue", target=BuildingTarget(),
        data=({**entry, "use": "train"}, {**entry, "scene": "images/*.png", "use": "validation"}),
    ).resolve(tmp_path)  # fmt: skip
    assert len(spec.data) == 8
    found = load_samples(spec)
    assert [len(found.train), len(found.validation)] == [4, 4]
    area = found.train[0]
    assert area.gsd_m == pytest.approx(0.3, rel=1e-3)
    assert area.site == str(tmp_path / "images")
    assert (area.read().labels[10:30, 10:30] > 0).all()
    (tmp_path / "masks" / "chip2.png").unlink()
    with pytest.raises(InputError, match=r"images: 1 of 4 chips have no labels, such as .*chip2\.png"):
        list(expanded(LabelledScene(**entry).under(tmp_path)))


def test_a_mask_of_another_shape_and_no_place_is_refused(tmp_path):
    path = write_raster(tmp_path / "mask.tif", np.ones((50, 80), np.uint8), placed=False)
    with pytest.raises(InputError, match=r"50 x 80 px without a CRS, which do not cover the scene scene\.tif"):
        labels(path, BuildingTarget())
