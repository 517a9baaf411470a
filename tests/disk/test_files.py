"""Replacing files and locking folders, on systems and file systems that refuse what Linux grants."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from geoseg.disk import files
from geoseg.disk.files import atomic, locked
from geoseg.errors import OutputError
from geoseg.executors.peak import peak_memory_bytes


def refused(folder, *, shared):
    with (
        pytest.raises(OutputError, match="another run is writing there"),
        locked(folder / "lock", of=folder, shared=shared),
    ):
        pass


def test_a_folder_is_held_alone_or_shared(tmp_path, monkeypatch):
    lock = tmp_path / "lock"
    monkeypatch.setattr(files, "TAKING_S", 0.0)
    with locked(lock, of=tmp_path, shared=True), locked(lock, of=tmp_path, shared=True):
        refused(tmp_path, shared=False)
    with locked(lock, of=tmp_path):
        refused(tmp_path, shared=False)
        refused(tmp_path, shared=True)
    with locked(lock, of=tmp_path, wait=True):
        pass
    assert list(tmp_path.iterdir()) in ([], [lock])  # no share is left


def test_what_a_killed_process_held_is_free(tmp_path):
    lock = tmp_path / "lock"
    code = f"""
import os, pathlib
from geoseg.disk.files import locked
with locked(pathlib.Path({str(lock)!r}), of=pathlib.Path({str(tmp_path)!r}), shared=True):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.glob("lock.*"))) == 1
    with locked(lock, of=tmp_path):
        assert list(tmp_path.glob("lock.*")) == []


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_that_refuses_locks_is_told(tmp_path, monkeypatch, code, shared):
    def refuse(*_):
        raise OSError(code, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(OutputError, match=r"file system has no locks .*No locks available"),
        locked(tmp_path / "lock", of=tmp_path, shared=shared),
    ):
        pass


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_system_without_such_locks_has_others(tmp_path, monkeypatch):
    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    test_a_folder_is_held_alone_or_shared(tmp_path, monkeypatch)


def held_open(monkeypatch, times):
    """Let a file be held open elsewhere for so many tries, as Windows tells it; returns the pauses made."""
    replace, tries, pauses = Path.replace, [], []

    def refusing(self, target):
        tries.append(target)
        if len(tries) <= times:
            raise PermissionError(errno.EACCES, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refusing)
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    return pauses


def test_a_file_that_is_open_elsewhere_for_a_moment_is_replaced(tmp_path, monkeypatch):
    target = tmp_path / "classes.tif"
    target.write_text("old")
    pauses = held_open(monkeypatch, 3)
    with atomic(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert len(pauses) == 3


def test_a_file_that_stays_open_elsewhere_is_told(tmp_path, monkeypatch):
    target = tmp_path / "classes.tif"
    target.write_text("old")
    held_open(monkeypatch, 99)
    with pytest.raises(OutputError, match=r"classes\.tif: cannot be replaced .*close it"), atomic(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_peak_is_that_of_the_process_and_not_of_what_started_it():
    block = b"x" * (150 * 2**20)
    code = "from geoseg.executors.peak import peak_memory_bytes; print(peak_memory_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(block) < peak_memory_bytes()
    assert int(done.stdout) < len(block)


def test_macos_counts_in_bytes_and_windows_tells_its_peak(monkeypatch):
    import resource
    from types import SimpleNamespace

    import psutil

    usage = SimpleNamespace(ru_maxrss=5 * 2**20)
    monkeypatch.setattr(resource, "getrusage", lambda _who: usage)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory_bytes() == 5 * 2**20
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _self: SimpleNamespace(rss=1, peak_wset=7 * 2**20))
    assert peak_memory_bytes() == 7 * 2**20


def test_what_need_not_last_appears_whole_and_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(files, "sync", waited.append)
    for lasting in (False, True):
        assert waited == []
        with files.atomic(tmp_path / "a.txt", lasting=lasting) as temporary:
            temporary.write_text(f"{lasting}")
        assert (tmp_path / "a.txt").read_text() == f"{lasting}"
    assert [path.name for path in waited] == ["a.txt", tmp_path.name]
