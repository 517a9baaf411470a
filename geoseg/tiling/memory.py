"""Memory: what a run holds at its peak, computed from its plan before the first pixel."""

from dataclasses import dataclass, fields
from math import prod

from geoseg.errors import MemoryBudgetError
from geoseg.tiling.resample import Resampling
from geoseg.tiling.strips import strips
from geoseg.tiling.windows import WindowGrid, cuts
from geoseg.values.box import Box

TILE_PX = 512  # of the outputs
LEAST_CHUNK_PX = TILE_PX  # written jobs use 512 x 2^n: whole tiles of the output, whole cells of its overviews
MIB = 2**20
# Bytes that no argument tells: resident sizes, one run each, on Linux x86-64 with torch 2.15 (CUDA build), numba 0.68.
# torch 532 MiB, rasterio and numba 82, geoseg 10, geopandas and pyogrio 101, segmentation-models-pytorch 188,
# matplotlib 31; compiled kernels and a first small network call 80.
BASE_BYTES = 1024 * MIB
# Of it what libraries take that not every run loads: of other people's networks, and of polygons. Without them a
# process held 629 MiB before its first network call, 188 more with the former, and 126 more with the latter.
FAMILY_BYTES, VECTOR_BYTES = 188 * MIB, 126 * MIB
# The same without torch and models: 333 MiB, and at most 196 more while numba compiles for the first time.
PLAIN_BASE_BYTES = 512 * MIB
# What drawing's first run in an environment takes beyond BASE_BYTES while numba compiles: a small run held 1124 MiB,
# 873 where all was compiled.
COMPILING_BYTES = 192 * MIB
LANE_BYTES = 64 * MIB  # scratch of a lane, beside what its network says of a call
WAITING_CALLS = 1  # beside one in each lane: lanes need not stand still while their thread blends or prepares a strip
FREE_SHARE = 0.8  # of the memory that is free when the plan is made
GDAL_CACHE_BYTES = 64 * MIB  # what the engine allows GDAL's block cache (GDAL_CACHEMAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run holds in memory, whatever its chunk size.

    bands, itemsize: of the scene as it is stored; seen_px: of the largest view of a window; channels: of the network's
    answer; reducing_bytes, leaving_bytes: of a pixel while sums become layers, and of its layers while they are
    encoded; layer_bytes: of a pixel in all layers of a part; batch: windows per network call; lanes: calls at once;
    answers: views and members that are averaged; images: differently normalised ones; weights_bytes: of all members,
    while they are loaded; table_bytes: of a detection in a chunk's tables; call_bytes: inside the network, as
    ``Backend.peak_bytes`` says of a batch; spared_bytes: of libraries that the process does without.
    """

    grid: WindowGrid
    resampling: Resampling
    bands: int
    itemsize: int
    seen_px: int
    channels: int
    reducing_bytes: int
    leaving_bytes: int
    layer_bytes: int
    batch: int
    lanes: int
    call_bytes: int
    answers: int = 1
    images: int = 1
    weights_bytes: int = 0
    table_bytes: int = 0
    spared_bytes: int = 0

    @property
    def base_bytes(self) -> int:
        """What the process holds with its networks, before the first pixel."""
        return BASE_BYTES - self.spared_bytes + self.weights_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Projected peak memory of a process in bytes, by what takes it; it holds for the strip that needs most.

    busy: network calls, and beside them the most of an image while it is prepared and of rows being finished.
    """

    base: int
    read_block: int = 0
    prefetched_block: int = 0
    image: int = 0
    sums: int = 0
    busy: int = 0
    outputs: int
    encoder: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(getattr(self, part.name) for part in fields(self))


