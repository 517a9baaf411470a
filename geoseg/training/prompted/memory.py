"""What the training of a promptable network holds in memory, counted by a step on an empty window."""

from math import prod

import numpy as np
import torch

from geoseg.models.bundle import ModelBundle
from geoseg.models.live_bytes import LiveBytes
from geoseg.models.promptable import Promptable, call_tensors, clicked, decoded, levels_of
from geoseg.tiling.memory import BASE_BYTES, GDAL_CACHE_BYTES
from geoseg.training.memory import LIVE_SHARE, TrainingMemory
from geoseg.training.prompted.loss import prompt_loss
from geoseg.training.prompted.spec import PromptTrainSpec

NETWORKS = 3  # that embeds, that learns, and the best one while it is written
OF_LEARNT = 5  # gradient, two moments, best, and a checkpoint in the making
OF_PIXEL = 16  # bytes of a window's pixel for each object that a step learns of, beside the network


def prompt_training_memory(spec: PromptTrainSpec, bundle: ModelBundle) -> TrainingMemory:
    """Count a training's memory: one step on the CPU, of a window without anything in it."""
    side, count = bundle.spec.window_px, spec.schedule.prompts
    promptable = Promptable(bundle, "cpu")
    network, device = promptable.network, torch.device("cpu")
    embedding = promptable.embed(np.zeros((1, len(bundle.spec.bands), side, side), np.float32))
    network.mask_decoder.requires_grad_(requires_grad=True)
    with LiveBytes() as counted:
        logits, iou = decoded(network, levels_of(embedding, device), call_tensors([clicked(side)] * count, device))
        nothing = torch.zeros(count, side, side)
        prompt_loss(logits, iou, nothing, nothing[0] == 0).backward()
    probed = bundle.spec.probed
    learnt = sum(p.numel() * p.element_size() for p in network.mask_decoder.parameters())
    return TrainingMemory(
        base=BASE_BYTES,
        cache=GDAL_CACHE_BYTES + 2 * sum(2 * prod(level.shape) for level in embedding.values()),
        survey=0,
        windows=side**2 * (OF_PIXEL * count + 16 * len(bundle.spec.bands)),
        weights=NETWORKS * bundle.weights.bytes + OF_LEARNT * learnt,
        network=int(LIVE_SHARE * max(counted.peak, 0 if probed is None else probed.live_bytes)),
    )
