"""A place for compiled code: numba's own where it has one, else a folder that nobody else can have filled."""

import importlib.util
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

import numba
import pytest

from geoseg import numba_cache
from geoseg.numba_cache import ensure_numba_cache


@pytest.fixture
def nothing_to_write(monkeypatch, tmp_path):
    """No folder can be written but that of temporary files, which is returned."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    os.environ.pop("NUMBA_CACHE_DIR", None)


def test_where_nothing_can_be_written_it_is_a_private_folder_and_stays_the_same(nothing_to_write):
    ensure_numba_cache()
    folder = Path(os.environ.pop("NUMBA_CACHE_DIR"))
    assert folder.parent == nothing_to_write
    assert folder.stat().st_mode & 0o777 == 0o700
    ensure_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == folder


def test_a_folder_that_others_can_write_is_not_trusted(nothing_to_write):
    planted = nothing_to_write / f"geoseg-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    ensure_numba_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder != planted
    assert folder.stat().st_mode & 0o777 == 0o700


def test_numba_keeps_its_own_place_where_it_has_one(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ensure_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_what_the_user_has_named_stays(nothing_to_write, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere")
    ensure_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/somewhere"


def test_where_nothing_at_all_can_be_written_the_package_loads(nothing_to_write, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(nothing_to_write / "gone"))
    ensure_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


KERNELS = """
from geoseg.numba_cache import njit

@njit(cache=True, nogil=True)
def twice(n):
    return 2 * n

@njit(cache=True, nogil=True)
def twice_and_one(n):
    return twice(n) + 1
"""


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Return a function that loads two kernels anew, whose code is kept in the folder ``store``."""
    (tmp_path / "kernels.py").write_text(KERNELS)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "store"))
    monkeypatch.setattr(numba_cache, "_TOLD", [])

    def loaded():
        spec = importlib.util.spec_from_file_location("kernels", tmp_path / "kernels.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def test_code_is_kept_and_found_again(load, caplog):
    assert load().twice_and_one(3) == 7
    again = load()
    assert again.twice_and_one(3) == 7
    assert sum(again.twice_and_one.stats.cache_hits.values()) == 1
    assert caplog.records == []


def of_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder any more, so that nothing can be written there")


def of_torn_files(folder):
    for index in folder.rglob("*.nbi"):
        index.write_bytes(index.read_bytes()[:40])


@pytest.mark.parametrize(
    ("fault", "told"),
    [(of_a_file, "File exists|Not a directory"), (of_torn_files, "truncated|Ran out of input")],
)
def test_a_store_that_fails_stops_no_kernel(load, tmp_path, caplog, fault, told):
    assert load().twice_and_one(3) == 7
    kernels = load()
    fault(tmp_path / "store")
    assert (kernels.twice_and_one(3), kernels.twice(4)) == (7, 8)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]  # once for both
    assert re.search(told, caplog.text)
    assert "NUMBA_CACHE_DIR names another folder" in caplog.text


def test_a_full_disk_stops_no_kernel(load, caplog, monkeypatch):
    """Files may grow by no byte, as on a full disk: the system's own error comes from numba's own writing."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(logging.getLogger("geoseg"), "handlers", [])  # those of an earlier command write to files
    kernels = load()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        made = kernels.twice_and_one(3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert made == 7
    assert caplog.text.count("File too large") == 1


def test_without_any_place_kernels_are_compiled_in_memory(load, tmp_path, monkeypatch, caplog):
    (tmp_path / "__pycache__").write_text("no folder")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kernels.py"))
    assert load().twice_and_one(3) == 7
    assert len(caplog.records) == 1
