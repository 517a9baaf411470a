"""Networks by name: a compact U-Net of our own, and segmentation-models-pytorch's U-Net with any of its encoders."""

from collections.abc import Callable
from typing import Any

from torch import nn

from geoseg.errors import ConfigError
from geoseg.models.architectures import check_architecture
from geoseg.models.architectures.compact_unet_torch import CompactUNet
from geoseg.models.architectures.probes_torch import PROBES
from geoseg.models.spec import Architecture


def _smp_unet(in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    import segmentation_models_pytorch as smp

    # encoder_weights=None: smp would fetch weights from a hub; geoseg loads weights from bundles and local files.
    return smp.Unet(in_channels=in_channels, classes=out_channels, encoder_weights=None, **options)


MOST_TOLD = 200  # characters of a library's own words
NETWORKS: dict[str, Callable[..., nn.Module]] = {"compact-unet": CompactUNet, "smp-unet": _smp_unet}


def build_network(arch: Architecture, *, in_channels: int, out_channels: int) -> nn.Module:
    """Build the network of ``arch`` with random weights; it maps (B, in, h, w) to logits (B, out, h, w).

    Raises ConfigError for an unknown name or options its builder does not take.
    """
    check_architecture(arch)
    try:
        return {**NETWORKS, **PROBES}[arch.name](in_channels, out_channels, **arch.options)
    except MemoryError:
        raise
    except Exception as error:  # libraries raise whatever they like for an encoder they do not know
        told = f"{type(error).__name__}: {error}"[:MOST_TOLD]
        raise ConfigError(f"architecture {arch.name} does not take {arch.options}: {told}") from error
