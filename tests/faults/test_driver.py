"""A driver that is killed, told to stop, or not alone: what is done is kept, nothing is visible before its time."""

import shutil
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from faults.conftest import CHUNKS, assert_nothing_false_is_visible, outputs, parts
from faults.patches import die_at
from faults.processes import wait_for

PART, OUTPUTS = "*/parts/*/r00001_c00000.tif", "*/.job/outputs"  # the fourth part
# What happens last, and how many chunks are done by then.
PHASES = {
    "a part is written, before its rename": ([("os.rename", PART)], 3),
    "a part has its name": ([("os.rename", PART), ("os.rmdir", "*/parts/*/.r00001_c00000*")], 4),
    "all parts are there": ([("os.mkdir", OUTPUTS)], CHUNKS),
    "in assembly, between two parts": (
        [("open", f"{OUTPUTS}/.classes.tif*/classes.tif"), ("open", "*/parts/*/r00001_c00001.tif")],
        CHUNKS,
    ),
    "a raster is assembled, before its rename": ([("os.rename", f"{OUTPUTS}/classes.tif")], CHUNKS),
    "polygons are written, before their rename": ([("os.rename", f"{OUTPUTS}/buildings.gpkg")], CHUNKS),
    "before the first output is shown": ([("os.rename", "*/out/classes.tif.aux.xml")], CHUNKS),
    "before the final rename": ([("os.rename", "*/out/run.json")], CHUNKS),
}


@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_any_phase_a_run_goes_on_with_what_is_missing(stage, job, same, undisturbed, out, phase):
    moments, done = PHASES[phase]
    killed = stage.geoseg(*job, patches=[partial(die_at, moments)])
    assert killed.exit_code() == -SIGKILL, killed.log
    assert_nothing_false_is_visible(out, undisturbed)
    assert len(parts(out)) == done
    again = stage.geoseg(*job)
    same(again)
    assert (again.resumed, again.chunks_run) == (done, CHUNKS - done)


@pytest.mark.parametrize(
    "last", [("shutil.rmtree", "*/.job/parts"), ("os.remove", "*/.job/lock"), ("os.rmdir", "*/.job")]
)
def test_killed_when_all_is_shown_a_run_is_finished_and_the_next_command_tidies_up(
    stage, job, same, undisturbed, out, last
):
    killed = stage.geoseg(*job, patches=[partial(die_at, [("os.rename", "*/out/run.json"), last])])
    assert killed.exit_code() == -SIGKILL
    assert outputs(out) == undisturbed
    assert (out / ".job").exists()
    refused = stage.geoseg(*job)
    assert refused.exit_code() == 5
    assert "holds a finished run" in refused.log
    assert not (out / ".job").exists()
    same(stage.geoseg(*job, "--overwrite"))


MOMENTS_OF_REPLACING = [
    ("os.remove", "*/out/run.json"),
    ("os.remove", "*/out/probabilities.tif"),
    ("os.rename", "*/out/classes.tif.aux.xml"),
    ("os.rename", "*/out/confidence.tif"),
    ("os.rename", "*/out/run.json"),
]


def test_killed_while_it_replaces_another_run_one_is_found_unfinished_and_ends_as_if_undisturbed(stage, job, same, out):
    assert stage.geoseg(*job, "--threshold", "0.7", "--probabilities").exit_code() == 0
    before, kept = outputs(out), out.with_name("kept")
    out.rename(kept)
    for moment in MOMENTS_OF_REPLACING:
        shutil.copytree(kept, out)
        killed = stage.geoseg(*job, "--overwrite", patches=[partial(die_at, [moment])])
        assert killed.exit_code() == -SIGKILL, killed.log
        untouched = moment == MOMENTS_OF_REPLACING[0]
        assert (out / "run.json").exists() == untouched
        assert (outputs(out) == before) == untouched or moment[1].endswith("probabilities.tif")
        assert stage.geoseg("check", out).exit_code() == (0 if untouched else 8)
        again = stage.geoseg(*job, "--overwrite")
        same(again)
        assert again.chunks_run == 0
        shutil.rmtree(out)


def kind_of_operation(line):
    """Return an audit event and the suffix of the name it meets; the hidden folders of ``atomic`` are one kind."""
    event, path = line.split(" ", 1)
    name = Path(path).name
    return event, "hidden" if name.startswith(".") and name != ".job" else Path(name).suffix


def test_killed_before_one_file_operation_of_each_kind_a_run_ends_in_the_same_bytes(operations, same_after_kills):
    changing = [
        (n, line) for n, line in enumerate(operations) if not line.startswith("open ")
    ]  # an open changes no name
    first = {kind_of_operation(line): number for number, line in reversed(changing)}
    same_after_kills(sorted(first.values()))


def test_terminated_a_run_says_try_again_and_goes_on(slow_stage, job, same, out):
    run = slow_stage.geoseg(*job)
    wait_for(lambda: parts(out), while_running=run)
    run.send(SIGTERM)
    assert run.exit_code() == 75, run.log
    assert "they are kept, the same command goes on" in run.log
    assert outputs(out) == {}
    again = slow_stage.geoseg(*job)
    same(again)
    assert 0 < again.resumed < CHUNKS


def test_terminated_twice_a_run_ends_without_waiting_for_its_chunks(slow_stage, job, same, out):
    run = slow_stage.geoseg(*job)
    wait_for(lambda: parts(out), while_running=run)
    for _ in range(2):
        run.send(SIGTERM)
    assert run.exit_code() == 75, run.log
    same(slow_stage.geoseg(*job))


def test_a_run_that_may_not_last_ends_with_try_again_as_often_as_needed(slow_stage, job, same, out):
    none = slow_stage.geoseg(*job, "--max-runtime", "0.001s")
    assert none.exit_code() == 75, none.log
    assert f"stopped with 0 of {CHUNKS} chunks done" in none.log
    assert outputs(out) == {}
    assert slow_stage.geoseg(*job, "--max-runtime", "1s").exit_code() in (0, 75)
    same(slow_stage.geoseg(*job, "--overwrite"))


def test_of_two_drivers_on_one_job_the_second_is_refused(slow_stage, job, same, out):
    first = slow_stage.geoseg(*job)
    wait_for(lambda: parts(out), while_running=first)
    second = slow_stage.geoseg(*job)
    assert second.exit_code() == 5
    assert "another run is writing there" in second.log
    same(first)


def test_shards_at_once_and_their_finish_make_what_one_run_makes(slow_stage, job, same, out):
    shards = [slow_stage.geoseg(*job, "--shard", f"{i}/3") for i in (1, 2, 3)]
    early = slow_stage.geoseg("finish", out)
    assert early.exit_code() != 0
    assert [shard.exit_code() for shard in shards] == [0, 0, 0], "\n".join(shard.log for shard in shards)
    assert sum(shard.chunks_run for shard in shards) == CHUNKS
    assert outputs(out) == {}
    same(slow_stage.geoseg("finish", out))


def test_a_shard_that_is_killed_is_missed_by_finish(stage, job, same, out):
    killed = stage.geoseg(
        *job, "--shard", "1/2", patches=[partial(die_at, [("os.rename", "*/parts/*/r00000_c00002*")])]
    )
    other = stage.geoseg(*job, "--shard", "2/2")
    assert (killed.exit_code(), other.exit_code()) == (-SIGKILL, 0)
    early = stage.geoseg("finish", out)
    assert early.exit_code() == 7
    assert "4 of 9 chunks are missing (r00000_c00002" in early.log
    assert stage.geoseg(*job, "--shard", "1/2").exit_code() == 0
    same(stage.geoseg("finish", out))
