"""Promptable: SAM and SAM 2 in two steps, the embedding of a window and the answers to prompts in it.

Bits of the decoder depend on how many prompts a call holds, and points that pad a prompt move its mask: every call
holds SLOTS prompts of equally many points, and answers to those that fill it up are dropped. So what else is asked
changes no bit of an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from geoseg.models.live_bytes import LiveBytes
from geoseg.models.on_device import OnDevice
from geoseg.models.probed import Probed

SLOTS = 4  # of a call; one prompt costs 0.16 CPU s of SAM 2.1 tiny with 4, 0.20 with 16
SURE = 8.0  # logit of an earlier mask inside, and its negative outside
BAND = 1.0  # a mask is stable where logits of so much more or less give the same pixels
PARTS = 10_000  # of predicted IoU and stability, which are whole numbers so that no formula rounds otherwise
Embedding = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is asked for one object, in pixels of the window from its corner, x before y."""

    points: NDArray[np.float32]
    """(n, 2), maybe none."""
    labels: NDArray[np.int32]
    """(n,): 1 inside of the object, 0 outside."""
    box: NDArray[np.float32] | None = None
    """(4,): x0, y0, x1, y1."""
    mask: NDArray[np.bool_] | None = None
    """(side / 4, side / 4): an earlier answer."""

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """What prompts of one call have in common."""
        return len(self.labels), self.box is not None, self.mask is not None


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """One of the masks that a prompt is answered with."""

    mask: NDArray[np.bool_]
    """(h, w) over the window."""
    stable: NDArray[np.bool_]
    """(2, h, w): what it is where the logits are BAND lower, and higher."""
    iou: int
    """Predicted, in PARTS."""


def clicked(window_px: int) -> Asked:
    """Return a click on the middle of a window, as probes ask it."""
    return Asked(np.full((1, 2), window_px / 2, np.float32), np.ones(1, np.int32))


class Promptable(OnDevice):
    """A network that answers prompts, see ``OnDevice``."""

    def embed(self, window: NDArray[np.float32]) -> dict[str, NDArray[np.float16]]:
        """Return the embedding of a window (1, C, side, side), a level each."""
        with torch.inference_mode():
            levels = _embedded(self.network, torch.from_numpy(window).to(self.device))
        return {f"level{i}": level.half().cpu().numpy() for i, level in enumerate(levels)}

    def ask(self, embedding: Embedding, asked: Sequence[Asked]) -> Iterator[tuple[int, tuple[Answered, ...]]]:
        """Yield the place of every prompt in ``asked`` and its answers, the likeliest first."""
        levels = levels_of(embedding, self.device)
        for kind in sorted({one.kind for one in asked}):
            for group in batched([i for i, one in enumerate(asked) if one.kind == kind], SLOTS):
                filled = [asked[i] for i in group] + [asked[group[0]]] * (SLOTS - len(group))
                with torch.inference_mode():
                    logits, iou = decoded(self.network, levels, call_tensors(filled, self.device))
                    for slot, place in enumerate(group):
                        yield place, self._answers(logits[slot], iou[slot])

    def _answers(self, logits: Tensor, iou: Tensor) -> tuple[Answered, ...]:
        """Return the answers of (K, h, w) logits at a quarter of the size."""
        side = self.bundle.spec.window_px
        full = interpolate(logits[None], size=(side, side), mode="bilinear", align_corners=False)[0].cpu().numpy()
        scores = [round(PARTS * min(max(score, 0.0), 1.0)) for score in iou.tolist()]
        order = sorted(range(len(scores)), key=lambda k: (-scores[k], k))
        return tuple(Answered(full[k] > 0, np.stack([full[k] > BAND, full[k] > -BAND]), scores[k]) for k in order)


def _embedded(network: Any, window: Tensor) -> list[Tensor]:
    found = network.get_image_embeddings(window)
    return [found] if isinstance(found, Tensor) else list(found)


def levels_of(embedding: Embedding, device: torch.device) -> list[Tensor]:
    """Return the levels of a window's embedding, (1, C, h, w) each, in fp32."""
    names = sorted(name for name in embedding if name.startswith("level"))
    return [torch.from_numpy(embedding[name]).to(device).float() for name in names]


def call_tensors(asked: Sequence[Asked], device: torch.device) -> dict[str, Tensor]:
    """Return the inputs of a call of prompts of one kind.

    transformers counts from the middle of the first pixel, a map from its corner.
    """
    count, boxed, masked = asked[0].kind
    given: dict[str, NDArray[Any]] = {}
    if count:
        given["input_points"] = np.stack([one.points for one in asked])[:, None] - np.float32(0.5)
        given["input_labels"] = np.stack([one.labels for one in asked])[:, None]
    if boxed:
        given["input_boxes"] = np.stack([one.box for one in asked if one.box is not None])[:, None] - np.float32(0.5)
    if masked:
        masks = np.stack([one.mask for one in asked if one.mask is not None])[:, None]
        given["input_masks"] = np.where(masks, np.float32(SURE), np.float32(-SURE))
    return {name: torch.from_numpy(array).to(device) for name, array in given.items()}


def decoded(network: Any, levels: Sequence[Tensor], given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return logits (B, K, h, w) at a quarter of the size and predicted IoU (B, K) of B prompts of one window."""
    count = len(next(iter(given.values())))
    every = [level.expand(count, -1, -1, -1) for level in levels]
    embedding = every[0] if len(every) == 1 else every
    answer = network(image_embeddings=embedding, multimask_output=True, **given)
    return answer.pred_masks[:, 0].float(), answer.iou_scores[:, 0].float()


def probe(network: nn.Module, channels: int, window_px: int) -> Probed:
    """Return what embedding a window holds, or asking in it where that is more."""
    with torch.inference_mode(), LiveBytes() as counted:
        levels = _embedded(network.eval(), torch.zeros(1, channels, window_px, window_px))
        decoded(network, levels, call_tensors([clicked(window_px)] * SLOTS, torch.device("cpu")))
    return Probed(window_px=window_px, live_bytes=counted.peak)
