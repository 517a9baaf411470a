"""Clusters that cannot be reached or started end in one line, and soon."""

import runpy
import sys
from types import SimpleNamespace

import pytest

from geoseg.errors import ConfigError, TryAgainError
from geoseg.executors import dask as cluster
from geoseg.options.run import ClusterOptions, EngineOptions


def open_by(file):
    with cluster.open_cluster(EngineOptions(engine="dask", cluster=ClusterOptions(scheduler_file=str(file)))):
        pass


def test_a_scheduler_file_that_is_not_there_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.0)
    for name, content in (("none.json", None), ("empty.json", "")):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(TryAgainError, match=rf"{name}: no Dask scheduler answers there \(there is no such file"):
            open_by(tmp_path / name)


@pytest.mark.parametrize("content", ["root:x:0", "[]", "{}", '{"address": 3}'])
def test_a_file_of_something_else_is_told(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ConfigError, match=r"s\.json: was not written by a Dask scheduler"):
        open_by(tmp_path / "s.json")


@pytest.mark.parametrize("engine", ["local", "cuda"])
def test_both_engines_that_start_processes_look_for_the_guard_first(tmp_path, monkeypatch, engine):
    monkeypatch.setattr(cluster, "LocalCluster", lambda **_: pytest.fail("started processes"))
    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=cluster.LocalCluster))
    path = tmp_path / "job.py"
    path.write_text(
        "from geoseg.executors.open import open_engine\nfrom geoseg.options.run import EngineOptions\n"
        f"with open_engine(EngineOptions(engine={engine!r})):\n    pass\n"
    )
    with pytest.raises(ConfigError, match=rf"engine {engine}: .*job\.py line 3 .*__main__"):
        runpy.run_path(str(path), run_name="__main__")


CALL = "refuse_unguarded_script('local')"


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        (CALL, True),
        (f"def run():\n    {CALL}\nrun()", True),
        (f"if True:\n    {CALL}", True),
        (f"if __name__ == '__main__':\n    {CALL}", False),
        (f"def run():\n    {CALL}\nif __name__ == '__main__':\n    run()", False),
    ],
)
def test_a_script_without_a_main_guard_is_told_before_it_starts_processes(tmp_path, script, refused):
    path = tmp_path / "job.py"
    path.write_text(f"from geoseg.executors.dask import refuse_unguarded_script\n{script}\n")
    if not refused:
        runpy.run_path(str(path), run_name="__main__")
        return
    with pytest.raises(ConfigError, match=r"engine local: .*job\.py line \d+ .*__main__"):
        runpy.run_path(str(path), run_name="__main__")
