"""Samples: what a run would read of each area, at the model's resolution, and nothing of the test area."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.errors import ConfigError, InputError
from geoseg.training import samples as module
from geoseg.training.data_spec import Cut, LabelledScene, Split
from geoseg.training.samples import Samples, load_samples
from geoseg.training.spec import Augmentation, TrainSpec
from geoseg.training.targets import UNKNOWN, BuildingTarget

NORTH_UP = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
BUILDINGS = [(10 * i, 20 + 30 * j, 10 * i + 6, 30 + 30 * j) for i in range(1, 9) for j in range(4)]


@pytest.fixture
def files(tmp_path):
    """A scene of 100 x 160 px with a nodata corner, scaled by 0.5, and its buildings."""
    data = np.random.default_rng(0).integers(50, 200, (3, 100, 160), np.uint8)
    data[:, :12, :12] = 0
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", count=3, height=100, width=160, dtype="uint8", nodata=0,
        crs="EPSG:32645", transform=NORTH_UP, photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(data)
        dst.scales, dst.offsets = [0.5] * 3, [7.0] * 3
    shapes = [
        shapely.Polygon([NORTH_UP * c for c in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))])
        for r0, c0, r1, c1 in BUILDINGS
    ]
    gpd.GeoDataFrame(geometry=shapes, crs=32645).to_file(tmp_path / "roofs.gpkg")
    return tmp_path, data


def spec(folder, **changes):
    values = {
        "name": "t",
        "data": (LabelledScene(scene="scene.tif", labels="roofs.gpkg"),),
        "target": BuildingTarget(),
        "bands": "red,green,blue",
        "split": Split(test=Cut(side="east", share=0.25), validation=Cut(side="south", share=0.3), buffer_px=10),
    }
    return TrainSpec(**{**values, **changes}).resolve(folder)


def test_areas_hold_the_scene_s_pixels_in_physical_units(files):
    folder, data = files
    found = load_samples(spec(folder))
    (train,), (validation,) = ([area.read() for area in areas] for areas in (found.train, found.validation))
    assert train.image.shape == (3, 60, 110)
    np.testing.assert_array_equal(train.image[:, train.valid], data[:, :60, :110][:, train.valid] * 0.5 + 7)
    np.testing.assert_array_equal(validation.image, data[:, 70:, :110] * 0.5 + 7)
    assert not train.valid[:12, :12].any()
    assert (train.labels[:12, :12] == UNKNOWN).all()
    assert (train.image[:, ~train.valid] == 0).all()
    assert train.labels[13, 25] > 0


def test_the_test_area_is_never_read(files, monkeypatch):
    folder, _ = files
    boxes = []
    read = module.read
    monkeypatch.setattr(module, "read", lambda scene, box: boxes.append(box) or read(scene, box))
    load_samples(spec(folder))
    load_samples(spec(folder, gsd_m=0.2))
    load_samples(spec(folder, gsd_m=1.3))
    assert len(boxes) == 6
    assert max(b.col1 for b in boxes) <= 110  # the test area begins at 120


@pytest.mark.parametrize("gsd_m", [0.25, 1.0])
def test_another_resolution_resamples_pixels_and_labels_alike(files, gsd_m):
    folder, _ = files
    (train,) = [area.read() for area in load_samples(spec(folder, gsd_m=gsd_m)).train]
    scale = 0.5 / gsd_m
    assert train.labels.shape == pytest.approx((60 * scale, 110 * scale), abs=1)
    roofs = train.labels > 0
    inside = sum(1 for r0, c0, r1, c1 in BUILDINGS if r1 <= 60 and c1 <= 110)
    assert roofs.sum() == pytest.approx(inside * 60 * scale**2, rel=0.12)


def test_statistics_are_those_of_valid_training_pixels(files):
    folder, _ = files
    found = load_samples(spec(folder))
    (train,) = [area.read() for area in found.train]
    values = train.image[:, train.valid]
    mean, std = found.statistics()
    np.testing.assert_allclose(mean, values.mean(1, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(std, values.std(1, dtype=np.float64), rtol=1e-5)
    with pytest.raises(ConfigError, match="no valid pixel"):
        Samples((), ()).statistics()


def test_a_split_without_labels_and_a_scene_without_the_bands(files):
    folder, _ = files
    everything = gpd.GeoDataFrame(geometry=[shapely.box(299_000, 3.05e6, 301_000, 3.07e6)], crs=32645)
    everything.to_file(folder / "void.gpkg")
    data = (LabelledScene(scene="scene.tif", labels="roofs.gpkg", ignore="void.gpkg"),)
    with pytest.raises(InputError, match=r"the train areas hold no label: .* not labelled in scene\.tif; "):
        load_samples(spec(folder, data=data))
    with pytest.raises(InputError, match="band nir not found"):
        load_samples(spec(folder, bands="red,green,nir"))


def test_whole_scenes_may_be_for_one_thing(files):
    folder, _ = files
    one = {"scene": "scene.tif", "labels": "roofs.gpkg"}
    parts = (
        LabelledScene(**one, use="train"),
        LabelledScene(**one, use="validation"),
        LabelledScene(**one, use="test"),
        LabelledScene(**one, split=Split(validation=Cut(side="north", share=0.5), buffer_px=0)),
    )
    found = load_samples(spec(folder, data=parts, split=None))
    assert [a.shape for a in found.train] == [(100, 160), (50, 160)]
    assert [a.shape for a in found.validation] == [(100, 160), (50, 160)]
    with pytest.raises(ValueError, match=r"split is missing, and roofs\.gpkg says neither use nor a split"):
        spec(folder, split=None)


def test_training_areas_are_as_fine_as_windows_need_and_validation_as_a_run_reads(files):
    folder, _ = files
    jitter = Augmentation(gsd_m=(0.2, 1.5))
    found = load_samples(spec(folder, gsd_range_m=(0.9, 1.2), augmentation=jitter))
    assert found.train[0].gsd_m == pytest.approx(0.5, rel=0.01)  # the scene's own: nothing finer is in it
    assert found.validation[0].gsd_m == pytest.approx(0.9, rel=0.05)
    data = (LabelledScene(scene="scene.tif", labels="roofs.gpkg", gsd_m=(1.0, 1.5), share=0.3),)
    coarse = load_samples(spec(folder, data=data, augmentation=jitter)).train[0]
    assert coarse.gsd_m == pytest.approx(1.0, rel=0.05)
    assert (coarse.span_m, coarse.share) == ((1.0, 1.5), 0.3)


def test_an_optional_band_that_a_scene_lacks_is_nan_and_counts_in_no_statistics(files):
    folder, data = files
    found = load_samples(spec(folder, bands="red,nir,blue", optional="nir"))
    (train,) = [area.read() for area in found.train]
    assert np.isnan(train.image[1]).all()
    np.testing.assert_array_equal(train.image[::2, train.valid], data[::2, :60, :110][:, train.valid] * 0.5 + 7)
    mean, std = Samples((train, replace(train, image=np.full_like(train.image, 9))), ()).statistics()
    assert mean[1] == 9
    assert std[1] <= 1e-6
    with pytest.raises(ConfigError, match="no valid pixel of every band"):
        found.statistics()
    with pytest.raises(InputError, match="band nir not found"):
        load_samples(spec(folder, bands="red,nir,blue"))
