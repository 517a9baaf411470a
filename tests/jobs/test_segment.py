"""geoseg segment: the superpixels of the whole scene, whatever its tiles, as a raster and as polygons."""

import json
import shutil
from functools import partial

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from conftest import write_tif
from rasterio.features import rasterize

from geoseg.classical.superpixels import SuperpixelRules, superpixels
from geoseg.cli import main
from geoseg.errors import InputError, MemoryBudgetError, OutputError, TryAgainError
from geoseg.jobs import segment as job
from geoseg.options.run import PartsOptions
from geoseg.options.segment import SegmentOptions
from geoseg.scenes.as_bytes import SceneAsBytes
from geoseg.scenes.open import open_scene

SPACING = 32
SYNC = PartsOptions(engine="sync")


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
    return job.segment(
        scene, folder / "s.gpkg", folder / "s.tif", options=SegmentOptions(spacing_px=SPACING, **options), run=SYNC
    )


@pytest.mark.parametrize("method", ["slic", "waterpixels"])
def test_neither_tiles_nor_a_kill_change_a_byte_and_polygons_are_the_raster(tmp_path, monkeypatch, method):
    rng = np.random.default_rng(1)
    field = np.kron(rng.integers(20, 230, (2, 20, 20)), np.ones((55, 55), int))
    data = (field + rng.integers(-9, 10, field.shape)).clip(1, 255).astype(np.uint8)
    data[:, 200:260, 480:560] = 0
    write_tif(tmp_path / "square.tif", data, nodata=0)
    square, spacing = open_scene(tmp_path / "square.tif", bands="red,nir"), SegmentOptions(spacing_px=16, method=method)
    whole, out = ([tmp_path / folder / f"s.{kind}" for kind in ("gpkg", "tif")] for folder in ("whole", "out"))
    count = job.segment(square, *whole, options=spacing, run=SYNC)
    monkeypatch.setattr(job, "SIDE_PX", 512)
    monkeypatch.setattr(job, "DRAWN_PX", 700)
    write, written = job.write_part, []

    def failing(path, *args, **kwargs):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_part", failing)
        with pytest.raises(KeyboardInterrupt):
            job.segment(square, *out, options=spacing, run=SYNC)
    (folder,) = (tmp_path / "out").glob(".segment-*")
    parts = sorted(folder.glob("*.tif"))
    assert len(parts) == 5
    parts[0].write_bytes(parts[0].read_bytes()[:-9])  # as a disk that lost power leaves it
    again = []
    monkeypatch.setattr(
        job, "write_part", lambda path, *args, **kwargs: again.append(path) or write(path, *args, **kwargs)
    )
    assert job.segment(square, *out, options=spacing, run=SYNC) == count
    assert len(again) == 9 - 5 + 1
    assert parts[0] in again
    assert [p.read_bytes() for p in out] == [p.read_bytes() for p in whole]
    assert not list((tmp_path / "out").glob(".segment-*"))
    with rasterio.open(whole[1]) as src:
        ids, transform = src.read(1), src.transform
    frame = gpd.read_file(whole[0], layer="segments")
    assert len(frame) == count > 4_000
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


def test_the_raster_holds_the_superpixels_of_the_bands_as_bytes(scene, tmp_path):
    made(scene, tmp_path)
    image, valid = SceneAsBytes.of(scene).image(scene.grid.box)
    right = superpixels(image, valid, (0, 0), scene.grid.shape, SuperpixelRules("slic", SPACING))
    assert np.array_equal(rasterio.open(tmp_path / "s.tif").read(1), right)


def cannot_be_read(_cutting, _tile, error=InputError):
    raise error("a block cannot be read")


def test_what_cannot_be_cut_is_refused_and_nothing_is_left(scene, tmp_path, monkeypatch):
    empty = tmp_path / "empty.tif"
    write_tif(empty, np.zeros((1, 64, 64), np.uint8), nodata=0)
    with pytest.raises(InputError, match="no valid pixel"):
        made(open_scene(empty), tmp_path)
    with pytest.raises(MemoryBudgetError, match="--spacing-px"):
        job.segment(
            scene, tmp_path / "s.gpkg", options=SegmentOptions(), run=PartsOptions(engine="sync", memory_bytes=2**20)
        )
    path, asked = tmp_path / "new" / "s.gpkg", {"options": SegmentOptions(), "run": SYNC}
    monkeypatch.setattr(job, "_cut", cannot_be_read)
    with pytest.raises(InputError, match="cannot be read"):
        job.segment(scene, path, **asked)
    assert not path.parent.exists()
    monkeypatch.setattr(job, "_cut", partial(cannot_be_read, error=TryAgainError))
    with pytest.raises(TryAgainError):
        job.segment(scene, path, **asked)
    assert [p.name for p in path.parent.glob(".segment-*/*.json")] == ["plan.json"], "it goes on"
    shutil.rmtree(path.parent)
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


