"""Layers of the networks in queries."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import box_convert, sigmoid_focal_loss

from geoseg.models.architectures.detector_torch import Detector, detection
from geoseg.models.detecting import Detecting
from geoseg.objects.found import Detection

if TYPE_CHECKING:
    from geoseg.models.architectures.queries import HfSegformerOptions, QueryOptions, RfDetrSegOptions

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


class Queries(Detector):
    """A detector whose queries each answer a class, or none, and a mask; the library matches and weighs them."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """See ``Detector``; a score is p(class) times the mean of p(mask) over the mask."""
        answer = self.network(pixel_values=x)
        shares = answer.class_queries_logits[0].float().softmax(-1)[:, :-1]  # the last is "no object"
        return _listed(shares, answer.masks_queries_logits, x.shape[-2:], rules)

    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """See ``Detector``."""
        masks, labels = [one["masks"].float() for one in objects], [one["labels"] - 1 for one in objects]
        loss: Tensor = self.network(pixel_values=images, mask_labels=masks, class_labels=labels).loss
        return loss.squeeze()


class RfDetr(Detector):
    """transformers' RF-DETR with masks; its loss is the library's."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """See ``Detector``; a score is p(class) times the mean of p(mask) over the mask."""
        answer = self.network(pixel_values=x, pixel_mask=_all_of(x))
        return _listed(answer.logits[0].float().sigmoid(), answer.pred_masks, x.shape[-2:], rules)

    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """See ``Detector``; without any object the library's is empty, and the focal loss of no class counts."""
        if not any(len(one["labels"]) for one in objects):
            logits = self.network(pixel_values=images, pixel_mask=_all_of(images)).logits.float()
            none: Tensor = sigmoid_focal_loss(logits, torch.zeros_like(logits), reduction="mean")
            return none
        height, width = images.shape[-2:]
        sides = images.new_tensor([width, height, width, height])
        labels = [
            {
                "class_labels": one["labels"] - 1,
                "boxes": box_convert(one["boxes"], "xyxy", "cxcywh") / sides,
                "masks": one["masks"].float(),
            }
            for one in objects
        ]
        loss: Tensor = self.network(pixel_values=images, pixel_mask=_all_of(images), labels=labels).loss
        return loss


def _all_of(x: Tensor) -> Tensor:
    return torch.ones((len(x), *x.shape[-2:]), dtype=torch.long, device=x.device)


def _listed(shares: Tensor, masks: Tensor, shape: torch.Size, rules: Detecting) -> list[Detection]:
    """Return the objects of a window, the best first: shares of classes (Q, K), logits of masks (1, Q, h, w)."""
    sure, label = shares.max(-1)
    found = []
    for i in (sure >= rules.least_score).nonzero()[:, 0].tolist():
        share = interpolate(masks[:, i : i + 1].float(), size=shape, mode="bilinear")[0, 0].sigmoid().cpu()
        inside = share[share >= rules.least_mask]
        score = float(sure[i]) * float(inside.mean()) if len(inside) else 0.0
        one = detection(share, rules.least_mask, int(label[i]), score)
        if one is not None and score >= rules.least_score:
            found.append(one)
    return sorted(found, key=lambda one: -one.score)[: rules.per_window]


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
        "window_size": options.attention_px,
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
    return Semantic(_mask2former(in_channels, out_channels, options))


def mask2former_objects(in_channels: int, out_channels: int, options: "QueryOptions") -> nn.Module:
    """Return transformers' Mask2Former as a detector; out_channels: classes of objects."""
    return Queries(_mask2former(in_channels, out_channels, options), out_channels)


def rf_detr(in_channels: int, out_channels: int, options: "RfDetrSegOptions") -> nn.Module:
    """Return transformers' RF-DETR with masks; out_channels: classes of objects."""
    from transformers import RfDetrConfig, RfDetrForInstanceSegmentation
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrDinov2Config

    backbone: dict[str, Any] = {
        "image_size": options.image_px,
        "patch_size": options.patch_px,
        "num_windows": options.parts,
        "num_channels": in_channels,
        "hidden_size": options.width,
        "num_hidden_layers": options.depth,
        "num_attention_heads": options.heads,
        "out_features": [f"stage{level}" for level in options.levels],
    }
    told: dict[str, Any] = {
        "num_labels": out_channels,
        "d_model": options.hidden,
        "decoder_ffn_dim": options.feedforward,
        "intermediate_size": options.feedforward,
        "decoder_layers": options.decoder_layers,
        "decoder_self_attention_heads": options.attention_heads,
        "decoder_cross_attention_heads": options.cross_heads or options.attention_heads,
        "num_queries": options.queries,
        "group_detr": options.groups,
    }
    config = RfDetrConfig(backbone_config=RfDetrDinov2Config(**backbone), **told)
    return RfDetr(RfDetrForInstanceSegmentation(config), out_channels)


def _mask2former(in_channels: int, out_channels: int, options: "QueryOptions") -> nn.Module:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    told = common(in_channels, out_channels, options)
    config = Mask2FormerConfig(feature_size=options.hidden, mask_feature_size=options.hidden, **told)
    network: nn.Module = Mask2FormerForUniversalSegmentation(config)
    return network


def oneformer(in_channels: int, out_channels: int, options: "QueryOptions") -> nn.Module:
    """Return transformers' OneFormer as a semantic network, without the text that only its own training uses."""
    from transformers import OneFormerConfig, OneFormerForUniversalSegmentation

    told = common(in_channels, out_channels, options)
    config = OneFormerConfig(conv_dim=options.hidden, mask_dim=options.hidden, is_training=False, **told)
    task = torch.zeros(1, TASK_LENGTH)
    task[0, : len(TASK)] = torch.tensor(TASK, dtype=torch.float32)
    return Semantic(OneFormerForUniversalSegmentation(config).float(), task)  # its scale of logits is a double
