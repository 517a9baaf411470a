"""Layers, matching and losses of SOLOv2 (Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", NeurIPS 2020).

Filters are of one pixel, as the paper's best. Cells have sides in pixels, so that windows of any size have alike ones.
"""

from math import log
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d
from torchvision.ops import sigmoid_focal_loss
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from geoseg.models.architectures.detector_torch import Detector, detection
from geoseg.models.architectures.pyramid_torch import Pyramid
from geoseg.models.detecting import Detecting
from geoseg.objects.found import Detection

if TYPE_CHECKING:
    from geoseg.models.architectures.solo import SoloOptions

LEVELS = 4  # of the encoder, from a quarter to a thirty-second of the size; a fifth is pooled
MIDDLE = 0.2  # share of an object's box, around its middle, whose cells are the object's
OF_MASKS = 3.0  # weight of the loss of masks; that of classes counts once
SHARPNESS = 2.0  # how fast a mask loses score with what it shares with a better one
RARE = 0.01  # share of cells that are taken for objects at first
LEAST_MASK = 0.5  # of a pixel, where masks compete
GROUPS = 8  # of channels that are normalised together


class Said(NamedTuple):
    """What the network says of B windows with N cells in all grids."""

    sorts: tuple[Tensor, ...]
    """Logits of classes by grid, (B, classes, rows, cols)."""
    filters: tuple[Tensor, ...]
    """By grid, (B, M, rows, cols)."""
    maps: Tensor
    """What filters make masks of, at a quarter of the size, (B, M, h / 4, w / 4)."""

    def filters_of(self, i: int) -> Tensor:
        """Return the filters (N, M) of a window's cells, grid by grid."""
        return torch.cat([one[i].flatten(1).T for one in self.filters])


class Solo(Detector):
    """Two towers over each level, of classes and of filters, and maps that all levels make together."""

    def __init__(self, in_channels: int, classes: int, options: "SoloOptions") -> None:
        super().__init__()
        width, head = options.pyramid_channels, options.head_channels
        self.classes, self.candidates, self.sides = classes, options.candidates, options.cell_px
        self.first_px = options.object_px
        self.backbone = Pyramid(in_channels, options.encoder_name, width, levels=LEVELS, beyond=LastLevelMaxPool())
        inputs = [head] * (options.layers - 1)
        self.sort_tower = nn.Sequential(*(_convolved(n, head) for n in (width, *inputs)))
        self.filter_tower = nn.Sequential(*(_convolved(n, head) for n in (width + 2, *inputs)))
        self.sorts = nn.Conv2d(head, classes, 3, padding=1)
        self.filters = nn.Conv2d(head, options.mask_channels, 3, padding=1)
        middle = options.mask_channels
        self.rising = nn.ModuleList(_rising(width + 2 * (i == LEVELS - 1), middle, i) for i in range(LEVELS))
        self.maps = _convolved(middle, middle, 1)
        nn.init.constant_(self.sorts.bias, -log((1 - RARE) / RARE))  # type: ignore[arg-type]

    def said(self, x: Tensor) -> Said:
        """Return what the network says of windows (B, C, h, w)."""
        levels = list(self.backbone(x).values())
        sorts, filters = [], []
        for level, cells in zip(_nearer(levels), self.grids(x.shape[-2:]), strict=True):
            placed = interpolate(_placed(level), size=cells, mode="bilinear", align_corners=False)
            sorts.append(self.sorts(self.sort_tower(placed[:, :-2])))
            filters.append(self.filters(self.filter_tower(placed)))
        parts = [*levels[: LEVELS - 1], _placed(levels[LEVELS - 1])]
        size = levels[0].shape[-2:]
        risen = [
            interpolate(rise(part), size=size, mode="bilinear", align_corners=False)
            for rise, part in zip(self.rising, parts, strict=True)
        ]
        return Said(tuple(sorts), tuple(filters), self.maps(torch.stack(risen).sum(0)))

    def grids(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return rows and columns of each grid of a window."""
        return [(max(round(shape[0] / side), 1), max(round(shape[1] / side), 1)) for side in self.sides]

    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """See ``Detector``; a score is p(class) times the mean of p(mask), less by what a better mask shares."""
        said = self.said(x)
        shares = torch.cat([_peaks(one[0].float().sigmoid()).flatten(1).T for one in said.sorts])
        sure, label = shares.max(-1)
        best = sure.argsort(descending=True, stable=True)[: self.candidates]
        best = best[(sure[best] >= rules.least_score) & (sure[best] > 0)]
        soft = torch.einsum("nm,mhw->nhw", said.filters_of(0)[best], said.maps[0]).float().sigmoid()
        hard = soft >= LEAST_MASK
        area = hard.sum((1, 2))
        score = sure[best] * (soft * hard).sum((1, 2)) / area.clamp_min(1)
        order = score.argsort(descending=True, stable=True)
        score = score[order] * lessened(hard[order], label[best][order])
        found = []
        for at in score.argsort(descending=True, stable=True)[: rules.per_window].tolist():
            i, own = int(order[at]), float(score[at])
            if own < rules.least_score or not int(area[i]):
                continue
            share = interpolate(soft[i][None, None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
            one = detection(share, rules.least_mask, int(label[best[i]]), own)
            if one is not None:
                found.append(one)
        return found

    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """See ``Detector``: focal loss of the cells' classes, and Dice of the mask of each cell of an object."""
        said, grids = self.said(images), self.grids(images.shape[-2:])
        logits = torch.stack([torch.cat([one[i].flatten(1).T for one in said.sorts]) for i in range(len(images))])
        wanted, wrong = torch.zeros_like(logits), []
        for i, one in enumerate(objects):
            owner = self.owners(one, grids, images.shape[-2:])
            own = (owner >= 0).nonzero()[:, 0]
            if len(own):
                wanted[i, own, one["labels"][owner[own]] - 1] = 1
                soft = torch.einsum("nm,mhw->nhw", said.filters_of(i)[own], said.maps[i]).float().sigmoid()
                size = said.maps.shape[-2:]
                small = interpolate(one["masks"][None].float(), size=size, mode="bilinear", align_corners=False)[0]
                wrong.append(_dice(soft, (small >= 0.5).float()[owner[own]]))
        count = sum(len(one) for one in wrong)
        sorts = sigmoid_focal_loss(logits.float(), wanted.float(), reduction="sum") / (count + 1)
        masks = torch.cat(wrong).mean() if wrong else said.maps.sum() * 0
        together: Tensor = sorts + OF_MASKS * masks
        return together

    def owners(self, one: dict[str, Tensor], grids: list[tuple[int, int]], shape: tuple[int, ...]) -> Tensor:
        """Return which object each cell of the grids makes the mask of, -1 for none: of several the smallest."""
        masks, boxes = one["masks"].float(), one["boxes"]
        device = boxes.device
        if not len(boxes):
            return torch.full((sum(rows * cols for rows, cols in grids),), -1, device=device)
        area = masks.sum((1, 2)).clamp_min(1)
        middle = torch.stack(
            [
                (masks.sum(2) * (torch.arange(shape[0], device=device) + 0.5)).sum(1) / area,
                (masks.sum(1) * (torch.arange(shape[1], device=device) + 0.5)).sum(1) / area,
            ],
            1,
        )
        sides = torch.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], 1)
        size, order = sides.prod(1).sqrt(), area.argsort(descending=True, stable=True).tolist()
        out = []
        for k, (rows, cols) in enumerate(grids):
            least = self.first_px * 2 ** (k - 1) if k else 0
            most = self.first_px * 2 ** (k + 1) if k < len(grids) - 1 else float("inf")
            cells, per_px = (
                torch.full((rows, cols), -1, device=device),
                boxes.new_tensor([rows, cols]) / boxes.new_tensor(list(shape)),
            )
            for j in order:
                if not least <= float(size[j]) <= most:
                    continue
                (r, c), half = (middle[j] * per_px).tolist(), (MIDDLE / 2 * sides[j] * per_px).tolist()
                r0, r1 = max(int(r - half[0]), int(r) - 1, 0), min(int(r + half[0]), int(r) + 1, rows - 1)
                c0, c1 = max(int(c - half[1]), int(c) - 1, 0), min(int(c + half[1]), int(c) + 1, cols - 1)
                cells[r0 : r1 + 1, c0 : c1 + 1] = j
            out.append(cells.flatten())
        return torch.cat(out)


