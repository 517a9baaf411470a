"""A place for compiled code: numba's own where it has one, else a folder that nobody else can have filled."""

import os
import tempfile
from pathlib import Path

import pytest

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
