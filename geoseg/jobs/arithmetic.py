"""Arithmetic: what a chunk's walk computes with its pixels, and where: here in numpy, or on a GPU (``jobs.on_device``).

Images, sums and answers are of the arithmetic's own kind of array; masks, weights and finished rows are numpy's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.job import Job
from geoseg.models.backends.base import Windows
from geoseg.models.derived import with_derived
from geoseg.models.spec import Normalisation
from geoseg.tasks.base import Rows
from geoseg.tiling.blend import accumulate, mean_members, quantise
from geoseg.tiling.normalise import normalise
from geoseg.tiling.resample import resample_counts, resample_valid
from geoseg.tiling.taps import Taps, source_box
from geoseg.tiling.views import View
from geoseg.values.box import Box
from geoseg.values.raster import Raster

Weights = tuple[NDArray[np.uint16], NDArray[np.uint16]]
Mask = NDArray[np.bool_]


class Arithmetic(Protocol):
    """What is computed with the pixels of a strip; K: blended channels."""

    def blending(self) -> AbstractContextManager[None]:
        """Hold what is done to sums meanwhile in one order."""
        ...

    def images(self, job: Job, block: Raster, pixels: Box, seen: Box) -> tuple[list[Any], Mask]:
        """See ``seen_images``."""
        ...

    def windows(self, job: Job, group: Sequence[Box], image: Any, seen: Box) -> Iterator[Windows]:
        """Yield each view of a batch of windows of an image of the box ``seen``."""
        ...

    def zeros(self, channels: int, shape: tuple[int, int]) -> Any:
        """Return sums of nothing, (K, h, w)."""
        ...

    def integers(self, values: Any, view: View, vectors: Sequence[slice]) -> Any:
        """Return the answer (B, K, h, w) to a view of windows as the windows' own integers."""
        ...

    def mean(self, members: Sequence[Any]) -> Any:
        """Return the mean of several answers, see ``mean_members``."""
        ...

    def add(self, sums: Any, box: Box, probs: Any, window: Box, weights: Weights) -> None:
        """Add a window's integers, weighted, to the sums over ``box``."""
        ...

    def fetched(self, probs: Any, part: tuple[slice, slice]) -> NDArray[np.uint32]:
        """Return a part of a window's integers, (K, h, w), to be handed on."""
        ...

    def placed(self, probs: NDArray[np.uint32]) -> Any:
        """Return what was handed on, where it is added."""
        ...

    def to_scene(self, sums: Any, known: Mask, taps: tuple[Taps, Taps]) -> tuple[Any, Mask]:
        """Return sums and what is known of them on the scene's grid."""
        ...

    def rows(self, sums: Any, valid: Mask, job: Job) -> Rows:
        """Return the job's layers of sums, nodata where not valid."""
        ...


class Numpy:
    """In this machine's memory, in loops that are compiled."""

    def blending(self) -> AbstractContextManager[None]:
        """See ``Arithmetic``."""
        return nullcontext()

    def images(self, job: Job, block: Raster, pixels: Box, seen: Box) -> tuple[list[Any], Mask]:
        """See ``Arithmetic``."""
        return seen_images(job, block, pixels, seen)

    def windows(self, job: Job, group: Sequence[Box], image: Any, seen: Box) -> Iterator[Windows]:
        """See ``Arithmetic``."""
        batch = stack(job, group, image, seen)
        for view in job.views:
            yield view.apply(batch)

    def zeros(self, channels: int, shape: tuple[int, int]) -> Any:
        """See ``Arithmetic``."""
        return np.zeros((channels, *shape), np.uint32)

    def integers(self, values: Any, view: View, vectors: Sequence[slice]) -> Any:
        """See ``Arithmetic``."""
        said = quantise(view.undo(values))
        for own in vectors:
            said[:, own] = np.stack(view.undo_vectors(said[:, own.start], said[:, own.start + 1]), 1)
        return said

    def mean(self, members: Sequence[Any]) -> Any:
        """See ``Arithmetic``."""
        return mean_members(members)

    def add(self, sums: Any, box: Box, probs: Any, window: Box, weights: Weights) -> None:
        """See ``Arithmetic``."""
        accumulate(sums, box, probs=probs, window=window, weights=weights)

    def fetched(self, probs: Any, part: tuple[slice, slice]) -> NDArray[np.uint32]:
        """See ``Arithmetic``."""
        said: NDArray[np.uint32] = probs[:, *part]
        return said

    def placed(self, probs: NDArray[np.uint32]) -> Any:
        """See ``Arithmetic``."""
        return probs

    def to_scene(self, sums: Any, known: Mask, taps: tuple[Taps, Taps]) -> tuple[Any, Mask]:
        """See ``Arithmetic``."""
        return resample_counts(sums, known, taps)

    def rows(self, sums: Any, valid: Mask, job: Job) -> Rows:
        """See ``Arithmetic``."""
        return job.task.reduce(sums, valid, job)


