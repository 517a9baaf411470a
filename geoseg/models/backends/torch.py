"""The backend torch: networks of the table of architectures, on the CPU or on one GPU each."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from geoseg.device.ready import Ready
from geoseg.errors import ConfigError
from geoseg.models.architectures import check_architecture
from geoseg.models.backends.base import Answer, Windows
from geoseg.models.backends.folded import PROBE_PX, fold
from geoseg.models.bundle import ModelBundle
from geoseg.models.outputs import Output
from geoseg.models.spec import ModelSpec
from geoseg.objects.found import Detection

# A call frees its tensors as it goes, but the heap that keeps them for the next call is in pieces: it took at most 1.45
# times what all convolutions of the call give, in 25 measurements with compact U-Nets and U-Nets with resnet34 and
# efficientnet-b0, windows of 256..1024, batches of 1..8, one and two lanes, fp32 and bf16.
HEAP_SHARE = 1.5
# The same of bytes counted live. What a process grew by in two calls at 512 px, in MiB, in fp32 and in bf16, of so many
# live in fp32: unet 180 and 201 of 102, segformer 298 and 124 of 186, compact-unet 324 and 441 of 246.
LIVE_SHARE = 1.75
# Weights are stored as fp16 mostly. A call brings them into the order that its kernels want, or casts them to bf16.
WEIGHTS_SHARE = 2


def choose_device(device: str) -> str:
    """See ``Library``."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch sees no GPU here; use --device cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def precisions(device: str) -> tuple[str, ...]:
    """See ``Library``.

    Decided by capability, never by timing: two runs on one machine must agree. On a CPU with AVX512-BF16 a U-Net runs
    2.4 times faster and 99.96 % of classes stay the same.
    """
    if device == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # private, at this one place: torch asks the CPU for AVX512-BF16 or AMX in no public function
        has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return ("bf16", "fp32") if has_bf16 else ("fp32",)


def identity(device: str) -> str:
    """See ``Backend``."""
    kind = torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"{device} {kind}, torch {torch.__version__}, batch norms folded in fp32"


def devices(kind: str) -> list[str]:
    """See ``Library``."""
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] if kind == "cuda" else ["cpu"]


