"""The one task: a chunk's pixels in, its layers out. Pure, stateless, and the same bytes wherever it runs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

import numpy as np
from numpy.typing import NDArray

from geoseg.engine.job import Job
from geoseg.engine.views import VIEWS
from geoseg.grid import Box
from geoseg.io.source import read
from geoseg.polygons.runs import threshold_byte
from geoseg.raster import Raster
from geoseg.tiling.blend import Finished, accumulate, finish, mean_members, quantise, to_bytes
from geoseg.tiling.resample import resample_counts, resample_valid, source_box

INTERIOR = "interior"  # the channel of building models that tells touching buildings apart, and its layer
Windows = NDArray[np.float32]  # (B, C, h, w)
Forward = Callable[[Windows], NDArray[np.float32]]  # -> (B, K, h, w) probabilities
ForwardAll = Callable[[Iterable[Windows]], Iterator[NDArray[np.float32]]]  # keeps the order


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What became of a chunk: the windows run and skipped, valid pixels, and pixels per class id."""

    id: str
    box: Box
    windows: int
    skipped: int
    valid_px: int
    class_px: dict[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkResult:
    """A chunk's layers, each (h, w) uint8 by name, and its record."""

    layers: dict[str, NDArray[np.uint8]]
    record: ChunkRecord


def needed_boxes(job: Job, chunk: Box) -> tuple[Box, Box, Box]:
    """Return (scene pixels to read, working pixels the windows see, working pixels to blend) for a chunk."""
    blended = source_box(job.resampling.to_scene(chunk))
    seen = job.windows.read_box(blended)
    pixels = source_box(job.resampling.to_working(seen))
    return _hull(pixels, chunk), seen, blended


def read_chunk(job: Job, chunk: Box) -> Raster:
    """Read all scene pixels that a chunk needs."""
    return read(job.scene, needed_boxes(job, chunk)[0])


def compute_chunk(job: Job, chunk_id: str, chunk: Box, *, block: Raster, forward_all: ForwardAll) -> ChunkResult:
    """Turn the block that ``read_chunk`` gave into the chunk's layers.

    Each pixel of the working grid gets the integer sum of its windows' weighted probabilities, whatever the chunk.
    """
    pixels, seen, blended = needed_boxes(job, chunk)
    image, usable = _network_input(job, block, pixels, seen)
    acc = np.zeros((len(job.bundle.spec.channels), *blended.shape), np.uint32)
    every = job.windows.windows(blended)
    windows = [w for w in every if _counts(job, w, usable, seen)]
    batches = list(batched(windows, job.batch))
    views = VIEWS[job.tta]
    stacks = (_stack(job, group, image, seen) for group in batches)
    answers = forward_all(view.apply(stack) for stack in stacks for view in views)
    for group in batches:
        members = [quantise(view.undo(next(answers))) for view in views]
        for window, probs in zip(group, mean_members(members), strict=False):  # the last batch is padded
            accumulate(acc, blended, probs=probs, window=window, weights=job.windows.weights(window))
    valid = block.valid[chunk.within(pixels)]
    acc, known = _to_scene(job, acc, usable[blended.within(seen)], chunk)
    layers = _layers(job, acc, valid & known)
    class_px = {c.id: int(np.count_nonzero(layers["classes"] == c.id)) for c in job.bundle.spec.classes}
    record = ChunkRecord(
        id=chunk_id,
        box=chunk,
        windows=len(windows),
        skipped=len(every) - len(windows),
        valid_px=sum(class_px.values()),
        class_px=class_px,
    )
    return ChunkResult(layers, record)


def _network_input(job: Job, block: Raster, pixels: Box, seen: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the normalised image (C, h, w) of the working box, 0 where invalid, and its validity."""
    taps = job.resampling.to_working(seen)
    part = source_box(taps).within(pixels)
    image, usable = resample_valid(block.data[:, *part], block.valid[part], taps)
    normal = job.bundle.spec.normalisation
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (normal.mean, normal.std))
    image = job.scene.physical(image)
    image -= mean
    image /= std
    image[:, ~usable] = 0
    return image, usable


def _counts(job: Job, window: Box, usable: NDArray[np.bool_], seen: Box) -> bool:
    """Whether any valid pixel lies where the window weighs something; decided per window, so every chunk agrees."""
    rows, cols = job.windows.weights(window)
    inside = window.clip(Box(0, 0, *job.resampling.working_shape))
    assert inside is not None  # windows start inside the scene
    part = usable[inside.within(seen)]
    height, width = inside.shape
    return bool(part[np.ix_(rows[:height] > 0, cols[:width] > 0)].any())


def _stack(job: Job, group: Sequence[Box], image: NDArray[np.float32], seen: Box) -> Windows:
    """Cut windows out of the image, mirrored beyond the scene's far edges, into a batch of fixed size."""
    out = np.zeros((job.batch, len(image), *group[0].shape), np.float32)
    for slot, window in zip(out, group, strict=False):
        rows = job.windows.rows.fold(np.arange(window.row0, window.row1)) - seen.row0
        cols = job.windows.cols.fold(np.arange(window.col0, window.col1)) - seen.col0
        slot[:] = image[:, rows[:, None], cols]
    return out


def _to_scene(
    job: Job, acc: NDArray[np.uint32], usable: NDArray[np.bool_], chunk: Box
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Bring blended working pixels to the chunk's scene pixels."""
    if job.resampling.is_identity:
        return acc, usable
    return resample_counts(acc, usable, job.resampling.to_scene(chunk))


def _layers(job: Job, acc: NDArray[np.uint32], valid: NDArray[np.bool_]) -> dict[str, NDArray[np.uint8]]:
    """Return the layers the job asks for, by name."""
    spec = job.bundle.spec
    done = finish(acc, valid, class_of_channel=spec.class_of_channel, class_ids=[c.id for c in spec.classes])
    if spec.polygon_class is not None and len(spec.classes) == 2:
        done = _by_threshold(job, done)
    every = {"classes": done.classes, "confidence": done.confidence}
    every |= {probability_layer(c.name): p for c, p in zip(spec.classes, done.probabilities, strict=True)}
    if INTERIOR in job.layers:
        every[INTERIOR] = to_bytes(acc[[c.name for c in spec.channels].index(INTERIOR)], valid)
    return {name: every[name] for name in job.layers}


def _by_threshold(job: Job, done: Finished) -> Finished:
    """Decide a two-class map by the polygon class's probability byte: raster and polygons then agree to the pixel."""
    spec = job.bundle.spec
    position = [c.name == spec.polygon_class for c in spec.classes].index(True)
    target, other = spec.classes[position], spec.classes[1 - position]
    inside = done.probabilities[position] >= threshold_byte(job.threshold)
    classes = np.where(inside, np.uint8(target.id), np.uint8(other.id)) * (done.classes > 0)
    confidence = np.where(inside, done.probabilities[position], done.probabilities[1 - position])
    return Finished(classes, confidence, done.probabilities)


def probability_layer(class_name: str) -> str:
    """Return the name of the layer that holds p(class)."""
    return f"probability_{class_name}"


def _hull(a: Box, b: Box) -> Box:
    return Box(min(a.row0, b.row0), min(a.col0, b.col0), max(a.row1, b.row1), max(a.col1, b.col1))