def lessened(masks: Tensor, labels: Tensor) -> Tensor:
    """Return what is left of the scores of masks (N, h, w), the best first, beside better ones: Matrix NMS (N,).

    A mask loses by the IoU with each better one of its class, less the more that one has lost itself.

    >>> same = torch.ones(2, 2, 2, dtype=torch.bool)
    >>> [round(v, 3) for v in lessened(same, torch.zeros(2)).tolist()]
    [1.0, 0.135]
    """
    flat = masks.flatten(1).float()
    common, area = flat @ flat.T, flat.sum(1)
    iou = common / (area[:, None] + area[None] - common).clamp_min(1)
    iou = (iou * (labels[:, None] == labels[None])).triu(1)  # a row loses nothing by itself, a column by rows above
    if not len(iou):
        return area
    lost = iou.amax(0)[:, None]
    return torch.exp(-SHARPNESS * (iou.square() - lost.square())).amin(0).clamp_max(1)


def _convolved(inputs: int, outputs: int, side: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(GROUPS, outputs), nn.ReLU())


def _rising(inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return layers that bring a level to twice its size as often as it was halved below the finest."""
    up = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)
    later = (layer for _ in range(level - 1) for layer in (_convolved(outputs, outputs), up))
    return nn.Sequential(_convolved(inputs, outputs), *([up] if level else []), *later)


def _nearer(levels: list[Tensor]) -> list[Tensor]:
    """Return the finest level at half its size, and the coarsest at the size of the one before."""
    finest = interpolate(levels[0], size=levels[1].shape[-2:], mode="bilinear", align_corners=False)
    coarsest = interpolate(levels[-1], size=levels[-2].shape[-2:], mode="bilinear", align_corners=False)
    return [finest, *levels[1:-1], coarsest]


def _placed(x: Tensor) -> Tensor:
    """Return maps with two more channels: where a pixel lies in its window along columns and rows, -1 to 1."""
    cols = torch.linspace(-1, 1, x.shape[3], device=x.device, dtype=x.dtype).expand(len(x), 1, x.shape[2], -1)
    rows = torch.linspace(-1, 1, x.shape[2], device=x.device, dtype=x.dtype)[:, None].expand(len(x), 1, -1, x.shape[3])
    return torch.cat([x, cols, rows], 1)


def _peaks(share: Tensor) -> Tensor:
    """Return shares of classes (classes, rows, cols), 0 where a cell before it in its neighbourhood has more."""
    highest = max_pool2d(share[None], 2, stride=1, padding=1)[0, :, :-1, :-1]
    return share * (highest == share)


def _dice(soft: Tensor, true: Tensor) -> Tensor:
    """Return the Dice losses (N,) of masks (N, h, w)."""
    common = (soft * true).sum((1, 2))
    return 1 - 2 * common / (soft.square().sum((1, 2)) + true.square().sum((1, 2)) + 1e-3)
