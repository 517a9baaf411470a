"""The layer of window methods."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.classical.chan_vese import chan_vese
from geoseg.classical.grid_graph import Floats, least_cut
from geoseg.classical.walker import walked
from geoseg.models.architectures.window_method import Method

SURE = 0.9  # probability from which a pixel is a seed of walkers
DOUBT = 10.0  # log likelihood that no pixel goes beyond, so that its neighbours may outvote it
SMOOTH = 2.0  # of graph cuts: what it costs to part two neighbours that are equal, in units of log likelihood
STEPS = 100  # of an outline, a pixel each at most
LOGIT = 4.0  # of the answered class against the others: the method knows no probabilities


class WindowMethod(nn.Conv2d):
    """A linear classifier, then a method that answers for a whole window; it maps (B, C, h, w) to logits (B, K, h, w).

    Channels without weight are not looked at. Graph cuts and Chan-Vese part two classes.
    """

    def __init__(self, method: Method, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)
        self.method = method

    def forward(self, windows: Tensor) -> Tensor:
        """Return the logits of each window's answer."""
        logs = super().forward(windows.float()).log_softmax(1).clamp(min=-DOUBT).double().cpu().numpy()
        seen = windows[:, self.weight.detach().abs().sum((0, 2, 3)) > 0].double().cpu().numpy()
        found = np.stack([answer(self.method, *pair) for pair in zip(seen, logs, strict=True)]).astype(np.int64)
        hot = nn.functional.one_hot(torch.from_numpy(found), self.out_channels)
        return LOGIT * hot.movedim(3, 1).float().to(windows.device)


def answer(method: Method, image: Floats, logs: Floats) -> NDArray[np.integer]:
    """Return the class (H, W) of each pixel of an image (C, H, W); logs: log probabilities (K, H, W) of it alone."""
    alone = logs.argmax(0)
    if method == "random-walker":
        seeds = np.where(logs.max(0) >= np.log(SURE), alone + 1, 0)
        return walked(image, seeds) - 1 if seeds.any() else alone
    if method == "graph-cut":
        return least_cut(-logs[0], -logs[1], image, smooth=SMOOTH).astype(np.int64)
    whole = np.ones(alone.shape, np.bool_)
    return chan_vese(image, alone == 1, whole, whole, steps=STEPS).astype(np.int64)
