"""Audits of labels find what is planted: shifts, doubled and crossing polygons, shared ground; sound labels pass."""

import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import gaussian_filter

from geoseg.cli import main
from geoseg.training.areas import AreaPixels
from geoseg.training.audit.duplicates import NEAR_BITS, perceptual_hash
from geoseg.training.audit.run import audit
from geoseg.training.audit.shift import find_shift
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BuildingTarget

SIZE = 320
UTM = CRS.from_epsg(32645)


def roofs(seed, n=40):
    """Bright rectangles on noise, (SIDE, SIDE) numbers and an image (3, SIDE, SIDE) of bytes."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((SIZE, SIZE), np.int32)
    for i in range(1, n + 1):
        h, w = rng.integers(10, 28, 2)
        r, c = rng.integers(0, SIZE - h), rng.integers(0, SIZE - w)
        ids[r : r + h, c : c + w] = i
    ground = gaussian_filter(rng.normal(0, 60, (3, SIZE, SIZE)), (0, 6, 6)) * 4 + 90
    image = ground + rng.normal(0, 8, (3, SIZE, SIZE)) + 60 * (ids > 0)
    return ids, np.clip(image, 1, 255).astype(np.uint8)


def write_scene(path, image, *, left=3e5):
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=SIZE, width=SIZE, dtype="uint8", crs=UTM,
        transform=Affine(0.5, 0, left, 0, -0.5, 3.06e6), photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(image)


def write_roofs(path, ids, *, left=3e5, more=()):
    transform = Affine(0.5, 0, left, 0, -0.5, 3.06e6)
    shapes = [shapely.geometry.shape(s) for s, v in rasterio.features.shapes(ids, transform=transform) if v]
    gpd.GeoDataFrame(geometry=[*shapes, *more], crs=32645).to_file(path)


def spec(folder, data, **changes):
    values = {
        "name": "t", "bands": "red,green,blue", "target": {"kind": "buildings"}, "data": data,
        "schedule": {"crop_px": 64}, "split": {"by": "blocks", "side_m": 25, "buffer_m": 4},
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changes}).resolve(folder)


def told(found, level="fault"):
    return [f.text for f in found.findings if f.level == level]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    for name, seed, left in (("a", 0, 3e5), ("b", 1, 3.1e5)):
        ids, image = roofs(seed)
        write_scene(folder / f"{name}.tif", image, left=left)
        write_roofs(folder / f"{name}.gpkg", ids, left=left)
    return folder


@pytest.mark.parametrize("planted", [(0, 0), (5, -3), (-7, 12)])
def test_a_shift_is_found_to_the_pixel(planted):
    ids, image = roofs(3)
    moved = np.roll(ids, planted, (0, 1))
    area = AreaPixels(image.astype(np.float32), np.ones(ids.shape, bool), moved, gsd_m=0.5)
    found = find_shift([area], BuildingTarget())
    assert (found.rows, found.cols) == planted
    assert found.sharpness > 7


def test_sound_labels_pass_and_are_shown(folder, tmp_path, capfd):
    config = tmp_path / "train.yaml"
    config.write_text(
        f"job: train\nname: t\ndata_folder: {folder}\nbands: red,green,blue\ntarget: {{kind: buildings}}\n"
        "data: [{scene: a.tif, labels: a.gpkg}]\nschedule: {crop_px: 64}\n"
        "split: {by: blocks, side_m: 25, buffer_m: 4}\n"
    )
    assert main(["check-labels", str(config), "-o", str(tmp_path / "out")]) == 0
    out = capfd.readouterr().out
    assert "FAULT" not in out
    assert re.search(r"note  a\.tif  labels lie [01] px up and [01] px to the", out)
    assert "labels, Mpx" in out
    assert "Labels over imagery" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "overlays.png").stat().st_size > 10_000
    assert main(["check-labels", str(config), "-o", str(tmp_path / "out")]) == 5
    text = config.read_text().replace("a.gpkg", "b.gpkg")
    config.write_text(text)
    assert main(["check-labels", str(config)]) == 8
    assert "b.gpkg: no polygon lies on the scene" in capfd.readouterr().out


def test_bad_polygons_are_counted(folder, tmp_path):
    ids, _ = roofs(0)
    x, y = 3e5 + 100, 3.06e6 - 100
    bow = shapely.Polygon([(x, y), (x + 9, y - 9), (x + 9, y), (x, y - 9)])
    twice = shapely.box(x + 20, y - 8, x + 28, y)
    write_roofs(tmp_path / "bad.gpkg", ids, more=[bow, twice, twice])
    found = audit(spec(folder, [{"scene": "a.tif", "labels": str(tmp_path / "bad.gpkg")}]))
    assert any("1 of" in text and "polygons are invalid (Self-intersection" in text for text in told(found))
    assert "1 polygons are drawn twice; remove one of each" in told(found)


def test_classes_that_lie_over_each_other_or_mean_nothing_are_counted(folder, tmp_path):
    x, y = 3e5, 3.06e6
    shapes = [shapely.box(x + a, y - 160, x + b, y) for a, b in ((0, 80), (60, 90), (90, 160))]
    gpd.GeoDataFrame({"kind": ["low", "high", "high"]}, geometry=shapes, crs=32645).to_file(tmp_path / "c.gpkg")
    classes = [{"id": 1, "name": "low", "color": "#00ff00"}, {"id": 2, "name": "high", "color": "#ff0000"}]
    target = {"kind": "classes", "column": "kind", "classes": classes}
    data = [{"scene": "a.tif", "labels": str(tmp_path / "c.gpkg")}]
    found = audit(spec(folder, data, target=target))
    assert "1 pairs of polygons of two classes lie over each other; cut one" in told(found)
    unknown = audit(spec(folder, data, target={**target, "values": {"low": 1}}))
    assert any("kind = high (2), which values do not name" in text for text in told(unknown))


def test_ground_of_two_roles_is_found_by_place_and_by_looks(folder, tmp_path):
    ids, image = roofs(0)
    rng = np.random.default_rng(5)
    again = np.clip(image * 0.9 + 12 + rng.normal(0, 3, image.shape), 1, 255).astype(np.uint8)
    write_scene(tmp_path / "copy.tif", again, left=3.2e5)
    write_roofs(tmp_path / "copy.gpkg", ids, left=3.2e5)
    copy = {"scene": str(tmp_path / "copy.tif"), "labels": str(tmp_path / "copy.gpkg"), "use": "validation"}
    train = {"scene": "a.tif", "labels": "a.gpkg", "use": "train"}
    (looks,) = told(audit(spec(folder, [train, copy])))
    assert looks.startswith("25 windows of validation are shown in train too, such as copy.tif (row 0, column 0)")
    (place, *_) = told(audit(spec(folder, [train, {**train, "use": "validation"}])))
    assert place.startswith("share 2.6 ha of ground, such as a.tif and a.tif")
    other = {"scene": "b.tif", "labels": "b.gpkg", "use": "validation"}
    assert told(audit(spec(folder, [train, other]))) == []


def test_hashes_of_one_picture_are_near_and_of_others_far():
    rng = np.random.default_rng(0)
    pictures = [gaussian_filter(rng.normal(0, 1, (32, 32)), 1.5) for _ in range(40)]
    noisy = [p * 0.8 + 3 + rng.normal(0, 0.02, p.shape) for p in pictures]
    one, other = (np.array([perceptual_hash(p) for p in side]) for side in (pictures, noisy))
    bits = (one[:, None] != other[None]).sum(2)
    assert np.diag(bits).max() <= NEAR_BITS
    assert bits[~np.eye(40, dtype=bool)].min() > NEAR_BITS
