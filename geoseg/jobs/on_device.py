"""The arithmetic of a chunk's walk on a GPU: stored pixels go up, bytes come down, the rest stays there.

Three streams work side by side: one brings pixels up, normalises them and cuts windows; the default one runs the
networks; one adds their answers up, decides and brings bytes down. So a GPU need not wait for a strip's bytes before it
goes on with the next strip. The numbers are those of ``jobs.arithmetic.Numpy``, to the bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.device.blending import accumulate, finish, integers, mean_members, resampled, shown, to_bytes
from geoseg.device.pixels import cut, means, normalised, physical, spread
from geoseg.device.ready import Ready, Stream, downloaded, on_stream, uploaded
from geoseg.errors import ModelError
from geoseg.jobs.arithmetic import Mask, Weights, of_members, physical_pixels, places
from geoseg.jobs.job import Job
from geoseg.models.backends.base import Windows
from geoseg.models.spec import Normalisation
from geoseg.tasks.base import Rows
from geoseg.tiling.blend import NAN, Finished
from geoseg.tiling.resample import resample_counts
from geoseg.tiling.taps import Taps, source_box
from geoseg.tiling.views import View
from geoseg.values.box import Box
from geoseg.values.raster import Raster

MOST_TAPS = 8  # along an axis: pixels that are more of others are made here, where that is one loop


class Streams(NamedTuple):
    """What a GPU does beside its networks; None on the CPU."""

    up: Stream | None
    down: Stream | None


@cache
def streams_of(device: torch.device) -> Streams:
    """Return a device's streams, which all chunks of a process share."""
    if device.type != "cuda":
        return Streams(None, None)
    return Streams(torch.cuda.Stream(device), torch.cuda.Stream(device))


class OnDevice:
    """See ``Arithmetic``; one for each chunk."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.streams = streams_of(self.device)
        self._broken: Tensor | None = None  # whether a network answered NaN

    def blending(self) -> AbstractContextManager[None]:
        """See ``Arithmetic``."""
        return on_stream(self.streams.down)

    def images(self, job: Job, block: Raster, pixels: Box, seen: Box) -> tuple[list[Any], Mask]:
        """See ``seen_images``; pixels go up as they are stored where no channel is derived and few make one."""
        taps = job.resampling.to_working(seen)
        spec, fine = job.spec, max(one.index.shape[1] for one in taps) <= MOST_TAPS
        with on_stream(self.streams.up):
            if spec.derived or not fine:
                values, usable, inputs = physical_pixels(job, block, pixels, seen)
                image, known = uploaded(values, self.device), uploaded(usable, self.device)
            else:
                part = source_box(taps).within(pixels)
                image, known = uploaded(block.data[:, *part], self.device), uploaded(block.valid[part], self.device)
                usable = block.valid[part]
                if job.resampling.is_identity:
                    image = image.float()
                else:
                    image, known = means(image, known, taps, torch.float32)
                    usable = downloaded(known)
                sources = job.scene.sources
                image = physical(image, *zip(*((s.scale, s.offset, s.limits) for s in sources), strict=True))
                inputs = tuple(i for i, band in enumerate(spec.band_set) if band.name in job.scene.bands.names)
                image = image[[job.scene.bands.names.index(spec.band_set.names[i]) for i in inputs]]

            def of(normal: Normalisation) -> Tensor:
                mean, std = ([values[at] for at in inputs] for values in (normal.mean, normal.std))
                return spread(normalised(image, known, mean, std), inputs, len(normal.mean))

            return of_members(job, of), usable

    def windows(self, job: Job, group: Sequence[Box], image: Any, seen: Box) -> Iterator[Windows]:
        """See ``Arithmetic``."""
        with on_stream(self.streams.up):
            batch = torch.zeros((job.batch, len(image), *group[0].shape), device=self.device)
            for slot, window in zip(batch, group, strict=False):
                slot.copy_(cut(image, *places(job, window, seen)))
        for view in job.views:
            with on_stream(self.streams.up):
                ready: Any = Ready.of(shown(view, batch))
            yield ready

    def zeros(self, channels: int, shape: tuple[int, int]) -> Any:
        """See ``Arithmetic``."""
        return torch.zeros((channels, *shape), dtype=torch.int64, device=self.device)

    def integers(self, values: Any, view: View, vectors: Sequence[slice]) -> Any:
        """See ``Arithmetic``."""
        answer = values.taken(self.device)
        broken = answer.isnan().any()
        self._broken = broken if self._broken is None else self._broken | broken
        return integers(answer, view, vectors)

    def mean(self, members: Sequence[Any]) -> Any:
        """See ``Arithmetic``."""
        return mean_members(members)

    def add(self, sums: Any, box: Box, probs: Any, window: Box, weights: Weights) -> None:
        """See ``Arithmetic``."""
        common = window.clip(box)
        if common is not None:
            target, source = common.within(box), common.within(window)
            accumulate(sums[:, *target], probs[:, *source], weights[0][source[0]], weights[1][source[1]])

    def fetched(self, probs: Any, part: tuple[slice, slice]) -> NDArray[np.uint32]:
        """See ``Arithmetic``; the thread waits for the answer, which only windows at borders of chunks ask for."""
        return downloaded(probs[:, *part].contiguous()).astype(np.uint32)

    def placed(self, probs: NDArray[np.uint32]) -> Any:
        """See ``Arithmetic``."""
        return uploaded(probs, self.device)

    def to_scene(self, sums: Any, known: Mask, taps: tuple[Taps, Taps]) -> tuple[Any, Mask]:
        """See ``Arithmetic``."""
        _, usable = resample_counts(np.zeros((0, *known.shape), np.uint32), known, taps)
        return resampled(sums, uploaded(known, self.device), taps), usable

    def rows(self, sums: Any, valid: Mask, job: Job) -> Rows:
        """See ``Arithmetic``; raises ModelError where a network answered NaN."""
        how = job.task.decision(job)
        if how is None:
            rows = job.task.reduce(downloaded(sums).astype(np.uint32), valid, job)
        else:
            known = uploaded(valid, self.device)
            done = finish(
                sums,
                known,
                class_of_channel=how.class_of_channel,
                class_ids=how.class_ids,
                thresholds=how.thresholds,
            )
            beside = [downloaded(to_bytes(sums[at], known)) for at in how.beside]
            rows = how.rows(Finished(*map(downloaded, done)), beside, valid)
        if self._broken is not None and bool(self._broken):
            raise ModelError(NAN)
        return rows