def projected_bytes(load: Load, chunk_px: int) -> MemoryPlan:
    """Return the memory that chunks of ``chunk_px`` pixels of the scene take: an upper bound.

    | part | bytes | reason |
    |---|---|---|
    | base | BASE_BYTES - spared_bytes + weights_bytes | the process with its networks, before the first pixel |
    | read_block | 2 x source px x (stored + 1) | stored = bands x itemsize, and the mask; of this strip and the next |
    | prefetched_block | source px x (2 x stored + bands + 3) | of the one after, the reader's own copy and masks |
    | image | 2 x seen px x (4 x bands x images + 1) | float32 on the working grid, and the mask, of both |
    | sums | 2 x sums px x (4 x channels + 1) | uint32 and validity, of this strip and the one before |
    | busy: image | seen px x 4 x bands | once more while it is scaled |
    | busy: network | calls x batch px x 4 x (bands + 2 x channels) | inputs, answers, integers; calls = |
    | | | lanes + WAITING_CALLS + answers |
    | | (1, or 3 of several answers) x batch px x 4 x channels | integers of the batch before, and of a mean in work |
    | | window px x 4 x channels | integers of a window that is handed to or by another chunk |
    | | lanes x (call_bytes + LANE_BYTES) | inside the network |
    | busy: finishing | row px x reducing_bytes | layers, masks and decisions beside them |
    | | row px x (4 x channels + 1) | sums brought to the scene's grid, where it is another |
    | outputs | row px x leaving_bytes | rows that are being encoded |
    | encoder | 2 x 512 rows x width x layer_bytes | rows of tiles that are not full, of all levels |
    | | chunk px x layer_bytes x 4/3 | tiles that do not compress |
    | | 2 x chunk px x table_bytes / DETECTION_PX | tables of detections, and their bytes |
    | | GDAL_CACHE_BYTES | GDAL's block cache |
    """
    source, seen, sums, rows, width = _largest(load, chunk_px)
    stored = load.bands * load.itemsize
    batch_px = load.batch * load.seen_px
    resampled = 0 if load.resampling.is_identity else rows * (4 * load.channels + 1)
    encoded_px = width * (2 * TILE_PX + min(chunk_px, load.resampling.scene_shape[0]) * 4 // 3)
    return MemoryPlan(
        base=load.base_bytes,
        read_block=2 * source * (stored + 1),
        prefetched_block=source * (2 * stored + load.bands + 3),
        image=2 * seen * (4 * load.bands * load.images + 1),
        sums=2 * sums * (4 * load.channels + 1),
        busy=(load.lanes + WAITING_CALLS + load.answers) * batch_px * 4 * (load.bands + 2 * load.channels)
        + ((1 if load.answers == 1 else 3) * batch_px + prod(load.grid.window_shape)) * 4 * load.channels
        + load.lanes * (load.call_bytes + LANE_BYTES)
        + max(seen * 4 * load.bands, rows * load.reducing_bytes + resampled),
        outputs=rows * load.leaving_bytes,
        encoder=encoded_px * load.layer_bytes
        + 2 * width * min(chunk_px, load.resampling.scene_shape[0]) * load.table_bytes // DETECTION_PX
        + GDAL_CACHE_BYTES,
    )


def finishing_bytes(shape: tuple[int, int], *, chunk_px: int, layer_bytes: int, classes: int) -> MemoryPlan:
    """Return the memory that it takes to put the parts of a scene together, without a network: an upper bound.

    | part | bytes | reason |
    |---|---|---|
    | base | PLAIN_BASE_BYTES | the process without a network |
    | outputs | 2 x 512 rows x width x layer_bytes | a row of tiles that do not compress, read and checked |
    | | 4 x classes x height x chunks in a row | how many pixels of each class a row of a part has |
    | encoder | GDAL_CACHE_BYTES | GDAL's block cache |
    """
    height, width = shape
    outputs = 2 * TILE_PX * width * layer_bytes + 4 * classes * height * len(cuts(width, chunk_px))
    return MemoryPlan(base=PLAIN_BASE_BYTES, outputs=outputs, encoder=GDAL_CACHE_BYTES)


# Bytes of a pixel that a stage of objects reads: grouped, where all are things; numbered; drawn.
GROUP_BYTES_PER_PX, NUMBER_BYTES_PER_PX, OUTLINE_BYTES_PER_PX = 120, 20, 40
OBJECT_PX = 200  # pixels of a scene for each object in it: more of them exceed the plan, by 2 x row_bytes each


def object_bytes(
    shape: tuple[int, int], *, lanes: int, chunk_px: int, tile_px: int, halo_px: int, row_bytes: int, base_bytes: int
) -> dict[str, int]:
    """Return the memory that each stage takes in which objects are found, with ``lanes`` tiles at once.

    row_bytes: of an object in the table of all, which is held twice while it is put together.

    | stage | bytes | reason |
    |---|---|---|
    | all | base_bytes + GDAL_CACHE_BYTES + 2 x row_bytes x scene px / OBJECT_PX | the process, and the table |
    | group | lanes x (tile + 2 x halo)² px x GROUP_BYTES_PER_PX | layers, and what each pixel belongs to |
    | number | lanes x 512 rows x chunk x (NUMBER_BYTES_PER_PX + 2 x 4) | ids, and rows of tiles |
    | | lanes x chunk px x 4 x 4/3 | tiles that do not compress |
    | outline | lanes x (tile + 2 x halo)² px x OUTLINE_BYTES_PER_PX | ids, their runs and corners |
    """
    height, width = shape
    always = base_bytes + GDAL_CACHE_BYTES + 2 * row_bytes * height * width // OBJECT_PX
    read_px = min(tile_px + 2 * halo_px, height) * min(tile_px + 2 * halo_px, width)
    across, down = min(chunk_px, width), min(chunk_px, height)
    numbered = TILE_PX * across * (NUMBER_BYTES_PER_PX + 2 * 4) + across * down * 4 * 4 // 3
    return {
        "group": always + lanes * read_px * GROUP_BYTES_PER_PX,
        "number": always + lanes * numbered,
        "outline": always + lanes * read_px * OUTLINE_BYTES_PER_PX,
    }


DETECTION_PX = 100  # pixels of a scene for each detection: two of an object
DETECTION_BYTES = 112  # of one in a table
MASK_BYTES = 600  # of one whose mask is in work, as bytes and packed
PAINT_BYTES_PER_PX = 80


def detection_bytes(
    shape: tuple[int, int], *, lanes: int, chunk_px: int, tile_px: int, row_px: int, row_bytes: int, base_bytes: int
) -> dict[str, int]:
    """Return the memory that each stage takes in which detections become objects, with ``lanes`` tiles at once.

    row_px: pixels of a row of windows and of those that reach into it; otherwise as ``object_bytes``.

    | stage | bytes | reason |
    |---|---|---|
    | all | base_bytes + GDAL_CACHE_BYTES + 3 x DETECTION_BYTES x scene px / DETECTION_PX | tables, and what meets |
    | | 2 x row_bytes x scene px / OBJECT_PX | the table of objects |
    | merge | lanes x row px / DETECTION_PX x (DETECTION_BYTES + MASK_BYTES) | the detections of rows of windows |
    | paint | lanes x tile px x (PAINT_BYTES_PER_PX + MASK_BYTES / DETECTION_PX) | objects, and their masks |
    | number, outline | as objects | |
    """
    height, width = shape
    tables = 3 * DETECTION_BYTES * height * width // DETECTION_PX
    later = object_bytes(
        shape, lanes=lanes, chunk_px=chunk_px, tile_px=tile_px, halo_px=tile_px // 4, row_bytes=row_bytes,
        base_bytes=base_bytes + tables,
    )  # fmt: skip
    always = base_bytes + tables + GDAL_CACHE_BYTES + 2 * row_bytes * height * width // OBJECT_PX
    tile = min(tile_px, height) * min(tile_px, width)
    return {
        "merge": always + lanes * row_px * (DETECTION_BYTES + MASK_BYTES) // DETECTION_PX,
        "paint": always + lanes * tile * (PAINT_BYTES_PER_PX + MASK_BYTES // DETECTION_PX),
        "number": later["number"],
        "outline": later["outline"],
    }


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
    """Return the largest (source, seen, sums, leaving) pixels of any strip, and a chunk's largest width.

    Lengths along rows and columns are independent of each other, so the first column and the first row of the scene's
    pixels tell all.
    """
    height, width = load.resampling.scene_shape
    down = [Box(lo, 0, hi, 1) for lo, hi in cuts(height, chunk_px)]
    across = [Box(0, lo, 1, hi) for lo, hi in cuts(width, chunk_px)]
    row_lengths = [
        (s.pixels.shape[0], s.seen.shape[0], s.sums.shape[0], s.rows[1] - s.rows[0])
        for box in down
        for s in strips(load.grid, load.resampling, box)
    ]
    col_lengths = [
        (s.pixels.shape[1], s.seen.shape[1], s.sums.shape[1], box.shape[1])
        for box in across
        for s in strips(load.grid, load.resampling, box)[-1:]  # the last one leaves rows: its pixels hold the chunk's
    ]
    rows = [max(column) for column in zip(*row_lengths, strict=True)]
    cols = [max(column) for column in zip(*col_lengths, strict=True)]
    source, seen, sums, leaving = (a * b for a, b in zip(rows, cols, strict=True))
    return source, seen, sums, leaving, cols[-1]
