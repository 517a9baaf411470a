"""Calibration windows: what a network sees of a scene, exactly as a run would show it; exports are measured on them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.executors.base import Platform
from geoseg.jobs.chunk import ChunkWalk
from geoseg.jobs.job import Job
from geoseg.jobs.plan import make_job
from geoseg.models.backends.base import Answer, Windows
from geoseg.models.bundle import ModelBundle
from geoseg.models.calibration import of_size
from geoseg.options.run import RunOptions
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box

if TYPE_CHECKING:
    from geoseg.models.border import BorderProfile

MOST = 16  # windows
MOST_OF_BORDER = 4  # windows by which the border profile is measured: each is run twice


def windows_of(scene: Scene, bundle: ModelBundle, *, most: int = MOST) -> NDArray[np.float32]:
    """Return windows from all over a scene as the network sees them, (N, C, h, w); those without a pixel are left out.

    Raises InputError where the scene is not for the model, or holds no valid pixel.
    """
    nowhere = Platform("cpu", "fp32", "")
    job = make_job(scene, [bundle], platform=nowhere, chunk_px=1, options=RunOptions(batch=1, tta="none"))
    found = [window for box in _places(job, most) for window in _seen(job, box)[:1]]
    if not found:
        raise InputError(f"{scene.name}: holds no valid pixel in {most} windows from all over it; take another scene")
    return of_size(np.stack(found), bundle.spec.window_px)


def border_of(bundle: ModelBundle, scenes: Sequence[Scene]) -> "BorderProfile | None":
    """Return a bundle's border profile on windows of scenes that it suits; None as ``border.measure`` says."""
    from geoseg.models.border import measure  # torch

    most = max(1, MOST_OF_BORDER // len(scenes))
    return measure(bundle, np.concatenate([windows_of(scene, bundle, most=most) for scene in scenes]))


def _places(job: Job, most: int) -> Iterator[Box]:
    """Yield one pixel of the scene in the middle of each of up to ``most`` windows."""
    grid, (height, width) = job.windows, job.scene.grid.shape
    for number in np.linspace(0, grid.count - 1, min(most, grid.count)).astype(int).tolist():
        row, col = (
            min(axis.start(i) + axis.window // 2, axis.size - 1)
            for axis, i in zip((grid.rows, grid.cols), divmod(number, grid.cols.count), strict=True)
        )
        row, col = row * height // grid.rows.size, col * width // grid.cols.size
        yield Box(row, col, row + 1, col + 1)


def _seen(job: Job, box: Box) -> list[NDArray[np.float32]]:
    """Return the windows (C, h, w) that a run would show the network for a box of the scene."""
    kept: list[NDArray[np.float32]] = []

    def keep(batches: Iterable[tuple[int, Windows]]) -> Iterator[Answer]:
        for _, windows in batches:
            kept.append(windows[0])
            yield Answer(np.zeros((1, job.spec.out_channels, *windows.shape[2:]), np.float32))

    walk = ChunkWalk(job, "", box)
    for strip in walk.strips:
        walk.advance(strip, walk.read(strip), keep)
    return kept
