"""The sums that a run blends, before they are classes: what calibrations are fitted to."""

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from itertools import starmap

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.executors.threads import local_site
from geoseg.jobs.chunk import rows_of
from geoseg.jobs.job import Job
from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import make_job
from geoseg.models.backends import asked, library
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import ModelSpec
from geoseg.options.run import RunOptions
from geoseg.scenes.scene import Scene
from geoseg.tasks.base import Asked, Bytes, Decision, Rows, Task
from geoseg.tasks.semantic import Semantic
from geoseg.tiling.memory import GDAL_CACHE_BYTES
from geoseg.tiling.ramp import FULL
from geoseg.values.box import Box
from geoseg.values.layers import Pixels

SUMS, VALID = "sums", "valid"


class _AsTheyAre(Semantic):
    """The task of keeping sums."""

    def reduce(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> Rows:
        """See ``Task``."""
        own = sums[job.spec.channels_of(job.spec.softmax)]
        return {SUMS: own.copy(), VALID: valid.copy(), job.layers[0].name: np.zeros(valid.shape, np.uint8)}

    def decision(self, job: Asked) -> Decision | None:  # noqa: ARG002
        """See ``Task``."""
        return None

    def bytes_per_px(self, spec: ModelSpec) -> Bytes:
        """See ``Task``."""
        return Bytes(4 * len(spec.channels) + 2, 4 * len(spec.channels) + 2)


class _SumsJob(Job):
    """A job whose rows are sums."""

    @property
    def task(self) -> Task:
        """What the channels become."""
        return _AsTheyAre()

    def blank(self, shape: tuple[int, int]) -> dict[str, Pixels]:
        """Return rows in which nothing is known."""
        sums = np.zeros((len(self.spec.channels), *shape), np.uint32)
        return self.task.reduce(sums, np.zeros(shape, np.bool_), self)


class Blended:
    """A model over a scene, whose blended probabilities are read box by box, as a run of its own options makes them."""

    def __init__(self, scene: Scene, bundles: Sequence[ModelBundle], options: RunOptions | None = None) -> None:
        options = options or RunOptions()
        site = local_site(*asked(bundles, options), lanes=1)
        made = make_job(scene, bundles, platform=site.platform, chunk_px=512, options=options)
        self.job = _SumsJob(**{field.name: getattr(made, field.name) for field in fields(made)})
        self._forward = load_networks(self.job)

    def read(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return p of every channel of the classes (K, h, w) in a box, uncalibrated, and where it is known."""
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), library().one_thread_per_network():
            rows = rows_of(self.job, box, partial(starmap, self._forward))
        sums, valid = np.asarray(rows[SUMS], np.uint32), np.asarray(rows[VALID], np.bool_)
        return (sums / FULL).astype(np.float32), valid