NUMPY = Numpy()


def arithmetic_of(job: Job) -> Arithmetic:
    """Return what computes with a job's pixels: the GPU on which torch runs its networks, unless these detect."""
    by_torch = job.platform.device == "cuda" and {*job.platform.backends} == {"torch"}
    if not by_torch or job.spec.objects is not None:
        return NUMPY
    from geoseg.jobs.on_device import OnDevice

    return OnDevice("cuda:0")


def seen_images(job: Job, block: Raster, pixels: Box, seen: Box) -> tuple[list[NDArray[np.float32]], Mask]:
    """Return the working pixels ``seen`` as each member wants them normalised, (C, h, w), and which are valid.

    block: the scene's pixels in the box ``pixels``, which hold all that the others are made of.
    """
    image, usable, inputs = physical_pixels(job, block, pixels, seen)
    return of_members(job, lambda normal: normalised(image, usable, normal, inputs)), usable


def of_members[T](job: Job, make: Callable[[Normalisation], T]) -> list[T]:
    """Return what is made for each member's normalisation; for equal ones it is made once."""
    wanted, done = [bundle.spec.normalisation for bundle in job.bundles], list[T]()
    for i, normal in enumerate(wanted):
        done.append(done[wanted.index(normal)] if normal in wanted[:i] else make(normal))
    return done


def physical_pixels(
    job: Job, block: Raster, pixels: Box, seen: Box
) -> tuple[NDArray[np.float32], Mask, tuple[int, ...]]:
    """Return the working pixels ``seen`` as physical values, which are valid, and the input channel each band is."""
    taps = job.resampling.to_working(seen)
    part = source_box(taps).within(pixels)
    data, usable = block.data[:, *part], block.valid[part]
    if job.resampling.is_identity:
        image = data.astype(np.float32)
        if not usable.all():
            image[:, ~usable] = 0  # no NaN of theirs goes into what is derived
    else:
        image, usable = resample_valid(data, usable, taps)
    image = job.scene.physical(image)
    image, inputs = with_derived(image, job.scene.bands, job.spec.band_set, job.spec.derived)
    return image, usable, inputs


def normalised(
    image: NDArray[np.float32], usable: Mask, normal: Normalisation, inputs: Sequence[int]
) -> NDArray[np.float32]:
    """Return (C, h, w) physical values as a network asks for them, 0 where not usable.

    inputs: the input channel that each band of the image is; channels that none is stay 0, their mean.
    """
    mean, std = (np.array(v, np.float32)[list(inputs)] for v in (normal.mean, normal.std))
    held = normalise(image, usable, mean=mean, std=std)
    if len(held) == len(normal.mean):
        return held
    out = np.zeros((len(normal.mean), *usable.shape), np.float32)
    out[list(inputs)] = held
    return out


def places(job: Job, window: Box, seen: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the box ``seen`` that a window shows, mirrored beyond the scene's far edges."""
    rows = job.windows.rows.fold(np.arange(window.row0, window.row1)) - seen.row0
    return rows, job.windows.cols.fold(np.arange(window.col0, window.col1)) - seen.col0


def stack(job: Job, group: Sequence[Box], image: NDArray[np.float32], seen: Box) -> Windows:
    """Cut windows out of the image, mirrored beyond the scene's far edges, into a batch of fixed size."""
    out = np.empty((job.batch, len(image), *group[0].shape), np.float32)
    out[len(group) :] = 0
    for slot, window in zip(out, group, strict=False):
        if window.clip(seen) == window:
            slot[:] = image[:, *window.within(seen)]
            continue
        rows, cols = places(job, window, seen)
        first, end = cols.min(), cols.max() + 1
        np.take(np.take(image[:, :, first:end], rows, axis=1), cols - first, axis=2, out=slot, mode="clip")
    return out
