"""Colour models: how likely pixels of any bands are in a group, as mixtures of Gaussians. Arrays in, arrays out."""

import numpy as np

from geoseg.classical.grid_graph import Floats

COMPONENTS = 3
PIXELS_EACH = 12  # of a component at least: fewer make one
FLOOR = 1e-2  # variance that a model has at least, of standardised bands


def standardised(image: Floats) -> Floats:
    """Return an image (C, H, W) with mean 0 and spread 1 in each band."""
    spread = image.std(axis=(1, 2), keepdims=True)
    return np.asarray((image - image.mean(axis=(1, 2), keepdims=True)) / np.where(spread > 0, spread, 1))


class Colours:
    """A mixture of Gaussians."""

    def __init__(self, shares: Floats, means: Floats, covariances: Floats) -> None:
        self.shares, self.means, self.covariances = shares, means, covariances

    @classmethod
    def of(cls, pixels: Floats) -> "Colours":
        """Fit one to pixels (N, C): k-means from far-apart pixels, then a Gaussian of each group."""
        k = max(1, min(COMPONENTS, len(pixels) // PIXELS_EACH))
        centres = [pixels.mean(0)]
        for _ in range(k - 1):
            apart = np.min([((pixels - c) ** 2).sum(1) for c in centres], axis=0)
            centres.append(pixels[np.argsort(apart)[int(0.95 * (len(pixels) - 1))]])  # the farthest is an outlier
        means = np.stack(centres)
        for _ in range(8):
            group = ((pixels[:, None] - means) ** 2).sum(2).argmin(1)
            means = np.stack([pixels[group == i].mean(0) if (group == i).any() else m for i, m in enumerate(means)])
        group = ((pixels[:, None] - means) ** 2).sum(2).argmin(1)
        used = [i for i in range(k) if (group == i).any()]
        floor = FLOOR * np.eye(pixels.shape[1])
        covariances = [np.cov(pixels[group == i].T, bias=True).reshape(floor.shape) + floor for i in used]
        return cls(np.array([(group == i).mean() for i in used]), means[used], np.stack(covariances))

    def log_likelihood(self, pixels: Floats) -> Floats:
        """Return the log density of pixels (N,)."""
        parts = []
        for share, mean, covariance in zip(self.shares, self.means, self.covariances, strict=True):
            apart = pixels - mean
            distance = (apart @ np.linalg.inv(covariance) * apart).sum(1)
            parts.append(np.log(share) - 0.5 * (distance + np.linalg.slogdet(covariance)[1]))
        return np.asarray(np.logaddexp.reduce(parts, axis=0))
