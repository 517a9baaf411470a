"""The job folder: one plan, and parts that are its own."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest

from geoseg.errors import (
    ConfigError,
    IncompleteError,
    InputError,
    MemoryBudgetError,
    ModelError,
    OutputError,
    TryAgainError,
)
from geoseg.executors.base import Platform
from geoseg.jobs.folder import JobFolder
from geoseg.options.run import RunOptions


def job(fingerprint="f", **identity):
    identity = {"chunk_px": 512, "platform": ["cpu", "fp32", ""], **identity}
    return SimpleNamespace(fingerprint=fingerprint, identity=identity, platform=Platform("cpu", "fp32", ""))


def test_shards_that_start_together_keep_each_other_s_parts(tmp_path):
    shards = 8
    for turn in range(20):
        folder, together = JobFolder(tmp_path / str(turn) / ".job"), Barrier(shards)

        def start(i, folder=folder, together=together):
            with folder.locked(shared=True):
                together.wait(timeout=30)
                with folder.adopting():
                    folder.adopt(job(), fresh=False, config=None)
                folder.part(job(), str(i)).touch()

        with ThreadPoolExecutor(shards) as pool:
            list(pool.map(start, range(shards)))
        assert len(list(folder.parts(job()).iterdir())) == shards


def test_another_plan_is_refused_with_what_changed_and_fresh_starts_over(tmp_path):
    folder, other = JobFolder(tmp_path / ".job"), job("g", tta="d4")
    with folder.locked():
        folder.adopt(job(), fresh=False, config={"job": "land_cover"})
        folder.part(job(), "a").touch()
        with pytest.raises(OutputError, match=r"another plan \(tta changed\)"):
            folder.adopt(other, fresh=False, config=None)
        assert folder.part(job(), "a").exists()
        assert folder.plan().fingerprint == "f"
        shutil.rmtree(folder.parts(job()))  # by hand, say
        folder.adopt(job(), fresh=False, config=None)
        assert list(folder.parts(job()).iterdir()) == []
        folder.adopt(other, fresh=True, config=None)
        assert list(folder.parts(other).parent.iterdir()) == [folder.parts(other)]
        assert list(folder.parts(other).iterdir()) == []
        with pytest.raises(OutputError, match="another run is writing"), folder.locked():
            pass


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_refused_before_its_plan_leaves_nothing_and_what_has_begun_stays(tmp_path, shared):
    folder = JobFolder(tmp_path / "out" / ".job")
    with pytest.raises(ConfigError), folder.locked(shared=shared), folder.adopting():
        raise ConfigError("too large")
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "out").mkdir()  # the user's own
    with pytest.raises(ConfigError), folder.locked(shared=shared):
        raise ConfigError("too large")
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]

    with folder.locked(shared=True):  # another shard plans
        with pytest.raises(OutputError, match="another run is writing"), folder.locked():
            pass
        with pytest.raises(ConfigError), folder.locked(shared=True):
            raise ConfigError("too large")
        assert (folder.path / "lock").exists()
        folder.adopt(job(), fresh=False, config=None)
    with pytest.raises(ConfigError), folder.locked(shared=shared):
        raise ConfigError("too large")
    assert folder.plan() is not None


def fail(folder, error, *, parts=()):
    """Begin a job that ends with an error; parts: the chunks that are done by then."""
    with folder.locked():
        folder.adopt(job(), fresh=False, config=None)
        for part in parts:
            folder.part(job(), part).touch()
        raise error("told")


@pytest.mark.parametrize(
    "refusal", [ConfigError, InputError, ModelError, MemoryBudgetError, OutputError, OSError, RuntimeError]
)
def test_what_is_refused_before_its_first_part_leaves_no_plan_either(tmp_path, refusal):
    folder = JobFolder(tmp_path / "out" / ".job")
    with pytest.raises(refusal):
        fail(folder, refusal)
    assert list(tmp_path.iterdir()) == []
    with folder.locked():  # killed as soon as it had begun
        folder.adopt(job(), fresh=False, config=None)
    with pytest.raises(refusal):
        fail(folder, refusal)
    assert folder.plan() is not None


@pytest.mark.parametrize("failure", [TryAgainError, IncompleteError, KeyboardInterrupt])
def test_what_can_go_on_keeps_its_plan(tmp_path, failure):
    folder = JobFolder(tmp_path / "out" / ".job")
    with pytest.raises(failure):
        fail(folder, failure)
    assert folder.plan() is not None


def test_a_part_keeps_the_job_and_the_user_s_own_keeps_the_folder(tmp_path):
    folder = JobFolder(tmp_path / "out" / ".job")
    with pytest.raises(InputError):
        fail(folder, InputError, parts="a")
    assert folder.part(job(), "a").exists()
    folder.remove()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(InputError):
        fail(folder, InputError)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "out", tmp_path / "out" / "mine.txt"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"fingerprint": "f", "ident',
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"fingerprint": "f"}',
        b'{"fingerprint": "f", "identity": 3}',
        b'{"fingerprint": "f", "identity": {"chunk_px": "many", "platform": ["cpu", "fp32", ""]}}',
        b'{"fingerprint": "f", "identity": {"chunk_px": 512, "platform": ["cpu"]}}',
    ],
)
def test_a_damaged_plan_is_said_with_the_way_out(tmp_path, content):
    folder = JobFolder(tmp_path / ".job")
    with folder.locked():
        (folder.path / "plan.json").write_bytes(content)
        with pytest.raises(OutputError, match=r"plan\.json: .* start the job over with --fresh"):
            folder.adopt(job(), fresh=False, config=None)
        folder.adopt(job(), fresh=True, config=None)
        assert folder.chunk_px() == 512


def test_a_shard_may_not_throw_away_what_the_others_have_done():
    with pytest.raises(ConfigError, match="every shard would throw away"):
        RunOptions(shard=(1, 2), fresh=True)
