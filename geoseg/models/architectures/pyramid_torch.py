"""Feature pyramids of detectors: torchvision's (Lin et al. 2017) on encoders of smp and timm; anchors over them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from geoseg.models.architectures.smp import encoder

RATIOS = (0.5, 1.0, 2.0)  # of the sides of anchors


class Pyramid(nn.Module):
    """An encoder and its feature pyramid, called as torchvision calls them, so that its weights fit."""

    def __init__(
        self,
        in_channels: int,
        encoder_name: str,
        width: int,
        *,
        levels: int,
        beyond: ExtraFPNBlock,
        norm: Callable[..., nn.Module] | None = None,
    ) -> None:
        """levels: of the encoder, up to a thirty-second of the size; beyond: what makes the coarser ones."""
        super().__init__()
        self.body = encoder(encoder_name, in_channels, depth=5)
        self.levels, self.out_channels = levels, width
        self.fpn = FeaturePyramidNetwork(list(self.body.out_channels[-levels:]), width, beyond, norm_layer=norm)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, h, w) -> maps (B, width, ·, ·), each half as large as the one before."""
        maps = self.body(x)[-self.levels :]
        found: dict[str, Tensor] = self.fpn(OrderedDict((str(i), one) for i, one in enumerate(maps)))
        return found


def anchors(sides: Sequence[int]) -> AnchorGenerator:
    """Return what makes the boxes that are looked for: of one side a level, in each of ``RATIOS``."""
    return AnchorGenerator(tuple((side,) for side in sides), (RATIOS,) * len(sides))


def listed(x: Tensor) -> ImageList:
    """Return windows (B, C, h, w) as torchvision takes images, of their own size."""
    return ImageList(x, [(int(x.shape[2]), int(x.shape[3]))] * len(x))
