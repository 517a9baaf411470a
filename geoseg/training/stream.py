"""Areas that lie on disk: pixels are read from the scene block by block, labels are drawn once and kept compressed."""

import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from mmap import mmap
from tempfile import TemporaryFile
from threading import Lock
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.training.areas import BLOCK_PX, AreaPixels, blocks, count_cells
from geoseg.training.targets import UNKNOWN, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box
from geoseg.values.grid import Grid

CACHE_BYTES = 256 * 2**20
Pixels = Callable[[Box], tuple[NDArray[np.float32], NDArray[np.bool_]]]  # a box of the working grid: (C, h, w), (h, w)


class BlockCache:
    """The blocks that were read last, up to ``limit`` bytes of them; threads may share it."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        self._held: OrderedDict[tuple[object, Box], AreaPixels] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[object, Box], make: Callable[[], AreaPixels]) -> AreaPixels:
        """Return the block of ``key``, made where it is not held; the key lives as long as the block."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = _apart(make())
        with self._lock:
            if key not in self._held:
                self._held[key] = made
                self._bytes += _size(made)
            while self._bytes > self.limit and len(self._held) > 1:
                self._bytes -= _size(self._held.popitem(last=False)[1])
        return made


def _apart(pixels: AreaPixels) -> AreaPixels:
    """Return pixels in pages of their own: those of a block that is dropped go back, and leave no hole in the heap."""
    return replace(pixels, image=_paged(pixels.image), valid=_paged(pixels.valid), labels=_paged(pixels.labels))


def _paged[T: np.generic](array: NDArray[T]) -> NDArray[T]:
    out = np.frombuffer(mmap(-1, max(1, array.nbytes)), array.dtype, count=array.size).reshape(array.shape)
    out[...] = array
    return out


def _size(pixels: AreaPixels) -> int:
    return pixels.image.nbytes + pixels.valid.nbytes + pixels.labels.nbytes


class BlockStore:
    """Blocks of labels and answers of all areas, compressed, in one temporary file that ends with the process."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="geoseg-blocks-")  # noqa: SIM115  # it stays open as long as the store
        self._end = 0
        self._lock = Lock()

    def put(self, block: NDArray[np.integer]) -> tuple[int, int]:
        """Keep a block; returns where it lies."""
        packed = zlib.compress(np.ascontiguousarray(block), 1)
        with self._lock:
            self._file.seek(self._end)
            self._file.write(packed)
            self._end += len(packed)
            return self._end - len(packed), len(packed)

    def get[T: np.integer](self, place: tuple[int, int], shape: tuple[int, ...], dtype: type[T]) -> NDArray[T]:
        """Return the block that lies at ``place``, of the shape and type that it was kept with."""
        with self._lock:
            self._file.seek(place[0])
            packed = self._file.read(place[1])
        return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class StreamedArea:
    """A rectangle of a scene whose pixels are read when they are asked for."""

    pixels: Pixels
    box: Box  # on the working grid
    grid: Grid  # its own
    store: BlockStore
    cache: BlockCache
    places: dict[Box, tuple[int, int]]  # where the labels of its blocks lie
    key: object  # of its blocks in the cache: an address would be another area's once this one is gone
    counts: NDArray[np.uint16]
    gsd_m: float
    site: str
    share: float
    span_m: tuple[float, float] | None

    @classmethod
    def drawn(
        cls,
        pixels: Pixels,
        labels: Callable[[Box], Raw],
        box: Box,
        target: BuildingTarget | ClassTarget,
        *,
        grid: Grid,
        store: BlockStore,
        cache: BlockCache,
        site: str = "",
        share: float = 1.0,
        span_m: tuple[float, float] | None = None,
    ) -> Self:
        """Draw the labels of ``box`` of ``grid`` block by block and count them; ``labels`` gives those of a box."""
        empty = np.zeros((0, 0, 0), np.uint16)
        gsd_m = grid.mean_resolution_m()
        area = cls(pixels, box, grid.crop(box), store, cache, {}, object(), empty, gsd_m, site, share, span_m)
        for block in blocks(area):
            drawn = labels(block.shifted(box.row0, box.col0)).astype(np.int32)
            area.places[block] = store.put(drawn)
        return replace(area, counts=count_cells(area, target))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.box.shape

    def cells(self, target: BuildingTarget | ClassTarget) -> NDArray[np.uint16]:  # noqa: ARG002  # of the one it was drawn for
        """Return how many pixels of every channel each cell has, (rows, cols, K)."""
        return self.counts

    def read(self, box: Box | None = None) -> AreaPixels:
        """Return the pixels of ``box``, which lies inside; None for all of them."""
        box = box or Box(0, 0, *self.shape)
        near = self._blocks_of(box)
        if len(near) == 1:
            rows, cols = box.within(near[0])
            return self._block(near[0]).read(Box(rows.start, cols.start, rows.stop, cols.stop))
        out: AreaPixels | None = None
        for block in near:
            held = self._block(block)
            if out is None:
                image = np.empty((len(held.image), *box.shape), np.float32)
                out = replace(held, image=image, valid=np.empty(box.shape, bool), labels=np.empty(box.shape, np.int32))
            common = block.clip(box)
            assert common is not None  # _blocks_of gives no others
            (rows, cols), (r, c) = common.within(box), common.within(block)
            out.image[:, rows, cols] = held.image[:, r, c]
            out.valid[rows, cols], out.labels[rows, cols] = held.valid[r, c], held.labels[r, c]
        assert out is not None
        return out

    def _blocks_of(self, box: Box) -> list[Box]:
        """Return the blocks that hold pixels of ``box``."""
        height, width = self.shape
        return [
            Box(row, col, min(row + BLOCK_PX, height), min(col + BLOCK_PX, width))
            for row in range(box.row0 // BLOCK_PX * BLOCK_PX, box.row1, BLOCK_PX)
            for col in range(box.col0 // BLOCK_PX * BLOCK_PX, box.col1, BLOCK_PX)
        ]

    def _block(self, block: Box) -> AreaPixels:
        return self.cache.get((self.key, block), lambda: self._read_block(block))

    def _read_block(self, block: Box) -> AreaPixels:
        image, valid = self.pixels(block.shifted(self.box.row0, self.box.col0))
        labels = np.where(valid, self.store.get(self.places[block], block.shape, np.int32), UNKNOWN).astype(np.int32)
        return AreaPixels(image, valid, labels, self.gsd_m, self.site, self.share, self.span_m)
