"""The job folder: one plan, and parts that are its own."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest

from geoseg.errors import ConfigError, OutputError
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
