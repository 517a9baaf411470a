"""A bundle's network on a device, for what asks it in ways of its own: prompts, words, dates."""

from functools import cached_property
from typing import Any

import torch

from geoseg.models.bundle import ModelBundle


class OnDevice:
    """A bundle's network on a device; callable from several threads at once, in fp32."""

    def __init__(self, bundle: ModelBundle, device: str) -> None:
        self.bundle, self.device = bundle, torch.device(device)

    @cached_property
    def network(self) -> Any:
        """The network, loaded at first use."""
        return self.bundle.network().to(self.device)
