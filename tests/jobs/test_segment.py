"""geoseg segment: the superpixels of the whole scene, whatever its tiles, as a raster and as polygons."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from conftest import write_tif
from rasterio.features import rasterize

from geoseg.classical.superpixels import SuperpixelRules, superpixels
from geoseg.cli import main
from geoseg.errors import InputError, MemoryBudgetError
from geoseg.jobs import segment as job
from geoseg.options.run import EngineOptions
from geoseg.options.segment import SegmentOptions
from geoseg.scenes.as_bytes import SceneAsBytes
from geoseg.scenes.open import open_scene

SPACING = 32


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("segment") / "scene.tif"
    field = np.kron(rng.integers(20, 230, (2, 12, 11)), np.ones((55, 55), int))[:, :620, :560]
    data = (field + rng.integers(-9, 10, field.shape)).clip(1, 255).astype(np.uint8)
    data[:, 200:260, 480:560] = 0
    write_tif(path, data, nodata=0)
    return open_scene(path, bands="red,nir")


def made(scene, folder, **options):
    run = EngineOptions(engine="sync")
    return job.segment(
        scene, folder / "s.gpkg", folder / "s.tif", options=SegmentOptions(spacing_px=SPACING, **options), run=run
    )


@pytest.mark.parametrize("method", ["slic", "waterpixels"])
def test_tiles_change_no_byte_and_polygons_are_the_raster(scene, tmp_path, monkeypatch, method):
    (tmp_path / "small").mkdir()
    count = made(scene, tmp_path, method=method)
    monkeypatch.setattr(job, "SIDE_PX", 512)
    assert made(scene, tmp_path / "small", method=method) == count
    for name in ("s.tif", "s.gpkg"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "small" / name).read_bytes()
    with rasterio.open(tmp_path / "s.tif") as src, rasterio.open(scene.files[0]) as bands:
        ids, data, transform = src.read(1), bands.read(), src.transform
    frame = gpd.read_file(tmp_path / "s.gpkg")
    assert len(frame) == count > 200
    assert frame["segment_id"].is_monotonic_increasing
    assert set(frame["segment_id"]) == set(np.unique(ids[ids > 0]))
    shapes = zip(frame.geometry, frame["segment_id"], strict=True)
    assert np.array_equal(rasterize(shapes, ids.shape, transform=transform, dtype="int32"), ids)
    one = frame.iloc[len(frame) // 2]
    inside = ids == one["segment_id"]
    assert one["pixels"] == inside.sum()
    assert one[["mean_red", "mean_nir"]].tolist() == pytest.approx(data[:, inside].mean(1))
    assert set(frame["review"]) == {"unseen"}
    assert np.array_equal(ids == 0, data[0] == 0)


def test_a_run_that_was_cut_short_goes_on_to_the_same_bytes(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "SIDE_PX", 512)
    (tmp_path / "whole").mkdir()
    made(scene, tmp_path / "whole")
    write, written = job.write_part, []

    def failing(path, *args, **kwargs):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *args, **kwargs)

    monkeypatch.setattr(job, "write_part", failing)
    with pytest.raises(KeyboardInterrupt):
        made(scene, tmp_path)
    (folder,) = tmp_path.glob(".segment-*")
    parts = sorted(folder.glob("*.tif"))
    assert len(parts) == 2
    parts[0].write_bytes(parts[0].read_bytes()[:-9])  # as a disk that lost power leaves it
    again = []
    monkeypatch.setattr(
        job, "write_part", lambda path, *args, **kwargs: again.append(path) or write(path, *args, **kwargs)
    )
    made(scene, tmp_path)
    assert len(again) == 4 - 1
    assert parts[0] in again
    for name in ("s.tif", "s.gpkg"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob(".segment-*"))


def test_the_raster_holds_the_superpixels_of_the_bands_as_bytes(scene, tmp_path):
    made(scene, tmp_path)
    image, valid = SceneAsBytes.of(scene).image(scene.grid.box)
    right = superpixels(image, valid, (0, 0), scene.grid.shape, SuperpixelRules("slic", SPACING))
    assert np.array_equal(rasterio.open(tmp_path / "s.tif").read(1), right)


def test_what_cannot_be_cut_is_refused_and_nothing_is_left(scene, tmp_path):
    empty = tmp_path / "empty.tif"
    write_tif(empty, np.zeros((1, 64, 64), np.uint8), nodata=0)
    with pytest.raises(InputError, match="no valid pixel"):
        made(open_scene(empty), tmp_path)
    with pytest.raises(MemoryBudgetError, match="--spacing-px"):
        job.segment(
            scene, tmp_path / "s.gpkg", options=SegmentOptions(), run=EngineOptions(engine="sync", memory_bytes=2**20)
        )
    assert [p.name for p in tmp_path.iterdir()] == ["empty.tif"]
    assert main(["segment", str(empty), "-o", str(empty)]) == 2  # no file of polygons
    assert main(["segment", str(empty), "-o", str(tmp_path / "s.gpkg"), "--spacing-px", "2"]) == 2


def test_a_config_cuts_what_the_command_does_and_both_tell_their_plan(scene, tmp_path, capsys):
    flags = ["segment", scene.files[0], "--bands", "red,nir", "--spacing-px", str(SPACING), "--engine", "sync"]
    (tmp_path / "c.yaml").write_text(
        f"job: segment\nscene: {scene.files[0]}\nbands: red,nir\nout: s.gpkg\nraster: s.tif\n"
        f"options: {{spacing_px: {SPACING}}}\nrun: {{engine: sync}}\n"
    )
    commands = ([*flags, "-o", str(tmp_path / "f.gpkg")], ["run", str(tmp_path / "c.yaml")])
    plans = []
    for command in commands:
        assert main([*command, "--dry-run"]) == 0
        plans.append(json.loads(capsys.readouterr().out))
    assert plans[0].items() >= {"cells": 20 * 18, "tiles": 1}.items()
    assert plans[0]["memory_bytes"] == plans[1]["memory_bytes"] < plans[0]["allowed_bytes"]
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]
    for command in commands:
        assert main(command) == 0
    assert (tmp_path / "s.gpkg").read_bytes() == (tmp_path / "f.gpkg").read_bytes()
    assert (tmp_path / "s.tif").is_file()
