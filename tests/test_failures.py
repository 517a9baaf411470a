"""What the system and libraries raise has an exit code and one line that names file, step and way out."""

import errno
import os

import pytest
import rasterio
from pyogrio.errors import DataSourceError
from rasterio._err import CPLE_BaseError

from geoseg.cli import main
from geoseg.errors import InputError
from geoseg.failures import as_geoseg_error


def system(code, file="/data/out/x.tif"):
    return OSError(code, os.strerror(code), file)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (system(errno.ENOSPC), 5, "/data/out/x.tif: No space left on device; free space or files (inodes)"),
        (system(errno.EDQUOT), 5, "Disk quota exceeded; free space"),
        (system(errno.EROFS), 5, "Read-only file system; choose a folder"),
        (system(errno.EACCES), 5, "Permission denied; choose a folder"),
        (system(errno.EACCES, __file__), 3, "the right to read it"),
        (system(errno.EMFILE), 75, "ulimit -n"),
        (system(errno.EAGAIN), 75, "ulimit -u"),
        (system(errno.ENOENT), 3, "x.tif: No such file or directory; check the path"),
        (RuntimeError("can't start new thread"), 75, "ulimit -u"),
        (RuntimeError("Cluster failed to start: Nanny failed to start."), 75, "--workers"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), 6, "--memory"),
        (MemoryError(), 6, "MemoryError; allow less"),
        (rasterio.errors.RasterioIOError("x.tif, band 1: IReadBlock failed"), 3, "gdalinfo"),
        (rasterio.errors.RasterioIOError("write failed: No space left on device"), 5, "free space"),
        (rasterio.errors.CRSError("no such CRS"), 3, "CRS"),
        (CPLE_BaseError(1, 1, "x.tif: damaged"), 3, "x.tif: damaged"),
        (DataSourceError("x.gpkg: not recognised"), 3, "ogrinfo"),
        (UnicodeEncodeError("utf-8", "/a/\udcff.gpkg", 3, 4, "no"), 2, r"'/a/\udcff.gpkg' is not UTF-8; names and"),
        (UnicodeEncodeError("utf-8", '{"model": "m\udcff"}', 12, 13, "no"), 2, r"predict: 'm\udcff' is not UTF-8"),
    ],
)
def test_a_failure_has_its_exit_code_and_a_way_out(error, code, words):
    known = as_geoseg_error(error, step="predict")
    assert known is not None
    assert known.exit_code == code
    assert str(known).startswith("predict: ")
    assert words in str(known)


def test_what_an_error_was_raised_from_counts_and_what_was_handled_meanwhile_does_not():
    outer = RuntimeError("a library's own")
    assert as_geoseg_error(outer, step="s") is None
    outer.__context__ = system(errno.ENOENT)
    assert as_geoseg_error(outer, step="s") is None
    outer.__cause__ = InputError("x.tif: is no raster")
    assert as_geoseg_error(outer, step="s") is outer.__cause__


@pytest.mark.parametrize(("error", "code"), [(system(errno.ENOSPC), 5), (KeyError("ours"), 1)])
def test_the_command_line_ends_with_it(monkeypatch, capsys, error, code):
    def fail(_path):
        raise error

    monkeypatch.setattr("geoseg.cli.app", lambda *_args, **_kwargs: fail(None))
    assert main(["check", "out"]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert ("check: /data/out/x.tif" in told) == (code == 5)
