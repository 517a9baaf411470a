"""What all networks have in common that detect objects in windows."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from geoseg.models.detecting import Detecting
from geoseg.objects.found import SCORES, Detection
from geoseg.values.box import Box

SURE = 6.0  # logit of a painted class
USUAL = Detecting(things=("any",))


def detection(share: Tensor, least: float, class_id: int, score: float) -> Detection | None:
    """Return the object whose pixels have a share (h, w) of ``least`` or more of a window; None where it has none."""
    own = share >= least
    rows, cols = own.any(1).nonzero()[:, 0], own.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    box = Box(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
    mask = own[box.row0 : box.row1, box.col0 : box.col1].cpu().numpy()
    return Detection(box, mask, class_id, round(score * SCORES))


class Detector(nn.Module):
    """A network that lists the objects of a window."""

    classes: int
    """How many classes objects have."""

    blends: bool = False
    """Whether it answers classes of pixels too: ``forward`` gives them then, instead of what is painted."""

    @abstractmethod
    def detect(self, x: Tensor, rules: Detecting) -> list[Detection]:
        """Return the objects of a window (1, C, h, w), the best first; ``class_id``: 0 to ``classes`` - 1."""

    @abstractmethod
    def loss(self, images: Tensor, objects: list[dict[str, Tensor]]) -> Tensor:
        """Return the loss of images (B, C, h, w) as a scalar.

        objects: of each image, boxes (N, 4) as left, top, right, bottom; labels (N,), 1 for the first class; masks
        (N, h, w) of bytes.
        """

    def loss_and_classes(self, images: Tensor, objects: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return the loss of the objects, see ``loss``, and the logits (B, K, h, w) of a network that blends."""
        return self.loss(images, objects), self(images)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> what is detected, painted: logits (B, 1 + classes, h, w), the first of no object."""
        out = torch.full((len(x), 1 + self.classes, *x.shape[-2:]), -SURE)
        for logits, window in zip(out, x.split(1), strict=True):
            painted = torch.zeros(x.shape[-2:], dtype=torch.long)
            for one in reversed(self.detect(window, USUAL)):
                rows, cols = slice(one.box.row0, one.box.row1), slice(one.box.col0, one.box.col1)
                painted[rows, cols][torch.from_numpy(one.mask)] = 1 + one.class_id
            logits.scatter_(0, painted[None], SURE)
        return out.to(x.device)
