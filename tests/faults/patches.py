"""What goes wrong inside a process: each call makes this process worse, before it does what it is started for."""

import os
import resource
import shutil
import signal
import sys
import time
from collections import namedtuple
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.models.backends.base import Answer
from geoseg.values.box import Box

MARK = 255  # the red of one pixel of the scene, in the middle of a chunk: networks that raise look for it
MEAN, STD = 80.0, 40.0  # the normalisation of the model
Moment = tuple[str, str]  # an audit event of Python and a pattern of the path it tells of


class BrightIsBuilding:
    """Takes the place of every network: pixels decide alone, and no time is spent but a pause for each call."""

    pause_s = 0.0

    def __init__(self, _bundle: object, *, device: str, precision: str) -> None:
        pass

    def load(self) -> None:
        pass

    def identity(self) -> str:
        return "cpu"

    def peak_bytes(self, _shape: object) -> int:
        return 0

    def __call__(self, windows: NDArray[np.float32]) -> Answer:
        time.sleep(self.pause_s)
        light = np.clip(windows[:, 0] / 4 + np.float32(0.4), 0, 1)
        return Answer(np.stack([1 - light, light * np.float32(0.9), light * np.float32(0.1)], 1))


class Fragile(BrightIsBuilding):
    """Raises where it sees the mark, as long as a file is not there, which it may write itself."""

    healed: Path
    heals = False

    def __call__(self, windows: NDArray[np.float32]) -> Answer:
        if not self.healed.exists() and (windows[:, 0] > (MARK - 0.5 - MEAN) / STD).any():
            if self.heals:
                self.healed.touch()
            raise RuntimeError("the network does not like this window")
        return super().__call__(windows)


def others_fill_the_disk() -> None:
    """Let the disk look free before the run: what fills it comes later."""
    free = namedtuple("free", "total used free")(2**50, 0, 2**50)
    shutil.disk_usage = lambda _: free


def network(kind: type[BrightIsBuilding] = BrightIsBuilding, **settings: object) -> None:
    """Run a stand-in instead of any network."""
    from geoseg.models.backends import torch as backends

    for name, value in settings.items():
        setattr(kind, name, value)
    backends.TorchBackend = kind  # type: ignore[assignment, misc]


def slow_reading(pause_s: float, told: Path) -> None:
    """Let polygons wait for every tile they read, and write when the first was asked for."""
    from geoseg.outputs.probabilities import ProbabilityBands

    read = ProbabilityBands.__call__

    def slow(self: ProbabilityBands, box: Box) -> object:
        told.touch()
        time.sleep(pause_s)
        return read(self, box)

    ProbabilityBands.__call__ = slow  # type: ignore[method-assign, assignment]


def smaller_tiles(tile_px: int) -> None:
    """Draw polygons in small tiles, so that a small raster has several."""
    from geoseg.vector.tiles import draw as buildings

    buildings.Drawing.__init__.__kwdefaults__["tile_px"] = tile_px


def other_version() -> None:
    """Be another geoseg."""
    import geoseg
    from geoseg.executors import worker
    from geoseg.jobs import job

    for module in (geoseg, job, worker):
        module.__version__ = "0.0.9"


def dask_settings(**settings: object) -> None:
    """Set Dask's configuration, as its files and variables would."""
    import dask

    dask.config.set({name.replace("__", ".").replace("_", "-"): value for name, value in settings.items()})


def small_files(most_bytes: int) -> None:
    """Let no file grow beyond ``most_bytes``, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def die_at(moments: Sequence[Moment]) -> None:
    """Be killed just before the last of these file operations, once the others have happened in this order."""
    left = list(moments)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if left and event == left[0][0] and fnmatch(_path(event, arguments), left[0][1]):
            left.pop(0)
            if not left:
                _die()

    sys.addaudithook(watch)


def die_at_operation(number: int, folder: Path, counted: Path | None = None) -> None:
    """Be killed just before the ``number``-th file operation in a folder; ``counted`` gets a line for each before."""
    done = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in OPERATIONS and _path(event, arguments).startswith(str(folder)):
            if done == number:
                _die()
            done += 1
            if counted is not None:
                os.write(handle, f"{event} {_path(event, arguments)}\n".encode())

    handle = -1 if counted is None else os.open(counted, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(watch)


OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def _path(event: str, arguments: tuple[object, ...]) -> str:
    return str(arguments[1 if event == "os.rename" else 0])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
