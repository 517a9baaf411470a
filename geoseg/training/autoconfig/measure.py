"""How long a training step takes on this machine."""

import time
from typing import Any

from geoseg.models.architectures import build_network
from geoseg.models.spec import Architecture


def seconds_per_step(
    arch: dict[str, Any], batch: int, crop_px: int, *, bands: int, channels: int, device: str
) -> float:
    """Return the seconds of one forward and backward pass of a batch of noise, the faster of two.

    arch: ``name`` and ``options`` of a network. Computed as a training does with ``precision: auto``. On a CPU it is
    the CPU time of each thread, so that what else the machine does meanwhile changes no config.
    """
    import torch

    from geoseg.models.backends.torch import channels_last
    from geoseg.training.precision import autocast, precision_of

    network = build_network(Architecture(**arch), in_channels=bands, out_channels=channels)
    network = channels_last(network.to(device))
    precision = precision_of("auto", device, network, bands, crop_px)
    windows = torch.randn(batch, bands, crop_px, crop_px, device=device).contiguous(memory_format=torch.channels_last)

    def now() -> float:
        if device == "cpu":
            return time.process_time() / torch.get_num_threads()
        torch.cuda.synchronize()
        return time.perf_counter()

    taken = []
    for _ in range(2):
        begun = now()
        with autocast(device, precision):
            answers = network(windows)
        answers.float().square().mean().backward()
        taken.append(now() - begun)
    return min(taken)
