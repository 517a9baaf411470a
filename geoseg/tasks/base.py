"""Task: what the channels of a network become. A job asks its task what layers it has, and makes their pixels by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.models.spec import ModelSpec
from geoseg.tiling.blend import Finished
from geoseg.values.layers import Layer, Pixels

Rows = dict[str, Pixels]  # finished rows (n, w) of every layer, by name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run asks its task for."""

    rasters: tuple[str, ...]  # names of rasters to write, of ``geoseg.values.layers.RASTERS``
    polygons: bool = False  # whether polygons are drawn of the layers
    borders: bool = False  # whether touching polygons are parted where the model sees a border


class Bytes(NamedTuple):
    """Memory per pixel of the rows that are complete, in bytes."""

    reducing: int  # while sums become layers
    leaving: int  # of the layers, and what is counted of them, while they are encoded


class Asked(Protocol):
    """What a task looks at in a job."""

    @property
    def spec(self) -> ModelSpec:
        """The model's channels and classes."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What is made of every pixel."""
        ...

    @property
    def threshold(self) -> float:
        """P of the model's polygon class from which a pixel belongs to it."""
        ...


class Decision(NamedTuple):
    """How classes are decided of sums where sums are all that it takes, see ``geoseg.tiling.blend.finish``."""

    class_of_channel: tuple[int, ...]
    class_ids: tuple[int, ...]
    thresholds: tuple[float, ...]
    beside: tuple[int, ...]  # channels whose bytes are asked for, too
    rows: Callable[[Finished, Sequence[Pixels], NDArray[np.bool_]], Rows]  # what is decided, bytes beside, and validity


class Task(Protocol):
    """What channels become; a value without state. Tables and surveys come with their first user."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:
        """Return the layers of a job: those that are written, then those that only its polygons need."""
        ...

    def later(self, spec: ModelSpec) -> tuple[Layer, ...]:
        """Return the layers that stages make of those of a job."""
        ...

    def reduce(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> Rows:
        """Return the job's layers (h, w) of blended channels (K, h, w), nodata where not ``valid``.

        Pure, and no pixel looks at another: rows may come in any pieces.
        """
        ...

    def decision(self, job: Asked) -> Decision | None:
        """Return how a job's classes are decided where its layers take no more; None: they take the sums themselves."""
        ...

    def bytes_per_px(self, spec: ModelSpec) -> Bytes:
        """Return what ``reduce`` and its rows hold at most."""
        ...
