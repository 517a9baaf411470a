"""Layers of the networks in fcn."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from geoseg.models.architectures.smp import encoder
from geoseg.models.architectures.upsampling_torch import enlarging

if TYPE_CHECKING:
    from geoseg.models.architectures.fcn import Fcn8sOptions, FcnResnetOptions


class Fcn8s(nn.Module):
    """Class scores of an encoder's last three levels, each brought up and added to the next."""

    def __init__(self, in_channels: int, out_channels: int, options: "Fcn8sOptions") -> None:
        super().__init__()
        self.encoder = encoder(options.encoder_name, in_channels)
        self.scores = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in self.encoder.out_channels[:-4:-1])
        self.up = nn.ModuleList(enlarging(options.upsampling, out_channels, times) for times in (2, 2, 8))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        features = self.encoder(x)[:-4:-1]
        y, *others = (score(feature) for score, feature in zip(self.scores, features, strict=True))
        for other, up in zip(others, self.up, strict=False):
            y = up(y) + other
        return self.up[-1](y)


class FcnResnet(nn.Module):
    """torchvision's FCN, its stem for any bands and its logits brought up as asked."""

    def __init__(self, in_channels: int, out_channels: int, options: "FcnResnetOptions") -> None:
        super().__init__()
        from torchvision.models import segmentation

        made = getattr(segmentation, f"fcn_{options.encoder_name}")
        network = made(weights=None, weights_backbone=None, num_classes=out_channels, aux_loss=False)
        network.backbone.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.backbone, self.classifier = network.backbone, network.classifier
        self.up = enlarging(options.upsampling, out_channels, 8)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, out_channels, h, w)."""
        return self.up(self.classifier(self.backbone(x)["out"]))
