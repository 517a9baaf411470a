"""A first run in an environment compiles for a while: it says so before, and only where it really compiles."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import shapely
from numba.core import event

from geoseg.values.box import Box
from geoseg.vector.adjacent.limits import Limits
from geoseg.vector.adjacent.short_walls import without_short_walls
from geoseg.vector.footprints.extract import FootprintRules, to_footprints
from geoseg.vector.ground import GroundFrame
from geoseg.vector.tiles.oversized import joined_runs
from geoseg.vector.tiles.tile_borders import tile_border
from geoseg.vector.tiles.tile_task import TileTask, draw_task

log = logging.getLogger(__name__)


@contextmanager
def compiling_told() -> Iterator[None]:
    """Log one line as soon as numba begins to compile what its cache lacks; serves as a decorator too."""
    with event.install_listener("numba:compile", _Told()):
        yield


class _Told(event.Listener):
    """Hears of what numba is about to compile, and not of what it finds in its cache."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, _event: event.Event) -> None:
        if not self._told:
            self._told = True
            log.info("compiling the polygon code, once for this environment: up to two minutes")

    def on_end(self, _event: event.Event) -> None:
        pass


@compiling_told()
def compile_drawing(rules: FootprintRules, frame: GroundFrame, *, parted: bool) -> None:
    """Draw two houses with a neck between them: what drawing runs is compiled, or loaded, before workers would do so.

    Two workers that compiled the same at the same time took 75 s of CPU time and 790 MB each, and 16 s and 515 MB where
    it was there already. parted: whether there is an interior.
    """
    houses = np.ones((24, 48), np.uint8)
    houses[4:20, 4:20] = houses[4:20, 28:44] = houses[10:14, 20:28] = 255
    interior = houses.copy()
    interior[:, 20:28] = 1
    here = Box(0, 0, *houses.shape)
    tile_border(houses, here, low=128)
    task = TileTask(
        window=here,
        tile=here,
        crossing=np.empty((0, 2), np.int64),
        others=np.empty((0, 4), np.int64),
        oversized=joined_runs([]),
        filled=np.empty(0, object),
    )
    rules = replace(rules, min_area_m2=0.0, min_hole_m2=0.0)
    drawn = draw_task(houses, interior if parted else None, task, frame=frame, rules=rules)
    to_footprints(drawn.pending.resolved(), frame)
    compile_short_walls()


def compile_short_walls() -> None:
    """Walk over the short wall of two houses: a third of what drawing compiles, for a process beside one that draws."""
    stepped = np.array([_with_step(10), _with_step(20)], object)
    limits = Limits.of(stepped, np.ones(2), 1.0)
    without_short_walls(stepped, limits, np.ones(2), np.ones(2, np.bool_))


def _with_step(far: float) -> shapely.Polygon:
    """Return a house from the step in a wall that it shares with another one, to as far in x."""
    return shapely.Polygon([(15, 0), (15, 5), (15.8, 5), (15.8, 10), (far, 10), (far, 0)])
