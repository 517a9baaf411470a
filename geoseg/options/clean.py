"""How a class map is cleaned, as its user chooses it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from geoseg.options.option import Checked, Option, at_least, span

MOST_STEPS, MOST_RADIUS_PX = 20, 8  # sums of 32 bits hold the neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanOptions(Checked):
    """What is taken out of a map, in this order."""

    TOPIC = "Clean"

    crf: Annotated[
        int,
        Option(
            "Steps in which pixels that are near and alike in the scene agree on their class; 0: none.",
            limit=span(0, MOST_STEPS),
        ),
    ] = 0
    crf_radius_px: Annotated[int, Option("How far --crf looks in a step.", limit=span(1, MOST_RADIUS_PX))] = 3
    open_m: Annotated[
        float, Option("Radius of a disc: parts that it does not fit into go to what is around.", limit=at_least(0))
    ] = 0.0
    close_m: Annotated[
        float,
        Option("Radius of a disc: gaps of the class --of that it does not fit into are filled.", limit=at_least(0)),
    ] = 0.0
    sieve_m2: Annotated[
        float, Option("Smaller patches go to the class with most of their border.", limit=at_least(0))
    ] = 0.0
    of: Annotated[
        str | None, Option("Class that is opened and closed.", unset="every class is opened", metavar="CLASS")
    ] = None

    def _faults(self) -> Iterator[str]:
        if not (self.crf or self.open_m or self.close_m or self.sieve_m2):
            yield "nothing to do: give --crf, --open-m, --close-m or --sieve-m2"
        if self.close_m and self.of is None:
            yield "close-m: say which class with --of; closing every class would give their gaps to none"
