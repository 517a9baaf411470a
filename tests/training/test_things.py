"""Things: centres and offsets are learnt from polygons or numbers, and what is trained runs as a panoptic model."""

import importlib.util
from pathlib import Path

import geopandas as gpd
import numpy as np
import panoptic
import pytest
from conftest import write_tif
from pydantic import ValidationError

from geoseg.models.bundle import save_model
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import UNKNOWN
from geoseg.training.things import ThingsTarget
from geoseg.vector.pixels.labels import label_polygons

SPECTRA = np.array([[90, 80, 70], [40, 60, 110], [190, 90, 80], [90, 170, 90]])
TARGET = {
    "kind": "things", "column": "kind", "elsewhere": 1, "things": ["box", "disc"], "range_px": 32, "bump_px": 2,
    "classes": [{"id": c.id, "name": c.name, "color": c.hex} for c in panoptic.CLASSES],
    "group": panoptic.GROUPING.model_dump(exclude={"things"}),
}  # fmt: skip


def picture(classes, ids, seed=0):
    """Return bytes (3, H, W) in which classes have colours of their own, and objects shades and dark edges."""
    rng = np.random.default_rng(seed)
    shade = np.where(np.arange(ids.max() + 1) > 0, rng.uniform(0.8, 1.2, ids.max() + 1), 1)[ids]
    edge = np.zeros(ids.shape, bool)
    edge[:-1] |= ids[1:] != ids[:-1]
    edge[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    bands = SPECTRA[classes - 1].transpose(2, 0, 1) * shade * np.where(edge, 0.6, 1) + rng.normal(0, 8, (3, *ids.shape))
    return bands.clip(1, 255).astype(np.uint8)


def write_data(folder, shape=(400, 400), seed=0):
    """Write a scene and the polygons of its water, boxes and discs."""
    classes, ids = panoptic.truth_of(shape, seed=seed)
    path = write_tif(folder / f"scene{seed}.tif", picture(classes, ids, seed), photometric="RGB")
    numbered = np.where(ids > 0, ids + 10, np.where(classes == 2, 1, 0)).astype(np.int32)
    found, polygons = label_polygons(numbered, (0, 0), panoptic.transform())
    first = [classes[numbered == n][0] for n in found]
    kinds = [panoptic.CLASSES[c - 1].name for c in first]
    gpd.GeoDataFrame({"kind": kinds}, geometry=polygons, crs="EPSG:32645").to_file(folder / f"labels{seed}.gpkg")
    return path


def spec_of(folder, **changes):
    usual = {
        "name": "toy", "bands": "red,green,blue", "target": TARGET, "window_px": 128, "margin_px": 16, "ramp_px": 32,
        "data": [{"scene": "scene0.tif", "labels": "labels0.gpkg"}],
        "split": {"validation": {"side": "east", "share": 0.25}, "buffer_px": 0},
        "arch": {"name": "compact-unet", "options": {"widths": [8, 16, 24, 32]}},
        "schedule": {"epochs": 1, "steps_per_epoch": 8, "batch": 2, "crop_px": 96, "class_weights": "auto"},
    }  # fmt: skip
    return TrainSpec.model_validate(usual | changes).resolve(folder)


def test_training_lowers_the_loss_and_makes_a_panoptic_bundle(tmp_path):
    write_data(tmp_path)
    spec = spec_of(tmp_path)
    losses = []
    made = fit(spec, load_samples(spec), on_step=lambda _e, _s, told: losses.append(float(told.split()[1])))
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    bundle = save_model(tmp_path / "m", made.network, spec=made.spec)
    assert (bundle.spec.task, bundle.spec.things, bundle.spec.out_channels) == ("panoptic", (3, 4), 7)
    assert bundle.spec.grouping == panoptic.GROUPING


def test_offsets_lead_to_centres_and_cut_objects_are_void():
    target = ThingsTarget.model_validate(TARGET)
    ids = np.zeros((20, 24), np.int32)
    ids[4:9, 5:12], ids[0:3, 15:20], ids[15:18, 2:6] = 1, 2, 3
    raw = np.where(ids > 0, 2 + 4 * ids, 0).astype(np.int32)
    raw[16, 3] = UNKNOWN
    bumps, *offsets = target.beside(raw)
    rows, cols = np.nonzero(ids == 1)
    assert np.unravel_index(np.nanargmax(bumps), bumps.shape) == (6, 8)
    np.testing.assert_allclose(rows + 32 * offsets[0][rows, cols], 6, atol=1e-4)
    np.testing.assert_allclose(cols + 32 * offsets[1][rows, cols], 8, atol=1e-4)
    assert np.isnan(bumps[ids == 2]).all()  # the edge cuts it
    assert np.isnan(offsets[0][ids != 1]).sum() == (ids != 1).sum() - (ids == 3).sum() + 1


def test_values_of_a_raster_are_numbers_of_the_only_thing(tmp_path):
    ids = np.zeros((1, 64, 64), np.uint16)
    ids[0, 5:20, 5:20], ids[0, 30:40, 30:40] = 7, 900
    write_tif(tmp_path / "scene0.tif", np.full((3, 64, 64), 99, np.uint8))
    write_tif(tmp_path / "labels0.tif", ids)
    target = {**TARGET, "column": None, "things": ["box"]}
    data = [{"scene": "scene0.tif", "labels": "labels0.tif", "use": use} for use in ("train", "validation")]
    (area,) = load_samples(spec_of(tmp_path, target=target, data=data)).train
    raw = area.read().labels
    np.testing.assert_array_equal(raw, np.where(ids[0] > 0, 2 + 4 * ids[0].astype(int), 0))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"loss": {"cross-entropy": 1}}, "loss: centre, offset: of things"),
        ({"augmentation": {"cutmix": 0.5}}, "augmentation.cutmix: it cuts objects"),
        ({"target": {**TARGET, "things": ["tree"]}}, "things: tree: no such class"),
    ],
)
def test_what_things_cannot_be_learnt_with_is_said(tmp_path, changes, told):
    with pytest.raises(ValidationError, match=told):
        spec_of(tmp_path, **changes)


@pytest.mark.nightly
def test_a_toy_tells_objects_apart_on_a_scene_it_has_not_seen(tmp_path):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "panoptic.py"
    spec = importlib.util.spec_from_file_location("toy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scores = module.toy(tmp_path, epochs=4)
    assert scores["panoptic"]["pq_things"] >= 0.8
