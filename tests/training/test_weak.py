"""Label rasters of boxes, lines and polygons, by the verb."""

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from conftest import write_tif

from geoseg.cli import main

LEFT, TOP, PX = 3e5, 3.06e6, 0.5
HOUSES = ((20, 30, 15, 40), (60, 75, 50, 65))  # rows and columns, ends left out


def ground(r0, r1, c0, c1):
    return shapely.box(LEFT + c0 * PX, TOP - r1 * PX, LEFT + c1 * PX, TOP - r0 * PX)


def made(folder, shapes, *flags, **columns):
    scene = np.random.default_rng(0).normal(80, 4, (3, 90, 100))
    for r0, r1, c0, c1 in HOUSES:
        scene[:, r0:r1, c0:c1] += np.array([60, 40, -30])[:, None, None]
    scene[:, :, 96:] = 0
    image = write_tif(folder / "s.tif", scene.astype(np.uint8), nodata=0)
    gpd.GeoDataFrame(columns, geometry=list(shapes), crs="EPSG:32645").to_crs(4326).to_file(folder / "m.gpkg")
    argv = ["labels", "weak", str(image), "--marks", str(folder / "m.gpkg"), "-o", str(folder / "l.tif"), *flags]
    code = main(argv)
    if code:
        return code
    with rasterio.open(folder / "l.tif") as src:
        return src.read(1), {int(k[6:]): v for k, v in src.tags(1).items() if k.startswith("CLASS_")}


def truth():
    mask = np.zeros((90, 100), bool)
    for r0, r1, c0, c1 in HOUSES:
        mask[r0:r1, c0:c1] = True
    return mask


def test_boxes_become_objects_on_background_and_boxes_around_nothing_are_void(capsys, tmp_path):
    boxes = [ground(r0 - 3, r1 + 3, c0 - 3, c1 + 3) for r0, r1, c0, c1 in HOUSES]
    ids, names = made(tmp_path, [*boxes, ground(5, 13, 70, 80)])
    assert names == {1: "background", 2: "object"}
    found = ids == 2
    assert (found & truth()).sum() / (found | truth()).sum() > 0.95
    assert (ids[:, 96:] == 0).all()
    assert (ids[6:12, 71:79] == 0).all()
    assert (ids[40:50, 10:90] == 1).all()
    assert "weak labels of 3 boxes, 1 without a difference" in capsys.readouterr().out


def test_lines_and_points_become_regions_and_the_rest_is_void(tmp_path):
    (r0, _, c0, c1), (s0, _, d0, _) = HOUSES
    line = shapely.LineString(
        [(LEFT + (c0 + 4) * PX, TOP - (r0 + 5) * PX), (LEFT + (c1 - 4) * PX, TOP - (r0 + 5) * PX)]
    )
    point = shapely.Point(LEFT + (d0 + 7) * PX, TOP - (s0 + 7) * PX)
    beside = shapely.LineString([(LEFT + 2 * PX, TOP - 45 * PX), (LEFT + 60 * PX, TOP - 45 * PX)])
    ids, names = made(tmp_path, [line, point, beside], "--column", "kind", kind=["roof", "roof", "background"])
    assert names[2] == "roof"
    found = ids == 2
    assert (found & truth()).sum() / (found | truth()).sum() > 0.9
    assert (ids[:, 92:] == 0).all()


def test_polygons_of_a_part_are_burnt_and_marks_of_elsewhere_are_refused(tmp_path):
    part = shapely.Polygon(
        [ground(20, 21, 15, 16).centroid, ground(29, 30, 20, 21).centroid, ground(20, 21, 38, 39).centroid]
    )
    ids, _ = made(tmp_path, [part])
    assert set(np.unique(ids)) == {0, 2}
    assert 0 < (ids == 2).sum() < 200
    assert made(tmp_path, [shapely.affinity.translate(part, 5000)], "--overwrite") == 3
    assert made(tmp_path, [part]) == 5
