"""Layers of the networks in queries."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from geoseg.models.architectures.queries import HfSegformerOptions, QueryOptions

LEAST_P = 1e-6  # a class's share of a pixel before its logarithm
# "the task is semantic" by CLIP's tokenizer, its start and its end, padded with 0: no tokenizer's file is needed.
TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)
TASK_LENGTH = 77


class FullSize(nn.Module):
    """A network that answers logits at a quarter of the size, brought up as logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        logits = self.network(pixel_values=x).logits
        return interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


class Semantic(nn.Module):
    """Queries as classes: the logarithm of the sum over queries of p(class) x p(mask)."""

    task: Tensor | None

    def __init__(self, network: nn.Module, task: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("task", task, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        asked = {} if self.task is None else {"task_inputs": self.task.expand(len(x), -1)}
        answer = self.network(pixel_values=x, **asked)
        classes = answer.class_queries_logits.float().softmax(-1)[..., :-1]  # the last is "no object"
        masks = interpolate(answer.masks_queries_logits.float(), size=x.shape[-2:], mode="bilinear").sigmoid()
        return torch.einsum("bqc,bqhw->bchw", classes, masks).clamp_min(LEAST_P).log()


def segformer(in_channels: int, out_channels: int, options: "HfSegformerOptions") -> nn.Module:
    """Return transformers' SegFormer."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    told: dict[str, Any] = {
        "num_channels": in_channels,
        "num_labels": out_channels,
        "hidden_sizes": list(options.widths),
        "depths": list(options.depths),
        "num_attention_heads": list(options.heads),
        "decoder_hidden_size": options.decoder_width,
    }
    return FullSize(SegformerForSemanticSegmentation(SegformerConfig(**told)))


def swin(in_channels: int, options: "QueryOptions") -> Any:
    """Return the configuration of the backbone."""
    from transformers import SwinConfig

    told: dict[str, Any] = {
        "num_channels": in_channels,
        "image_size": 224,
        "embed_dim": options.width,
        "depths": list(options.depths),
        "num_heads": list(options.heads),
        "window_size": 7,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    return SwinConfig(**told)


def common(in_channels: int, out_channels: int, options: "QueryOptions") -> dict[str, Any]:
    """Return what Mask2Former and OneFormer call alike."""
    return {
        "backbone_config": swin(in_channels, options),
        "num_labels": out_channels,
        "hidden_dim": options.hidden,
        "encoder_feedforward_dim": options.feedforward,
        "dim_feedforward": 2 * options.feedforward,
        "encoder_layers": options.encoder_layers,
        "decoder_layers": options.decoder_layers,
        "num_attention_heads": options.attention_heads,
        "num_queries": options.queries,
    }


def mask2former(in_channels: int, out_channels: int, options: "QueryOptions") -> nn.Module:
    """Return transformers' Mask2Former as a semantic network."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    told = common(in_channels, out_channels, options)
    config = Mask2FormerConfig(feature_size=options.hidden, mask_feature_size=options.hidden, **told)
    return Semantic(Mask2FormerForUniversalSegmentation(config))


def oneformer(in_channels: int, out_channels: int, options: "QueryOptions") -> nn.Module:
    """Return transformers' OneFormer as a semantic network, without the text that only its own training uses."""
    from transformers import OneFormerConfig, OneFormerForUniversalSegmentation

    told = common(in_channels, out_channels, options)
    config = OneFormerConfig(conv_dim=options.hidden, mask_dim=options.hidden, is_training=False, **told)
    task = torch.zeros(1, TASK_LENGTH)
    task[0, : len(TASK)] = torch.tensor(TASK, dtype=torch.float32)
    return Semantic(OneFormerForUniversalSegmentation(config), task)
