"""How a training is done, as its user chooses it. What is trained, on what and for how long is in its config."""

from dataclasses import dataclass
from typing import Annotated, Literal

from geoseg.options.option import Checked, Option
from geoseg.options.parse import SIZE
from geoseg.options.run import MEMORY_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions(Checked):
    """Where a training runs, and what it does with one that is not at its end."""

    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
    fresh: Annotated[
        bool, Option("Start over where a training is not at its end.", unset="go on with it", topic="")
    ] = False
    memory_bytes: Annotated[
        int | None,
        Option("Memory that it may use, e.g. 4GB.", unset="80 % of what is free", limit=MEMORY_LIMIT, text=SIZE),
    ] = None
    same_as: Annotated[
        str | None, Option("Refuse data that are not those that this bundle was trained on.", metavar="BUNDLE")
    ] = None
    log: Annotated[
        Literal["tensorboard"] | None, Option("Write the curves for TensorBoard too, into OUT/tensorboard.")
    ] = None