def test_shards_and_finish_give_the_bytes_of_one_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "SIDE_PX", 512)
    write_tif(tmp_path / "strip.tif", np.random.default_rng(2).integers(1, 255, (1, 40, 1100), np.uint8))
    flags = ["segment", str(tmp_path / "strip.tif"), "--spacing-px", "8", "--engine", "sync", "-q"]
    files = ("s.gpkg", "s.tif")
    for name in ("whole", "out"):
        (tmp_path / name).mkdir()
    whole, out = ([tmp_path / folder / file for file in files] for folder in ("whole", "out"))
    assert main([*flags, "-o", str(whole[0]), "--raster", str(whole[1])]) == 0
    finish = ["finish", str(out[0]), "-q", "--engine", "sync"]
    assert main([*flags, "-o", str(out[0]), "--raster", str(out[1]), "--max-runtime", "0.001s"]) == 75
    assert "stopped after 0 of 3 tiles" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    for number in ("2/2", "1/2"):
        assert main(finish) == (3 if number == "2/2" else 7)
        assert main([*flags, "-o", str(out[0]), "--raster", str(out[1]), "--shard", number]) == 0
        assert not [p for p in (tmp_path / "out").iterdir() if p.suffix]
    assert "2 tiles done; geoseg finish" in capsys.readouterr().out
    assert main(finish) == 0
    assert [p.read_bytes() for p in out] == [p.read_bytes() for p in whole]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(files)


def test_a_run_that_ended_between_its_files_goes_on(scene, tmp_path, monkeypatch):
    def failing(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_superpixels", failing)
        with pytest.raises(KeyboardInterrupt):
            made(scene, tmp_path)
    (tmp_path / "other.tif").write_bytes(b"of somebody")
    (tmp_path / ".s.gpkg.abcdefgh").mkdir()  # as a process leaves it that is killed while it writes
    with pytest.raises(OutputError, match="exists already"):
        job.segment(
            scene, tmp_path / "s.gpkg", tmp_path / "other.tif", options=SegmentOptions(spacing_px=SPACING), run=SYNC
        )
    assert made(scene, tmp_path) > 200
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.tif", "s.gpkg", "s.tif"]


def test_a_batch_cuts_every_scene(tmp_path, capsys):
    for name in "abc":
        pixels = np.random.default_rng(ord(name)).integers(1, 255, (2, 90, 80), np.uint8)
        write_tif(tmp_path / f"{name}.tif", pixels)
    config = tmp_path / "batch.yaml"
    each = "{job: segment, bands: 'red,nir', options: {spacing_px: 16}, run: {engine: sync}}"
    config.write_text(f"job: batch\nscenes: '*.tif'\nout: out\neach: {each}\n")
    assert main(["batch", str(config), "-q", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["sums"]["scenes"] == {"to run": 3}
    assert main(["batch", str(config), "-q"]) == 0
    assert "3 scenes: 3 done" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "out" / "a")]) == 3
    assert "superpixels of geoseg segment" in capsys.readouterr().err
    first = {p: p.read_bytes() for p in (tmp_path / "out").rglob("segments.*")}
    assert len(first) == 6
    (tmp_path / "out" / "b" / "segments.tif").unlink()
    assert main(["batch", str(config), "-q"]) == 0
    assert "2 skipped" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in first} == first
    config.write_text(config.read_text().replace("spacing_px: 16", "spacing_px: 20"))
    assert main(["batch", str(config), "-q"]) == 7
    assert "options changed" in capsys.readouterr().err
    (tmp_path / "more.yaml").write_text(config.read_text() + "monitor: {psi: 1}\n")
    assert main(["batch", str(tmp_path / "more.yaml"), "-q"]) == 2
