import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import largest_file
from rasterio.crs import CRS

from geoseg.disk.files import atomic, write_json
from geoseg.errors import OutputError
from geoseg.outputs.cog import parts
from geoseg.outputs.cog.parts import PartEncoder, StoredPart, read_record, write_part
from geoseg.outputs.cog.tiles import Each
from geoseg.tiling.overviews import halved_layer
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer

GRID = Grid(CRS.from_epsg(32633), Affine(0.3, 0, 500_000, 0, -0.3, 5_400_000), (130, 520))
RECORD = {"id": "r00000_c00001", "fingerprint": "ab", "class_px": {"1": 3}, "note": "ä"}

LAYERS = (Layer("classes", "category"), Layer("confidence", "probability"))


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.integers(0, 4, GRID.shape, np.uint8) for name in ("classes", "confidence")}


def write(path: Path, *, overviews: int = 1, tables: dict[str, bytes] | None = None, each: Each = map) -> None:
    encoder = PartEncoder(GRID.shape, LAYERS, overviews=overviews, each=each)
    encoder.add(layers())
    write_part(path, encoder.finish(), grid=GRID, record=RECORD, tables=tables or {})


def test_part_gives_back_its_record_and_its_layers(tmp_path: Path) -> None:
    path = tmp_path / "r00000_c00001.tif"
    write(path)
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
        write(tmp_path / folder / "p.tif")
    assert (tmp_path / "a/p.tif").read_bytes() == (tmp_path / "b/p.tif").read_bytes()


def test_tiles_that_threads_compress_are_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one.tif")
    asked = []
    with ThreadPoolExecutor(3) as pool:
        write(tmp_path / "three.tif", each=lambda call, tiles: asked.append(call) or pool.map(call, tiles))
    assert asked
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "three.tif").read_bytes()


def test_missing_part_has_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none.tif") is None


def test_part_cut_off_anywhere_is_not_done(tmp_path: Path) -> None:
    path, cut = tmp_path / "p.tif", tmp_path / "cut.tif"
    write(path)
    whole = path.read_bytes()
    for size in [0, 1, 100, *range(500, len(whole), len(whole) // 15), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        assert read_record(cut) is None, size


def test_flipped_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    path, bad = tmp_path / "p.tif", tmp_path / "bad.tif"
    write(path)
    whole = bytearray(path.read_bytes())
    for position in [
        *range(0, 3000, 17),
        *range(3000, len(whole), len(whole) // 60),
        *range(len(whole) - 60, len(whole)),
    ]:
        whole[position] ^= 0x10
        bad.write_bytes(whole)
        whole[position] ^= 0x10
        assert read_record(bad) is None, position


def test_tables_stand_beside_the_tiles_and_are_checked(tmp_path: Path) -> None:
    path, plain = tmp_path / "p.tif", tmp_path / "plain.tif"
    tables = {"objects": b"12345" * 99, "empty": b""}
    write(path, tables=tables)
    write(plain)
    assert read_record(path) == RECORD
    part = StoredPart.open(path)
    assert {name: part.table(name) for name in part.tables} == tables
    assert part.rows == StoredPart.open(plain).rows
    assert b"tables" not in plain.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"45123", b"45120", 1))
    assert read_record(path) is None
    with pytest.raises(OutputError, match=r"p\.tif.*damaged"):
        part.table("objects")


def test_what_is_no_part_has_no_record(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    with rasterio.open(path, "w", driver="GTiff", height=9, width=9, count=1, dtype="uint8") as out:
        out.write(np.ones((1, 9, 9), np.uint8))
    assert read_record(path) is None
    write(path)
    path.write_bytes(path.read_bytes() + b"more")
    assert read_record(path) is None


@pytest.mark.parametrize("steps", [1, 3, 64, 129])
def test_bytes_do_not_depend_on_how_many_rows_come_at_once(tmp_path: Path, steps: int) -> None:
    write(tmp_path / "whole.tif")
    encoder = PartEncoder(GRID.shape, LAYERS, overviews=1)
    for row in range(0, GRID.height, steps):
        encoder.add({name: layer[row : row + steps] for name, layer in layers().items()})
    write_part(tmp_path / "rows.tif", encoder.finish(), grid=GRID, record=RECORD)
    assert (tmp_path / "rows.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_rows_that_do_not_fit_are_refused() -> None:
    encoder = PartEncoder(GRID.shape, LAYERS, overviews=0)
    encoder.add({name: layer[:100] for name, layer in layers().items()})
    with pytest.raises(ValueError, match="100 of 130 rows"):
        encoder.finish()
    with pytest.raises(ValueError, match="after row 100 of 130"):
        encoder.add(layers())


def test_part_has_its_overviews(tmp_path: Path) -> None:
    write(tmp_path / "p.tif", overviews=2)
    expected = layers()
    for level in range(2):
        expected = {layer.name: halved_layer(expected[layer.name], layer) for layer in LAYERS}
        with rasterio.open(tmp_path / "p.tif", overview_level=level) as overview:
            np.testing.assert_array_equal(overview.read(), list(expected.values()))
    stored = StoredPart.open(tmp_path / "p.tif")
    assert stored.shape == GRID.shape
    assert [[len(layer) for layer in level] for level in stored.rows] == [[1, 1]] * 3


def test_what_reads_back_differently_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_then_read(path: Path):
        os.truncate(path, path.stat().st_size // 2)
        return read_record(path)

    monkeypatch.setattr(parts, "read_record", cut_then_read)
    with pytest.raises(OutputError, match=r"p\.tif.*reads back differently"):
        write(tmp_path / "p.tif")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with largest_file(10_000), pytest.raises(OutputError, match=r"p\.tif"):
        write(tmp_path / "p.tif")
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
