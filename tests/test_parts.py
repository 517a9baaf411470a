import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.io import parts
from geoseg.io.files import atomic, write_json
from geoseg.io.parts import read_record, write_part

GRID = Grid(CRS.from_epsg(32633), Affine(0.3, 0, 500_000, 0, -0.3, 5_400_000), (130, 520))
RECORD = {"id": "r00000_c00001", "fingerprint": "ab", "class_px": {"1": 3}, "note": "ä"}


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.integers(0, 4, GRID.shape, np.uint8) for name in ("classes", "confidence")}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a full disk does, without needing one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_part_gives_back_its_record_and_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "r00000_c00001.tif"
    write_part(path, grid=GRID, layers=layers(), record=RECORD)
    assert read_record(path) == RECORD
    with rasterio.open(path) as part:
        assert part.descriptions == ("classes", "confidence")
        assert part.nodata == 0
        assert part.crs == GRID.crs
        assert part.transform == GRID.transform
        for band, layer in enumerate(layers().values(), start=1):
            np.testing.assert_array_equal(part.read(band), layer)


def test_equal_chunks_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_part(tmp_path / folder / "p.tif", grid=GRID, layers=layers(), record=RECORD)
    assert (tmp_path / "a/p.tif").read_bytes() == (tmp_path / "b/p.tif").read_bytes()


def test_missing_part_has_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none.tif") is None


def test_part_cut_off_anywhere_is_not_done(tmp_path: Path) -> None:
    path, cut = tmp_path / "p.tif", tmp_path / "cut.tif"
    write_part(path, grid=GRID, layers=layers(), record=RECORD)
    whole = path.read_bytes()
    for size in [0, 1, 100, *range(500, len(whole), len(whole) // 15), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        assert read_record(cut) is None, size


def test_flipped_byte_never_passes_for_other_pixels_or_another_record(tmp_path: Path) -> None:
    path, bad = tmp_path / "p.tif", tmp_path / "bad.tif"
    write_part(path, grid=GRID, layers=layers(), record=RECORD)
    whole = bytearray(path.read_bytes())
    caught = 0
    positions = [*range(0, 2000, 17), *range(2000, len(whole), len(whole) // 60)]
    for position in positions:
        whole[position] ^= 0x10
        bad.write_bytes(whole)
        whole[position] ^= 0x10
        record = read_record(bad)
        caught += record is None
        if record is not None:  # a byte that says neither (the CRS, a pointer nobody reads)
            assert record == RECORD
            with rasterio.open(bad) as part:
                np.testing.assert_array_equal(part.read(), np.stack(list(layers().values())))
    assert caught > 60


def test_what_reads_back_differently_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_then_read(path: Path):
        os.truncate(path, path.stat().st_size // 2)
        return read_record(path)

    monkeypatch.setattr(parts, "read_record", cut_then_read)
    with pytest.raises(OutputError, match=r"p\.tif.*reads back differently"):
        write_part(tmp_path / "p.tif", grid=GRID, layers=layers(), record=RECORD)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with largest_file(10_000), pytest.raises(OutputError, match=r"p\.tif"):
        write_part(tmp_path / "p.tif", grid=GRID, layers=layers(), record=RECORD)
    assert list(tmp_path.iterdir()) == []


def test_atomic_keeps_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="stop"):
        _stop_half_way(path)
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _stop_half_way(path: Path) -> None:
    before = path.read_text()
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == before
        raise RuntimeError("stop")
