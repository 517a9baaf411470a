"""The job folder: one plan, and parts that are its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest

from geoseg.engine.folder import JobFolder
from geoseg.engine.options import RunOptions
from geoseg.errors import ConfigError, OutputError


def job(fingerprint="f", **identity):
    return SimpleNamespace(fingerprint=fingerprint, identity={"chunk_px": 512, **identity})


def test_shards_that_start_together_keep_each_other_s_parts(tmp_path):
    shards = 8
    for turn in range(20):
        folder, together = JobFolder(tmp_path / str(turn) / ".job"), Barrier(shards)

        def start(i, folder=folder, together=together):
            with folder.locked(shared=True):
                together.wait(timeout=30)
                folder.adopt(job(), fresh=False, config=None)
                folder.part(str(i)).touch()

        with ThreadPoolExecutor(shards) as pool:
            list(pool.map(start, range(shards)))
        assert len(list((folder.path / "parts").iterdir())) == shards


def test_another_plan_is_refused_with_what_changed_and_fresh_starts_over(tmp_path):
    folder = JobFolder(tmp_path / ".job")
    with folder.locked():
        folder.adopt(job(), fresh=False, config={"job": "land_cover"})
        folder.part("a").touch()
        with pytest.raises(OutputError, match=r"another plan \(tta changed\)"):
            folder.adopt(job("g", tta="d4"), fresh=False, config=None)
        assert folder.part("a").exists()
        assert folder.plan()["config"] == {"job": "land_cover"}
        folder.adopt(job("g", tta="d4"), fresh=True, config=None)
        assert not folder.part("a").exists()
        with pytest.raises(OutputError, match="another run is writing"), folder.locked():
            pass


def test_a_shard_may_not_throw_away_what_the_others_have_done():
    with pytest.raises(ConfigError, match="every shard would throw away"):
        RunOptions(shard=(0, 2), fresh=True)
