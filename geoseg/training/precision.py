"""In which precision steps are computed, and the moving average of what they learn."""

import copy
import logging
import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from geoseg.models.backends.torch import precisions

log = logging.getLogger(__name__)
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MOST_COMPILING = 4  # times a step in fp32: a first step in bf16 that takes longer is not saved by its kernels


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the average's weights and batch statistics towards the network's."""
    for a, b in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Return a context in which networks compute in ``precision``."""
    return nullcontext() if precision == "fp32" else torch.autocast(device, TYPES[precision])


def precision_of(wanted: str, device: str, network: nn.Module, channels: int, size: int) -> str:
    """Return in which precision to train; auto: half where the device has it, and on the CPU where it is faster."""
    if wanted != "auto":
        return wanted
    if device != "cpu":
        return "bf16" if "bf16" in precisions(device) else "fp16"
    return fastest_precision(network, channels, size)


def fastest_precision(network: nn.Module, channels: int, size: int) -> str:
    """Return "bf16" where the CPU has it and a training step, tried out, is faster with it; else "fp32"."""
    if "bf16" not in precisions("cpu"):
        return "fp32"
    images = torch.zeros(2, channels, size, size).contiguous(memory_format=torch.channels_last)
    probe = copy.deepcopy(network).train()
    seconds: dict[str, float] = {}
    for precision in ("fp32", "fp32", "bf16", "bf16"):  # the first call compiles kernels
        started = time.perf_counter()
        with autocast("cpu", precision):
            out = probe(images)
        out.float().sum().backward()
        seconds[precision] = time.perf_counter() - started
        if seconds[precision] > MOST_COMPILING * seconds["fp32"]:
            break  # depthwise convolutions have no bf16 kernel for their gradient: one step takes a minute
    log.info("training step: fp32 %.2f s, bf16 %.2f s", seconds["fp32"], seconds["bf16"])
    return min(seconds, key=lambda k: seconds[k])
