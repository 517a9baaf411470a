"""The plan: one global grid of windows, chunks that walk it, and the memory that walking takes.

The grid depends on the scene and the model alone. A chunk is only a way to walk it, so its size changes no byte.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Self

from numpy import uint16
from numpy.typing import NDArray

from geoseg.errors import MemoryBudgetError
from geoseg.grid import Box
from geoseg.tiling.axis import Axis
from geoseg.tiling.blend import STRIP_ROWS
from geoseg.tiling.resample import Resampling, axis_taps

LEAST_CHUNK_PX = 512  # written jobs use 512 x 2^n: whole tiles of the output, whole cells of its overviews
MIB = 2**20


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Where the network's windows lie on a scene, all of one shape; boxes are pixels of the grid it runs on.

    >>> grid = WindowGrid.fit((100, 40), window=64, margin=8, ramp=16, multiple=32)
    >>> grid.window_shape, grid.windows(Box(0, 0, 60, 40))
    ((64, 64), (Box(row0=0, col0=0, row1=64, col1=64), Box(row0=32, col0=0, row1=96, col1=64)))
    """

    rows: Axis
    cols: Axis

    @classmethod
    def fit(cls, shape: tuple[int, int], *, window: int, margin: int, ramp: int, multiple: int) -> Self:
        """Lay windows of ``window`` pixels over a scene of ``shape``.

        An axis that one window can hold gets one, of the smallest multiple that does. multiple: the network's own
        stride in pixels. Raises ConfigError where window or stride is not a multiple of it.
        """
        return cls(*(_fit_axis(Axis(size, window, margin=margin, ramp=ramp), multiple) for size in shape))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the scene."""
        return self.rows.size, self.cols.size

    @property
    def window_shape(self) -> tuple[int, int]:
        """(height, width) of every window."""
        return self.rows.window, self.cols.window

    @property
    def count(self) -> int:
        """Number of windows."""
        return self.rows.count * self.cols.count

    def windows(self, box: Box) -> tuple[Box, ...]:
        """Return the windows with a weight above zero in ``box``, row by row; they may hang over far edges."""
        height, width = self.window_shape
        tops = [self.rows.start(i) for i in self.rows.touching(box.row0, box.row1)]
        lefts = [self.cols.start(j) for j in self.cols.touching(box.col0, box.col1)]
        return tuple(Box(top, left, top + height, left + width) for top in tops for left in lefts)

    def weights(self, window: Box) -> tuple[NDArray[uint16], NDArray[uint16]]:
        """Return the weights 0..128 of the rows and columns of one of the windows; a pixel's is their product."""
        return self.rows.weight(window.row0 // self.rows.stride), self.cols.weight(window.col0 // self.cols.stride)

    def read_box(self, box: Box) -> Box:
        """Return the pixels that the windows touching ``box`` see, mirrored ones folded into the scene."""
        (row0, row1), (col0, col1) = self.rows.read_span(box.row0, box.row1), self.cols.read_span(box.col0, box.col1)
        return Box(row0, col0, row1, col1)


def _fit_axis(axis: Axis, multiple: int) -> Axis:
    axis.check_alignment(multiple)
    if axis.size > axis.window:
        return axis
    return Axis(axis.size, -(-axis.size // multiple) * multiple, margin=0, ramp=0)  # it has no neighbours


def chunks(shape: tuple[int, int], chunk_px: int) -> Iterator[tuple[str, Box]]:
    """Yield (id, box) of the chunks of a grid, row by row; the last ones are cut at its edges.

    >>> [id for id, _ in chunks((600, 1200), 512)]
    ['r00000_c00000', 'r00000_c00001', 'r00000_c00002', 'r00001_c00000', 'r00001_c00001', 'r00001_c00002']
    """
    for row, (row0, row1) in enumerate(_cuts(shape[0], chunk_px)):
        for col, (col0, col1) in enumerate(_cuts(shape[1], chunk_px)):
            yield f"r{row:05d}_c{col:05d}", Box(row0, col0, row1, col1)


def _cuts(size: int, chunk_px: int) -> list[tuple[int, int]]:
    return [(lo, min(lo + chunk_px, size)) for lo in range(0, size, chunk_px)]


def redundancy(grid: WindowGrid, boxes: Iterable[Box]) -> float:
    """Return windows run over windows that exist when each of ``boxes`` runs all that touch it; 1.0 repeats none."""
    run = sum(len(grid.rows.touching(b.row0, b.row1)) * len(grid.cols.touching(b.col0, b.col1)) for b in boxes)
    return run / grid.count


# Bytes that no argument tells: resident sizes, one run each, on Linux x86-64 with torch 2.15 (CUDA build), numba 0.68.
# torch 532 MiB, rasterio and numba 82, geoseg 10, geopandas and pyogrio 101, segmentation-models-pytorch 188,
# matplotlib 31; compiled kernels, weights and a first small network call 93 to 171 (3 to 24 M parameters).
BASE_BYTES = 1152 * MIB
# A lane's scratch and what its allocator keeps beyond the sum of a network's convolution outputs: 105 MiB at most in 17
# runs with compact U-Nets and U-Nets with resnet18, resnet34 and efficientnet-b0, windows of 256..1024, fp32 or bf16.
LANE_BYTES = 128 * MIB
GDAL_CACHE_BYTES = 64 * MIB  # what the engine allows GDAL's block cache (GDAL_CACHEMAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run holds in memory, whatever its chunk size.

    bands, itemsize: of the scene as it is stored; channels: of the network's answer; classes: of the map; batch:
    windows per network call; lanes: calls at once; views: turned copies of a window that are averaged;
    activation_bytes_per_px: what a call holds in this process, per pixel of its windows: the sum of all convolution
    outputs is an upper bound, 0 for a GPU.
    """

    grid: WindowGrid
    resampling: Resampling
    bands: int
    itemsize: int
    channels: int
    classes: int
    batch: int
    lanes: int
    activation_bytes_per_px: int
    views: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Projected peak memory of a process in bytes, by what takes it; it holds for the chunk that needs most."""

    base: int
    read_block: int
    prefetched_block: int
    image: int
    batches: int
    activations: int
    accumulators: int
    finishing: int
    outputs: int
    encoder: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(getattr(self, part.name) for part in fields(self))


def projected_bytes(load: Load, chunk_px: int) -> MemoryPlan:
    """Return the memory that chunks of ``chunk_px`` pixels of the scene take.

    An upper bound: with a stub network on 5000 x 5000 px of 4 bytes (working grid of the same or half the resolution,
    chunks of 2048 and 4096 px, three runs) 71 to 87 % of all parts but base and activations were used.

    | part | bytes | reason |
    |---|---|---|
    | base | BASE_BYTES | the process with its network, before the first pixel |
    | read_block | source px x (stored + 1) | stored = bands x itemsize, and the mask |
    | prefetched_block | source px x (2 x stored + bands + 3) | the next block, the reader's own copy and masks |
    | image | seen px x (2 x 4 x bands + 1) | float32 on the working grid, once more while scaled, and the mask |
    | batches | (lanes + views) x batch px x 4 x (bands + 2 x channels) | inputs, answers, integers |
    | activations | lanes x (batch px x activation_bytes_per_px + LANE_BYTES) | inside the network |
    | accumulators | blended px x 4 x channels | uint32 |
    | finishing | strip px x (4 x channels + 4 x classes + 16) | class sums of a strip of rows |
    | | chunk px x (4 x channels + 1) | accumulators brought to the scene's grid, where it is another |
    | outputs | chunk px x (2 + classes + 2) | uint8 layers and masks |
    | encoder | 2 x chunk px x (2 + classes) + GDAL's cache | the layers before, while they are written |
    """
    source, seen, blended, chunk, chunk_width = _largest(load, chunk_px)
    stored = load.bands * load.itemsize
    batch_px = load.batch * load.grid.rows.window * load.grid.cols.window
    layers = 2 + load.classes
    resampled = 0 if load.resampling.is_identity else chunk * (4 * load.channels + 1)
    return MemoryPlan(
        base=BASE_BYTES,
        read_block=source * (stored + 1),
        prefetched_block=source * (2 * stored + load.bands + 3),
        image=seen * (2 * 4 * load.bands + 1),
        batches=(load.lanes + load.views) * batch_px * 4 * (load.bands + 2 * load.channels),
        activations=load.lanes * (batch_px * load.activation_bytes_per_px + LANE_BYTES),
        accumulators=blended * 4 * load.channels,
        finishing=STRIP_ROWS * chunk_width * 4 * (load.channels + load.classes + 4) + resampled,
        outputs=chunk * (layers + 2),
        encoder=2 * chunk * layers + GDAL_CACHE_BYTES,
    )


def largest_chunk_that_fits(load: Load, budget_bytes: int) -> int:
    """Return the largest chunk of 512 x 2^n pixels that ``budget_bytes`` allow, no larger than the scene needs.

    Raises MemoryBudgetError where not even the smallest fits.
    """
    chunk_px = LEAST_CHUNK_PX
    least = projected_bytes(load, chunk_px).total
    if least > budget_bytes:
        raise MemoryBudgetError(
            f"the smallest chunk, {chunk_px} px, needs {least / MIB:.0f} MiB, but {budget_bytes / MIB:.0f} MiB are "
            f"allowed; allow more with --memory, or take fewer lanes, a smaller batch or a smaller window"
        )
    while chunk_px < max(load.resampling.scene_shape) and projected_bytes(load, 2 * chunk_px).total <= budget_bytes:
        chunk_px *= 2
    return chunk_px


def _largest(load: Load, chunk_px: int) -> tuple[int, int, int, int, int]:
    """Return the largest (source, seen, blended, chunk) pixels of any chunk, and a chunk's largest width."""
    shapes = zip(
        (load.grid.rows, load.grid.cols), load.resampling.scene_shape, load.resampling.working_shape, strict=True
    )
    rows, cols = (_longest(axis, scene, working, chunk_px) for axis, scene, working in shapes)
    source, seen, blended, chunk = (a * b for a, b in zip(rows, cols, strict=True))
    return source, seen, blended, chunk, cols[-1]


def _longest(axis: Axis, scene: int, working: int, chunk_px: int) -> tuple[int, ...]:
    """Return how many (source, seen, blended, chunk) pixels any chunk needs at most along one axis.

    A chunk blends the working pixels that its own are made from, sees those of all windows that touch them, and reads
    the scene's pixels that these are made from.
    """
    lengths = []
    for lo, hi in _cuts(scene, chunk_px):
        blended = axis_taps(working, scene, lo, hi).source
        seen = axis.read_span(*blended)
        source = axis_taps(scene, working, *seen).source
        source = min(lo, source[0]), max(hi, source[1])
        lengths.append([b - a for a, b in (source, seen, blended, (lo, hi))])
    return tuple(max(column) for column in zip(*lengths, strict=True))
