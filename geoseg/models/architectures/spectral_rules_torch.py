"""The layers of spectral rules: indices of each pixel, soft conditions on them, and a list of rules."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geoseg.models.architectures.spectral_rules import BANDS

LEAST = 1e-3  # reflectance: what a sum of two bands is at least, where noise would divide by nothing
LEAST_EVI = 0.1  # the same for EVI's denominator, which bright blue turns negative


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """(a - b) / (a + b), within -1..1."""
    return ((a - b) / (a + b).clamp(min=LEAST)).clamp(-1, 1)


def index(name: str, bands: dict[str, Tensor]) -> Tensor:
    """Return an index, or the band of that name.

    NDVI: Rouse et al. 1974; MNDWI, which is also NDSI: Xu 2006, Hall et al. 1995; EVI: Huete et al. 2002.
    """
    blue, green, red, nir, swir16 = (bands[band] for band in BANDS)
    if name == "ndvi":
        return ratio(nir, red)
    if name == "mndwi":
        return ratio(green, swir16)
    if name == "evi":
        return (2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1).clamp(min=LEAST_EVI)).clamp(-1, 1)
    return bands[name]


class SpectralRules(nn.Module):
    """Rules in order (a decision list, Rivest 1987): a pixel is of the first whose conditions it meets.

    A condition is met by sigmoid(slope x index + offset), so its threshold is -offset / slope; a rule by the product of
    its conditions; the last channel takes what no rule takes. slope, offset: (channels - 1, indices).
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, indices: Sequence[str], out_channels: int) -> None:
        super().__init__()
        self.indices = tuple(indices)
        shape = out_channels - 1, len(self.indices)
        self.register_buffer("slope", torch.zeros(shape))
        self.register_buffer("offset", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 5, h, w) reflectance of ``BANDS`` -> logarithms of probabilities (B, out_channels, h, w)."""
        bands = dict(zip(BANDS, x.float().unbind(1), strict=True))
        seen = [index(name, bands) for name in self.indices]
        left = torch.zeros_like(seen[0])  # logarithm of the share that no rule before took
        logs = []
        for slopes, offsets in zip(self.slope, self.offset, strict=True):
            conditions = zip(seen, slopes, offsets, strict=True)
            met = sum((nn.functional.logsigmoid(s * value + o) for value, s, o in conditions), torch.zeros_like(left))
            logs.append(left + met)
            left = left + torch.log(-torch.expm1(met.clamp(max=-1e-6)))
        return torch.stack([*logs, left], 1)
