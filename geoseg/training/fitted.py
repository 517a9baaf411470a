"""What a training gives."""

from dataclasses import dataclass

from torch import nn

from geoseg.models.spec import ModelSpec
from geoseg.training.history import Epoch


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A trained network."""

    network: nn.Module
    """On the CPU, with the weights of the epoch that is kept."""
    spec: ModelSpec
    """Of its bundle, without file facts."""
    epochs: tuple[Epoch, ...]
    """The table."""
    ended: bool = True
    """Whether training came to its end, and was not interrupted."""
