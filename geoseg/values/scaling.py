"""Scaling: how blended probabilities become calibrated ones. How it is fitted is in trust/calibration.py."""

from dataclasses import dataclass
from math import isfinite

from geoseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Scaling:
    """Softmax of scale x log p + bias over the channels of a softmax (Guo et al. 2017).

    Temperature scaling is one scale for all, 1 / temperature, without bias; vector scaling has one of each a channel.
    """

    scale: tuple[float, ...]
    """Of the log of each channel's probability, above 0."""
    bias: tuple[float, ...]
    """Added to it."""

    def __post_init__(self) -> None:
        numbers = (*self.scale, *self.bias)
        if len(self.scale) != len(self.bias) or not all(map(isfinite, numbers)) or not all(s > 0 for s in self.scale):
            raise ConfigError(f"{self}: a scale above 0 and a bias of each channel are needed, all of them finite")
