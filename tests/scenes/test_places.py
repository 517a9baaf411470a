"""What lies on the ground lies there on the map: in every kind of CRS and grid, however the scene is placed."""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import write_bundle, write_tif
from pyproj import Transformer
from rasterio.control import GroundControlPoint

import geoseg
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.scenes.open import open_scene
from geoseg.values.bands import BandSet
from geoseg.vector.coverage.draw import draw_coverage

SHAPE, BLOCK, PIXEL = (240, 260), (20, 220, 15, 240), (5, 250)  # of the scene, a rectangle, and an object of one pixel
DARK, BRIGHT = 10, 240


@dataclass(frozen=True)
class Place:
    """A scene's CRS and grid; points: it is placed by ground control points alone, and warped."""

    crs: str
    transform: Affine
    points: bool = False
    flags: dict = field(default_factory=dict)


UTM = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
PLACES = {
    "utm": Place("EPSG:32645", UTM),
    "rotated": Place("EPSG:32645", UTM @ Affine.rotation(33)),
    "sheared": Place("EPSG:32645", UTM @ Affine.shear(12, 5)),
    "south-up": Place("EPSG:32645", Affine(0.5, 0, 3e5, 0, 0.5, 3.06e6)),
    "control-points": Place("EPSG:32645", UTM @ Affine.rotation(20), points=True, flags={"warp_to": "EPSG:32645"}),
    "degrees": Place("EPSG:4326", Affine(5e-6, 0, 13.4, 0, -3e-6, 52.5)),
    "degrees, antimeridian": Place("EPSG:4326", Affine(5e-6, 0, 179.9994, 0, -5e-6, -16.8)),
    "utm, antimeridian": Place("EPSG:32760", Affine(0.5, 0, 819_724, 0, -0.5, 8_140_208)),
    "feet": Place("EPSG:2249", Affine(1.5, 0, 770_000, 0, -1.5, 2_950_000)),
    "web mercator": Place("EPSG:3857", Affine(0.6, 0, 1.49e6, 0, -0.6, 6.89e6)),
    "compound": Place("EPSG:5555", Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6)),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A model by which bright pixels are one class, and the others another."""
    return write_bundle(
        tmp_path_factory.mktemp("probe") / "probe", widths=None, arch=Architecture(name="probe-identity"), gsd_m=None,
        bands=BandSet.parse("red").bands, normalisation=Normalisation(mean=(0.0,), std=(255.0,)),
        channels=(Channel(name="dark", class_id=1), Channel(name="bright", class_id=2)),
    )  # fmt: skip


def lonlat(crs, xy):
    """Return places (N, 2) as longitude, east of Greenwich up to 360, and latitude."""
    x, y = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*np.asarray(xy, float).T[:2])
    return np.column_stack([np.mod(x, 360), y])


def bright_on_earth(scene, bundle, folder):
    """Return the bright polygons of a scene's map, in longitude and latitude, the largest last."""
    geoseg.predict(scene, str(bundle), folder / "out", options=geoseg.RunOptions(engine="sync", layers=("classes",)))
    draw_coverage(folder / "out/classes.tif", folder / "map.gpkg")
    drawn = gpd.read_file(folder / "map.gpkg", layer="coverage")
    bright = shapely.get_parts(drawn[drawn.class_id == 2].geometry.values)
    return sorted((shapely.transform(p, lambda xy: lonlat(drawn.crs, xy)) for p in bright), key=shapely.area)


def overlap(one, other):
    """Return their IoU."""
    return shapely.area(shapely.intersection(one, other)) / shapely.area(shapely.union(one, other))


def outline(place, rows_cols):
    """Return the ground of the pixels [r0, r1) x [c0, c1), by the affine alone."""
    r0, r1, c0, c1 = rows_cols
    ring = [place.transform @ corner for corner in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))]
    return shapely.Polygon(lonlat(place.crs, ring))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_objects_overlay_where_they_are(tmp_path, bundle, place):
    data = np.full((1, *SHAPE), DARK, np.uint8)
    data[0, BLOCK[0] : BLOCK[1], BLOCK[2] : BLOCK[3]] = data[0, PIXEL[0], PIXEL[1]] = BRIGHT
    path = write_tif(tmp_path / "scene.tif", data, crs=place.crs, transform=place.transform)
    if place.points:
        corners = [(0.0, 0.0), (0.0, 260.0), (240.0, 0.0), (240.0, 260.0), (120.0, 130.0)]
        points = [GroundControlPoint(r, c, *(place.transform @ (c, r))) for r, c in corners]
        with rasterio.open(path, "w", driver="GTiff", count=1, height=240, width=260, dtype="uint8") as dst:
            dst.write(data)
            dst.gcps = points, rasterio.CRS.from_string(place.crs)
    bright = bright_on_earth(open_scene(path, bands="red", **place.flags), bundle, tmp_path)
    assert overlap(bright[-1], outline(place, BLOCK)) > (0.99 if place.points else 1 - 1e-6)
    if not place.points:  # resampled, one pixel is no longer one
        row, col = PIXEL
        true = outline(place, (row, row + 1, col, col + 1))
        assert len(bright) == 2
        off = np.abs(shapely.get_coordinates(bright[0].normalize()) - shapely.get_coordinates(true.normalize()))
        assert off.max() < 1e-3 * np.sqrt(true.area)


def test_a_mosaic_of_two_zones_has_one_rectangle(tmp_path, bundle):
    true = shapely.box(11.9985, 47.9990, 12.0015, 48.0010)  # 224 x 222 m, half in each zone
    (tmp_path / "tiles").mkdir()
    for code, x0 in ((32632, 723_640), (32633, 276_210)):
        place = Place(f"EPSG:{code}", Affine(0.5, 0, x0, 0, -0.5, 5_320_790))
        rows, cols = np.mgrid[:540, :300] + 0.5
        on_earth = lonlat(place.crs, np.column_stack([np.ravel(v) for v in place.transform @ (cols, rows)]))
        inside = shapely.contains_xy(true, *on_earth.T).reshape(540, 300)
        data = np.where(inside, BRIGHT, DARK).astype(np.uint8)[None]
        write_tif(tmp_path / f"tiles/{code}.tif", data, crs=place.crs, transform=place.transform)
    bright = bright_on_earth(open_scene(tmp_path / "tiles", bands="red"), bundle, tmp_path)
    assert overlap(bright[-1], true) > 0.99
