"""Stages: passes over a scene that come after its chunks, in boxes that share nothing. Engines walk both alike.

A stage sees what parts or rasters hold and what the stages before have found. Where a run ends before one is through,
``run`` decides what is kept: stages of objects make parts (``jobs/object_parts``), those of polygons are done again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


class ParallelMap(Protocol):
    """Calls a picklable function on each item, several at once, and yields the results in order."""

    def __call__[T, R](self, call: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Yield the results."""
        ...


@dataclass(frozen=True, slots=True)
class Stage[B, R, C]:
    """One pass. B: a box with what is known of it; R: what comes of a box; C: what comes of all."""

    name: str
    """What it makes, in words."""
    boxes: Callable[[], Iterator[B]]
    """Yields the boxes, when they are asked for."""
    run: Callable[[B], R]
    """What is done to a box, with the halo it needs: pure and picklable, the same wherever and whenever it runs."""
    collect: Callable[[Iterator[R]], C]
    """Brings the results together, which come in the order of the boxes; they need not all be held."""

    def walk(self, each: ParallelMap = map) -> C:
        """Do it; each: how calls are made at several places."""
        return self.collect(each(self.run, self.boxes()))