@contextmanager
def one_thread_per_network() -> Iterator[None]:
    """See ``Library``."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_backend(bundle: ModelBundle, *, device: str, precision: str) -> "TorchBackend":
    """See ``Library``."""
    return TorchBackend(bundle, device=device, precision=precision)


def of_network(bundle: ModelBundle, network: nn.Module, *, device: str, precision: str) -> "TorchBackend":
    """Return a backend of a network that is on the device already, in evaluation mode; bundle: what describes it."""
    backend = TorchBackend(bundle, device=device, precision=precision)
    backend.network = network
    return backend


class TorchBackend:
    """See ``Backend``."""

    def __init__(self, bundle: ModelBundle, *, device: str, precision: str) -> None:
        self.bundle = bundle
        self.device = torch.device(device)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    @cached_property
    def network(self) -> nn.Module:
        """The network, loaded at first use.

        In fp32 normalisations are folded, and classes stay as they are; in bf16 some would turn as others turned.
        """
        network, spec = self.bundle.network(), self.bundle.spec
        if self.dtype is torch.float32 and spec.objects is None:
            size = check_architecture(spec.arch).window_from(PROBE_PX)
            network = network if fold(network, len(spec.bands), size) else self.bundle.network()
        return channels_last(network.to(self.device))

    @cached_property
    def one_by_one(self) -> bool:
        """Whether windows are run one by one, since the network's bits depend on their places in a batch."""
        return check_architecture(self.bundle.spec.arch).batch_one

    def load(self) -> None:
        """See ``Backend``."""
        _ = self.network

    def __call__(self, windows: Windows) -> Answer:
        """See ``Backend``: activations are computed in fp32."""
        spec, rules = self.bundle.spec, self.bundle.spec.objects
        with torch.inference_mode():
            held = windows.taken(self.device) if isinstance(windows, Ready) else torch.from_numpy(windows)
            batch = held.to(self.device).contiguous(memory_format=torch.channels_last)
            if rules is not None:  # in fp32: boxes are no probabilities
                detector: Any = self.network
                if spec.detects_alone:
                    said = [detector.detect(part, rules) for part in batch.split(1)]
                    return Answer(np.empty((len(windows), 0, *windows.shape[2:]), np.float32), named(said, spec))
                both = [detector.both(part, rules) for part in batch.split(1)]
                values = activated(torch.cat([logits for logits, _ in both]).float(), spec).cpu().numpy()
                return Answer(values, named([found for _, found in both], spec))
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32):
                parts = [self.network(part) for part in batch.split(1 if self.one_by_one else len(batch))]
            logits = parts[0] if len(parts) == 1 else torch.cat(parts)
            blended = activated(logits.float(), self.bundle.spec)
            return Answer(cast("Any", Ready.of(blended)) if isinstance(windows, Ready) else blended.cpu().numpy())

    def identity(self) -> str:
        """See ``Backend``."""
        return identity(self.device.type)

    def peak_bytes(self, shape: tuple[int, int, int, int]) -> int:
        """See ``Backend``: what was counted when the bundle was saved.

        Of bundles that do not say it: from the options where the architecture is our own, else by a run of the network.
        """
        if self.device.type != "cpu":
            return 0
        batch, channels, height, width = shape
        spec = self.bundle.spec
        options = check_architecture(spec.arch)
        if spec.probed is not None:
            at_once = 1 if self.one_by_one else batch
            live = spec.probed.live_bytes * at_once * height * width / spec.probed.window_px**2
            beside = options.held_beside_torch * at_once * height * width
            return int(LIVE_SHARE * live + WEIGHTS_SHARE * self.bundle.weights.bytes) + beside
        values = options.values_per_px(channels, spec.out_channels)
        if values is None:
            values = values_of_a_run(self.network, channels, 4 * spec.multiple_px)
        return int(HEAP_SHARE * batch * height * width * int(values * self.dtype.itemsize))


def named(said: Iterable[Sequence[Detection]], spec: ModelSpec) -> tuple[tuple[Detection, ...], ...]:
    """Return detections with the ids of their classes, those of things alone."""
    ids = spec.detected_ids
    return tuple(
        tuple(replace(one, class_id=ids[one.class_id]) for one in own if ids[one.class_id] in spec.things)
        for own in said
    )


def activated(logits: Tensor, spec: ModelSpec) -> Tensor:
    """Return what each group of channels says, 0..1, of logits (B, K, h, w); see ``geoseg.models.outputs.Output``."""
    parts = [_activated(logits[:, spec.channels_of(group)].contiguous(), group) for group in spec.outputs]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _activated(logits: Tensor, group: Output) -> Tensor:
    if group.activation == "softmax":
        return torch.softmax(logits, 1)
    if group.range is None:
        return torch.sigmoid(logits)
    low, high = group.range
    return logits.sub_(low).div_(high - low).clamp_(0, 1)


def channels_last(network: nn.Module) -> nn.Module:
    """Return a network with its filters as 2-D convolutions run fastest; one with 3-D ones stays as it is."""
    if any(parameter.dim() > 4 for parameter in network.parameters()):
        return network
    return network.to(memory_format=torch.channels_last)


def values_of_a_run(network: nn.Module, channels: int, size: int) -> Fraction:
    """Return how many values all convolutions give per pixel of a window, by running one of ``size`` pixels square.

    torch's meta device would not compute, and takes twice as long to load.
    """
    total = 0

    def count(_module: object, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, channels, size, size))
    finally:
        for hook in hooks:
            hook.remove()
    return Fraction(total, size**2)
