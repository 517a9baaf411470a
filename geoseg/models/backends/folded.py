"""Folding: batch normalisations that follow a convolution become part of its filters: a pass over memory less."""

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

PROBE_PX = 64  # at the least
MOST_OFF = 1e-4  # of the largest logit; folding rounds at 1e-6


def fold(network: nn.Module, channels: int, size: int) -> bool:
    """Fold what a run over noise (1, channels, size, size) shows to be a convolution and its normalisation.

    network: in evaluation mode, on the CPU; changed in place, by ``torch.nn.utils.fusion``. Returns whether it still
    answers as before: where a convolution's values also go elsewhere, or its filters are made anew in each call, it
    does not, and is lost.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return True
    noise = torch.randn(1, channels, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, pairs = _watched(network, noise)
        owners = {child: (parent, name) for parent in network.modules() for name, child in parent.named_children()}
        for convolution, norm in pairs:
            assert norm.running_mean is not None  # as only those are paired
            assert norm.running_var is not None
            fused = fuse_conv_bn_weights(
                convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight,
                norm.bias,
            )  # fmt: skip
            convolution.weight, convolution.bias = fused
            setattr(*owners[norm], nn.Sequential(*norm.children()))  # timm's holds its activation
        after = network(noise)
    return bool((after - before).abs().max() <= MOST_OFF * before.abs().max())


def _watched(network: nn.Module, noise: Tensor) -> tuple[Tensor, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """Run a network; returns its answer, and the convolutions whose output went into a batch normalisation."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the output's id, which stays its own as long as it is held
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: Counter[nn.Module] = Counter()

    def convolved(module: nn.Module, _given: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        made[id(output)] = module, output
        calls[module] += 1

    def normalising(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        calls[module] += 1
        if id(given[0]) in made and module.running_mean is not None:
            found.append((made[id(given[0])][0], module))

    hooks = [m.register_forward_hook(convolved) for m in network.modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(normalising) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    try:
        answer = network(noise)
    finally:
        for hook in hooks:
            hook.remove()
    return answer, [pair for pair in found if all(calls[module] == 1 for module in pair)]
