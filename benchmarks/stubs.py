"""Networks that cost nothing, or a known time, and a task around them; a module of its own, so that workers find it."""

import time
from functools import partial
from pathlib import Path

import numpy as np

from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import Job
from geoseg.models.backends.base import Answer
from geoseg.models.bundle import ModelBundle
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation, Weights
from geoseg.values.bands import BandSet
from geoseg.values.classes import BUILDING_CLASSES

SPEC = ModelSpec(
    name="stub",
    arch=Architecture(name="compact-unet", options={"widths": [8]}),
    bands=BandSet.parse("red,green,blue").bands,
    gsd_m=None,
    normalisation=Normalisation(mean=(100.0,) * 3, std=(50.0,) * 3),
    window_px=512,
    outputs=(Output(channels=(Channel(name="background", class_id=1), Channel(name="building", class_id=2))),),
    classes=BUILDING_CLASSES,
    polygon_class="building",
)
BUNDLE = ModelBundle(str(Path(__file__).parent), SPEC, Weights(sha256="", bytes=0), "stub")


def answer(seconds: float, _member: int, windows: np.ndarray) -> Answer:
    """Sleep, then answer by the first band alone."""
    time.sleep(seconds)
    inside = np.clip(windows[:, :1] / 4 + 0.5, 0, 1)
    return Answer(np.concatenate([1 - inside, inside], 1))


def network(seconds: float, _job: Job):
    """Return the network; ``partial(network, s)`` can be pickled."""
    return partial(answer, seconds)


def task(job: Job, folder: Path, *, seconds: float = 0.0) -> ChunkTask:
    """Return a task that runs the stub and writes parts to ``folder``."""
    work = JobFolder(folder)
    with work.locked():
        work.adopt(job, fresh=True, config=None)
    return ChunkTask(job, partial(network, seconds), work)
