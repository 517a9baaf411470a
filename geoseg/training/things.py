"""What a network learns of objects: a bump at the centre of each, and from each of its pixels the way there."""

from abc import abstractmethod
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from geoseg.models.grouping import CENTRE, OFFSET, Grouping, GroupRules
from geoseg.models.outputs import VECTOR, Channel, Output
from geoseg.training.targets import UNKNOWN, ClassTarget, Raw

REACH = 3.5  # of a bump, in sigmas: beyond it is nothing


def bumps_and_offsets(ids: NDArray[np.int32], *, sigma_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return bumps (H, W) 0..1 and offsets (2, H, W) in rows and columns to the centre of mass; ids: 0 is no object.

    Bumps are Gaussians, of several the largest (Cheng et al. 2020).

    >>> bumps, offsets = bumps_and_offsets(np.array([[5, 5, 5, 0]], np.int32), sigma_px=1)
    >>> bumps.astype(float).round(2).tolist(), offsets[1].tolist()
    ([[0.61, 1.0, 0.61, 0.14]], [[1.0, 0.0, -1.0, 0.0]])
    """
    rows, cols = np.nonzero(ids > 0)
    found, at = np.unique(ids[rows, cols], return_inverse=True)
    count = np.maximum(np.bincount(at, minlength=len(found)), 1)
    centres = np.stack([np.bincount(at, weights=w, minlength=len(found)) / count for w in (rows, cols)], 1)
    offsets = np.zeros((2, *ids.shape), np.float32)
    offsets[0, rows, cols], offsets[1, rows, cols] = centres[at, 0] - rows, centres[at, 1] - cols
    bumps, reach = np.zeros(ids.shape, np.float32), int(np.ceil(REACH * sigma_px))
    for row, col in centres:
        r0, c0 = max(int(row) - reach, 0), max(int(col) - reach, 0)
        own = bumps[r0 : int(row) + reach + 1, c0 : int(col) + reach + 1]
        y, x = np.ogrid[r0 : r0 + own.shape[0], c0 : c0 + own.shape[1]]
        np.maximum(own, np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * sigma_px**2)), out=own, casting="same_kind")
    return bumps, offsets


class CountedTarget(ClassTarget):
    """Classes, of some of which single objects are told apart.

    Labels are polygons, or a raster of object numbers where one class alone is counted and 0 is ground without one.
    """

    @property
    @abstractmethod
    def counted(self) -> tuple[str, ...]:
        """Names of the classes whose objects are told apart."""

    @property
    def polygon_class(self) -> str | None:
        """None: objects are told apart by themselves, not by their borders."""
        return None

    @property
    def numbered(self) -> frozenset[str]:
        """See ``ClassTarget``."""
        return frozenset(self.counted)

    @property
    def default_class(self) -> int | None:
        """The class id of features that nothing is said of: the only one counted; values of rasters are numbers."""
        said = len(self.counted) != 1 or self.column is not None or self.values
        return None if said else next(c.id for c in self.classes if c.name == self.counted[0])


class ThingsTarget(CountedTarget):
    """Classes, and of the things among them centres and offsets, so that objects are told apart."""

    kind: Literal["things"] = "things"  # type: ignore[assignment]
    things: tuple[str, ...] = Field(min_length=1, description="classes whose objects are told apart; others are stuff")
    range_px: int = Field(64, gt=0, le=4096, description="how far pixels of an object lie from its centre at most")
    bump_px: float = Field(4.0, gt=0, le=64, description="sigma of the bump at a centre")
    group: GroupRules = Field(GroupRules(), description="how runs find the centre of a pixel: docs/tasks.md")

    @model_validator(mode="after")
    def _things_exist(self) -> Self:
        if stray := sorted(set(self.things) - {c.name for c in self.classes}):
            raise ValueError(f"things: {', '.join(stray)}: no such class")
        return self

    @property
    def counted(self) -> tuple[str, ...]:
        """See ``CountedTarget``."""
        return self.things

    @property
    def more(self) -> tuple[Output, ...]:
        """See ``PlainTarget``: centres, and vectors to them."""
        row, col = (Channel(name=name) for name in VECTOR)
        return (
            Output(name=CENTRE, activation="sigmoid", bits=16, channels=(Channel(name=CENTRE),)),
            Output(name=OFFSET, activation="signed", channels=(row, col), range_px=self.range_px),
        )

    @property
    def grouping(self) -> Grouping | None:
        """See ``PlainTarget``."""
        return Grouping(things=self.things, **self.group.model_dump())

    def beside(self, raw: Raw) -> NDArray[np.float32]:
        """Return bumps 0..1, and offsets as shares -1..1 of ``range_px``, (3, H, W), NaN where void.

        Void are pixels of nothing known, objects that the array's edges may cut, whose centres are not known, and in
        offsets all that is no object.
        """
        ids = np.where(raw >= len(self.classes), raw, 0)
        cut = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
        bumps, offsets = bumps_and_offsets(ids, sigma_px=self.bump_px)
        void = (raw == UNKNOWN) | (np.isin(ids, cut) & (ids > 0))
        out = np.concatenate([bumps[None], np.clip(offsets / self.range_px, -1, 1)])
        out[:, void] = np.nan
        out[1:, ids == 0] = np.nan
        return out
