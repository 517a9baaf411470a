"""Grouping: which classes of a panoptic model are things, and by what rules pixels become objects.

Here is only what a bundle says; ``geoseg.objects`` groups. Distances are pixels of the network's grid.
"""

from typing import Literal

from pydantic import Field

from geoseg.models.outputs import Output
from geoseg.models.value import Name, Value

CENTRE, OFFSET = "centre", "offset"  # the groups of channels that objects are made of


class GroupRules(Value):
    """How pixels find their objects."""

    by: Literal["centres", "areas"] = Field(
        "centres", description="centres and offsets of the network; or connected areas, where they are widest"
    )
    drop_px: float = Field(
        1.5, gt=0, le=1000, description="of areas: how much half their width falls between two objects"
    )
    peak_px: int = Field(5, ge=1, le=64, description="a centre is the largest value within so many rows and columns")
    least: float = Field(0.2, gt=0, le=1, description="least value of a centre")
    reach_px: int = Field(12, ge=1, le=256, description="how far from a centre an offset may point")
    min_px: int = Field(24, ge=1, description="smaller objects are left out")


class Grouping(GroupRules):
    """How objects are made of centres and offsets."""

    things: tuple[Name, ...] = Field(min_length=1, description="classes whose objects are told apart; others are stuff")

    def faults(self, outputs: tuple[Output, ...], classes: set[str]) -> list[str]:
        """Return why a network of these groups of channels and classes cannot be grouped so."""
        stray = [name for name in self.things if name not in classes]
        if self.by == "areas":
            return [f"grouping.things: {', '.join(stray)}: no such class"] if stray else []
        found = {group.name: (group.activation, group.bits, len(group.channels)) for group in outputs}
        wanted = {
            CENTRE: (("sigmoid", 16, 1), "a sigmoid of 16 bits and one channel"),
            OFFSET: (("signed", None, 2), "signed, with its range_px"),
        }
        lacking = [
            f"outputs: a group {name!r} is missing, {said}: objects are made of it"
            for name, (shape, said) in wanted.items()
            if found.get(name) != shape
        ]
        return [*([f"grouping.things: {', '.join(stray)}: no such class"] if stray else []), *lacking]


def range_px(outputs: tuple[Output, ...]) -> int:
    """Return how far the offsets of a panoptic network reach, in its pixels."""
    return next(group.range_px for group in outputs if group.name == OFFSET and group.range_px is not None)
