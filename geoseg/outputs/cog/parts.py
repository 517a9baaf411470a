"""Parts: the layers of one chunk in one small GeoTIFF. A sound part is the record that its chunk is done.

A part is a tiled GeoTIFF with overviews, behind its last tile an index in JSON (the chunk's record, and the size and
sha256 of the header and of every row of tiles), the index's length, and the index's sha256: a part is checked, and its
tiles are found, without decoding any.

    header | tiles of the layers that GDAL sees | tiles of the others | tables | index | its length, its sha256

The bands of a TIFF share their dtype, so GDAL sees the layers of the first one's. Tables are bytes with a name; the
index lists them, and of layers that GDAL does not see, only where there are some.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from geoseg.disk.files import atomic
from geoseg.errors import OutputError
from geoseg.outputs.cog.tiff import FRAME_BYTES, Level, header
from geoseg.outputs.cog.tiles import Each, LayerEncoder, TileRow, level_of
from geoseg.outputs.cog.vrt import bare, shown, tiff_template
from geoseg.tiling.overviews import halved
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer, Pixels

_FOOTER = struct.Struct("<Q32s")  # bytes of the index, its sha256


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPart:
    """The compressed tiles of a chunk: (height, width), its layers, and rows of tiles by level, layer and row."""

    shape: tuple[int, int]
    layers: tuple[Layer, ...]
    rows: tuple[tuple[tuple[TileRow, ...], ...], ...]


class PartEncoder:
    """Takes a chunk's layers from top to bottom and compresses them, with ``overviews`` smaller levels.

    layers: in the order of the bands. A chunk's levels have whole tiles where its origin is
    a multiple of TILE_PX x 2^overviews (``levels_within``). Holds compressed tiles, and less than 2 x TILE_PX x width
    pixels a layer; lets other threads run while it compresses. each: what compresses the tiles of a row.
    """

    def __init__(self, shape: tuple[int, int], layers: Sequence[Layer], *, overviews: int, each: Each = map) -> None:
        self._shape = shape
        self._encoders = {layer: LayerEncoder(shape, layer, overviews, each) for layer in layers}

    def add(self, rows: Mapping[str, Pixels]) -> None:
        """Take the next rows (n, width) of every layer by its name, any number of them."""
        for layer, encoder in self._encoders.items():
            encoder.add(rows[layer.name])

    def finish(self) -> EncodedPart:
        """Return all tiles; raises ValueError where rows are missing."""
        by_level = zip(*(encoder.finish() for encoder in self._encoders.values()), strict=True)
        rows = tuple(tuple(tuple(done) for done in level) for level in by_level)
        return EncodedPart(self._shape, tuple(self._encoders), rows)


def write_part(
    path: Path,
    part: EncodedPart,
    *,
    grid: Grid,
    record: Mapping[str, Any],
    tables: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Commit the layers of a chunk together with its ``record`` and its tables. Bands carry the names of their layers.

    Equal arguments give equal bytes. The part is read back before it takes its name; raises OutputError where that, or
    the disk, fails.
    """
    seen = shown(part.layers)
    apart = [i for i, layer in enumerate(part.layers) if layer not in seen]
    levels = [[row for i, row in enumerate(level) if i not in apart] for level in part.rows]
    head = TileRow.of((), header(tiff_template(grid, [bare(layer) for layer in seen]), list(_levels(part, levels))))
    index: dict[str, Any] = {
        "record": record,
        "shape": part.shape,
        "header": [len(head.data), head.sha256],
        "rows": [[[[row.sizes, row.sha256] for row in layer] for layer in level] for level in part.rows],
    }
    if apart:
        index["apart"] = apart
    if tables:
        index["tables"] = {name: [len(table), hashlib.sha256(table).hexdigest()] for name, table in tables.items()}
    text = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    with atomic(path) as temporary:
        with temporary.open("wb") as file:
            file.write(head.data)
            for level, layer in _in_file_order(part.rows, apart):
                file.writelines(row.data for row in part.rows[level][layer])
            for name in sorted(tables):
                file.write(tables[name])
            file.write(text + _FOOTER.pack(len(text), hashlib.sha256(text).digest()))
        if read_record(temporary) is None:
            raise OutputError(f"{path}: what was written reads back differently; check the disk, then run again")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a part, or None where the part is missing, cut off or altered: its chunk is not done.

    Every byte is compared with the digests that were taken before writing.
    """
    try:
        part = StoredPart.open(path)
        tiles = (row for level in part.rows for layer in level for row in layer)
        for row in (part.header, *tiles, *part.tables.values()):
            row.read(path)
    except (OSError, OutputError):
        return None
    return part.record


@dataclass(frozen=True, slots=True)
class StoredRow:
    """Where a row of tiles stands in a part, the bytes of its tiles, and the sha256 of what stands there."""

    offset: int
    length: int
    sizes: tuple[int, ...]
    sha256: str

    def read(self, path: Path) -> TileRow:
        """Return the row out of the part at ``path``; raises OutputError where it is not what was written."""
        with path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            row = TileRow.of(self.sizes, file.read(self.length))
        if row.sha256 != self.sha256:
            raise _damaged(path)
        return row


@dataclass(frozen=True, slots=True, eq=False)
class StoredPart:
    """What the index of a part says: the record, (height, width), rows of tiles by level, layer and row, and tables."""

    path: Path
    record: dict[str, Any]
    shape: tuple[int, int]
    header: StoredRow
    rows: tuple[tuple[tuple[StoredRow, ...], ...], ...]
    tables: Mapping[str, StoredRow]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the index of a part; raises OutputError where the index is damaged, OSError where it cannot be read."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _FOOTER.size, 0))
            footer = file.read()
            length, digest = _FOOTER.unpack(footer) if len(footer) == _FOOTER.size else (0, b"")
            start = size - _FOOTER.size - length
            if start < 0:
                raise _damaged(path)
            file.seek(start)
            text = file.read(length)
        if hashlib.sha256(text).digest() != digest:
            raise _damaged(path)
        return cls._from_index(path, json.loads(text))

    @classmethod
    def _from_index(cls, path: Path, index: dict[str, Any]) -> Self:
        at, sha256 = index["header"]
        head = StoredRow(0, at, (), sha256)
        stored: list[list[tuple[StoredRow, ...]]] = [[()] * len(level) for level in index["rows"]]
        for level, layer in _in_file_order(index["rows"], index.get("apart", ())):
            rows = []
            for sizes, digest in index["rows"][level][layer]:
                length = sum(size + FRAME_BYTES for size in sizes if size)
                rows.append(StoredRow(at, length, tuple(sizes), digest))
                at += length
            stored[level][layer] = tuple(rows)
        tables = {}
        for name, (length, digest) in sorted(index.get("tables", {}).items()):
            tables[name] = StoredRow(at, length, (), digest)
            at += length
        return cls(path, index["record"], tuple(index["shape"]), head, tuple(map(tuple, stored)), tables)

    def table(self, name: str) -> bytes:
        """Return what a table holds; raises KeyError where there is none, OutputError where it is damaged."""
        return self.tables[name].read(self.path).data


def _in_file_order(levels: Sequence[Sequence[Any]], apart: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (level, layer) as their tiles stand: first the layers that GDAL sees, the smallest level first."""
    for group in (False, True):
        for level in reversed(range(len(levels))):
            for layer in range(len(levels[level])):
                if (layer in apart) is group:
                    yield level, layer


def _levels(part: EncodedPart, levels: Sequence[Sequence[Sequence[TileRow]]]) -> Iterator[Level]:
    shape = part.shape
    for level in levels:
        yield level_of(shape, level)
        shape = halved(shape)


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{path}: this part of a job is damaged; run again, its chunk will be made anew")
