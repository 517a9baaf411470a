"""How long a training step takes on this machine."""

import time
from typing import Any

from geoseg.models.architectures import build_network
from geoseg.models.spec import Architecture


def seconds_per_step(
    arch: dict[str, Any], batch: int, crop_px: int, *, bands: int, channels: int, device: str
) -> float:
    """Return the seconds of one forward and backward pass of a batch of noise, the second of two.

    arch: ``name`` and ``options`` of a network.
    """
    import torch

    network = build_network(Architecture(**arch), in_channels=bands, out_channels=channels).to(device)
    windows = torch.randn(batch, bands, crop_px, crop_px, device=device)
    taken = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        network(windows).float().square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - begun
    return taken
