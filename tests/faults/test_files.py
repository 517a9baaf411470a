"""Disks and files that fail: parts that rot, disks that are full, scenes that change, networks that raise."""

import os
import shutil
import subprocess
from functools import partial
from signal import SIGKILL

import pytest

from faults.conftest import CHUNKS, MARKED, PAUSE_S, outputs, parts
from faults.patches import Fragile, die_at, network, others_fill_the_disk, small_files
from faults.processes import wait_for


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_parts_are_made_anew(stage, job, same, out):
    killed = stage.geoseg(*job, patches=[partial(die_at, [("os.mkdir", "*/.job/outputs")])])
    assert killed.exit_code() == -SIGKILL
    for damage, part in zip((cut_off, emptied, bit_flipped), parts(out)[2:], strict=False):
        damage(part)
    again = stage.geoseg(*job)
    same(again)
    assert (again.resumed, again.chunks_run) == (CHUNKS - 3, 3)


@pytest.fixture
def disk(tmp_path):
    """Mount a small disk at tmp_path / "out"; returns a call that changes its size or flags."""
    out = tmp_path / "out"

    def mount(options):
        flags = f"remount,{options}" if os.path.ismount(out) else options
        out.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", flags, "tmpfs", out], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")

    if shutil.which("mount") is None:
        pytest.skip("no disk can be mounted here: there is no mount")
    yield mount
    if os.path.ismount(out):
        subprocess.run(["umount", "-l", out], check=True)


def test_a_full_disk_is_said_and_what_fits_is_kept(stage, job, same, disk, undisturbed, out):
    ends = set()
    step = sum(map(len, undisturbed.values())) // 4
    for size in range(7 * step, 40 * step, step):  # parts take about twice, and windows at their borders as much again
        disk(f"size={size}")
        run = stage.geoseg(*job, patches=[others_fill_the_disk])
        if run.exit_code() == 0:
            break
        assert run.exit_code() == 5, run.log
        ends.add(run.progress("finish") != [])
        assert "the disk, then run again" in run.log  # the cause as told by whoever met it: the system, SQLite, OGR
        assert outputs(out) == {}
    assert ends == {False, True}, "the disk was to be full among the parts, then among the outputs"
    same(run)


def test_a_file_that_cannot_grow_is_said_and_what_fits_is_kept(stage, job, same, undisturbed, out):
    """What a full disk is where none can be mounted: writes fail behind a certain size."""
    for most_bytes in (4096, len(undisturbed["confidence.tif"]) - 1, len(undisturbed["buildings.gpkg"]) - 1):
        run = stage.geoseg(*job, patches=[partial(small_files, most_bytes)])
        assert run.exit_code() == 5, run.log
        assert "free or repair the disk" in run.log
        assert outputs(out) == {}
    same(stage.geoseg(*job))


def test_a_folder_that_cannot_be_written_is_said(stage, job, disk, tmp_path):
    disk("size=64m")
    disk("ro")
    run = stage.geoseg(*job)
    assert run.exit_code() == 5, run.log
    assert "cannot be written to" in run.log
    assert run.progress() == []


def test_a_scene_that_changes_stops_the_run_and_nothing_of_it_is_kept(
    slow_stage, model, scene, undisturbed, tmp_path, out
):
    copy = tmp_path / scene.name
    shutil.copy2(scene, copy)
    job = ["buildings", copy, "-m", model, "-o", out, "--chunk-px", 512, "--progress", "json"]
    run = slow_stage.geoseg(*job)
    wait_for(lambda: parts(out), while_running=run)
    before = copy.stat()
    with copy.open("r+b") as file:  # in place: who has it open sees other pixels
        file.seek(before.st_size // 2)
        file.write(bytes(before.st_size // 2))
    os.utime(copy)
    assert run.exit_code() == 5, run.log
    assert "scene.tif changed while the run went on" in run.log.replace(scene.name, "scene.tif")
    assert outputs(out) == {}
    refused = slow_stage.geoseg(*job)
    assert refused.exit_code() == 5
    assert f"source {copy.name} changed" in refused.log
    shutil.copyfile(scene, copy)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))  # as long and as old as it was: who knows what it holds
    assert slow_stage.geoseg(*job).exit_code() == 5
    again = slow_stage.geoseg(*job, "--fresh")
    assert again.exit_code() == 0, again.log
    assert outputs(out) == undisturbed


def test_a_network_that_raises_once_is_tried_again(stage, job, same, tmp_path):
    fragile = partial(network, Fragile, healed=tmp_path / "healed", heals=True, pause_s=PAUSE_S)
    run = stage.geoseg(*job, patches=[fragile])
    same(run)
    assert f"chunk {MARKED} failed (network, attempt 1)" in run.log


def test_a_network_that_raises_always_leaves_one_chunk_to_do(stage, job, same, tmp_path, out):
    fragile = partial(network, Fragile, healed=tmp_path / "healed")
    run = stage.geoseg(*job, patches=[fragile])
    assert run.exit_code() == 7, run.log
    assert f"1 of {CHUNKS} chunks failed ({MARKED}); first: the network does not like this window" in run.log
    assert outputs(out) == {}
    again = stage.geoseg(*job)
    same(again)
    assert again.chunks_run == 1


def test_a_chunk_that_fails_is_filled_only_when_told_and_told_in_the_outputs(stage, job, same, tmp_path, out):
    import rasterio

    fragile = partial(network, Fragile, healed=tmp_path / "healed")
    run = stage.geoseg(*job, "--on-failure", "fill", patches=[fragile])
    assert run.exit_code() == 7, run.log
    for name in ("classes.tif", "confidence.tif"):
        with rasterio.open(out / name) as raster:
            assert raster.tags()["GEOSEG_MISSING_CHUNKS"] == MARKED
            assert not raster.read(1)[512:1024, 512:1024].any()
    again = stage.geoseg(*job, "--overwrite")
    same(again)
    assert again.chunks_run == 1
