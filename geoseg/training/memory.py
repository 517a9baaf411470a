"""What a training holds in memory, counted before its first step; neither number nor size of the scenes is in it."""

from dataclasses import asdict, dataclass, fields
from math import sqrt

import torch
from torch import Tensor, nn

from geoseg.errors import MemoryBudgetError
from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.architectures.detector_torch import Detector
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.models.live_bytes import LiveBytes, probe
from geoseg.models.spec import Normalisation
from geoseg.tiling.memory import BASE_BYTES, GDAL_CACHE_BYTES, MIB
from geoseg.training.batches import AHEAD
from geoseg.training.detected import made_up
from geoseg.training.mapped import lanes_of
from geoseg.training.samples import MOST_VALUES
from geoseg.training.spec import TrainSpec
from geoseg.training.stream import CACHE_BYTES
from geoseg.training.validation import VALIDATION_BLOCK_PX

LIVE_SHARE = 2.0  # tensors, scratch of convolutions and holes in the heap, of tensors: 1.7 to 1.8 were seen
COPIES = 6 + 5  # of the weights: network, gradient, two moments, average, best; in a checkpoint that is being written
HELD = 2  # of the bytes of a teacher's weights, which are fp16 mostly, in memory until the process ends
PLACES_BYTES = 80  # of a pixel of a window in the making: where it lies in the scene, and in between


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Projected peak of a training's process in bytes, by what takes it.

    base: the process with its libraries; cache: pixels and labels that were read last; survey: pixels that quantiles
    are taken of; windows: batches that are made ahead; weights: all copies of them, or one and what the library that
    builds the network drops, such as an encoder's classifier, if that is more; network: inside it, in a step or while
    it is validated, or inside its teacher's, whichever is more. Calibrating reads ground by the same windows as
    validating, one at a time.
    """

    base: int
    cache: int
    survey: int
    windows: int
    weights: int
    network: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(getattr(self, part.name) for part in fields(self))

    def as_json(self) -> dict[str, int]:
        """Return parts and sum as JSON values."""
        return {**asdict(self), "total": self.total}

    def in_words(self) -> str:
        """Return a line for people."""
        parts = ", ".join(f"{name} {size / MIB:.0f}" for name, size in asdict(self).items())
        return f"memory: {self.total / MIB:.0f} MiB at most ({parts})"

    def check(self, budget: int) -> None:
        """Raise MemoryBudgetError where the training does not fit."""
        if self.total > budget:
            raise MemoryBudgetError(
                f"the training needs {self.total / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; allow more "
                f"with --memory, or take a smaller schedule.batch (with accumulate) or crop_px, or a smaller network"
            )


def training_memory(spec: TrainSpec, device: str) -> TrainingMemory:
    """Count a training's memory: its network does one step of two windows on the CPU. On a GPU, beside the GPU's."""
    bands, plan = len(spec.band_set), spec.schedule
    model = spec.of_model(Normalisation(mean=(0.0,) * bands, std=(1.0,) * bands))
    network = build_network(model.arch, in_channels=bands, out_channels=model.out_channels)
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    step_px, block_px = plan.batch * plan.crop_px**2, VALIDATION_BLOCK_PX**2
    teacher = None if spec.teacher is None else load_model(spec.teacher.model)
    inside = 0
    if device == "cpu":
        of_window = _window_of_a_step(network, bands, max(2, check_architecture(spec.arch).least_batch), plan.crop_px)
        mapped_px = lanes_of(device, torch.get_num_threads()) * model.window_px**2
        seen = probe(network, bands, plan.crop_px).live_bytes * max(block_px, mapped_px) / plan.crop_px**2
        inside = max(int(LIVE_SHARE * max(plan.batch * of_window, seen)), 0 if teacher is None else _of_run(teacher))
    said = 4 * (bands + 4 * model.out_channels)  # of a pixel: the image, logits and what is made of them
    beside = model.out_channels + 2 + (0 if spec.teacher is None else len(model.classes))
    cut_px = (sqrt(2) * plan.crop_px / _least_zoom(spec)) ** 2
    return TrainingMemory(
        base=BASE_BYTES,
        cache=CACHE_BYTES + GDAL_CACHE_BYTES,
        survey=3 * 4 * bands * MOST_VALUES,
        windows=int(
            (AHEAD + 2) * step_px * 4 * (bands + beside) + 3 * cut_px * (4 * bands + 5) + PLACES_BYTES * plan.crop_px**2
        ),
        weights=max(COPIES * weights, weights + check_architecture(spec.arch).dropped_bytes)
        + (0 if teacher is None else HELD * teacher.weights.bytes),
        network=inside + said * max(step_px, block_px),
    )


def _of_run(teacher: ModelBundle) -> int:
    """Return what a teacher's network holds inside while it runs over the training ground."""
    window, bands = teacher.spec.window_px, len(teacher.spec.bands)
    backend = library(teacher.backend).open_backend(teacher, device="cpu", precision="fp32")
    return backend.peak_bytes((1, bands, window, window))


def _window_of_a_step(network: nn.Module, bands: int, batch: int, crop_px: int) -> float:
    """Return the bytes that a window's tensors hold in a step, without gradients of the weights."""
    windows = torch.zeros(batch, bands, crop_px, crop_px)
    network.train()
    with LiveBytes() as counted:
        _tried(network, windows).backward()
    grads = sum(p.grad.numel() * p.grad.element_size() for p in network.parameters() if p.grad is not None)
    network.zero_grad(set_to_none=True)
    return max(0, counted.peak - grads) / batch


def _tried(network: nn.Module, windows: Tensor) -> Tensor:
    """Return what a step would go back from; a detector finds as many objects as it learns of at once."""
    if isinstance(network, Detector):
        objects = [made_up(windows.shape[-1])] * len(windows)
        if not network.blends:
            return network.loss(windows, objects)
        found, logits = network.loss_and_classes(windows, objects)
        return found + logits.float().square().mean()
    levels = getattr(network, "levels", None)
    answers = [network(windows)] if levels is None else levels(windows)
    return sum((answer.float().square().mean() for answer in answers), start=torch.zeros(()))


def _least_zoom(spec: TrainSpec) -> float:
    """Return how many times larger than in its area a window shows things at least."""
    spans = [span for span in (spec.augmentation.gsd_m, *(item.gsd_m for item in spec.data)) if span is not None]
    return min([spec.augmentation.scale[0], *(low / high for low, high in spans)])
