"""Batches of random windows: drawn by site, made ahead in a thread, the same for every run of one seed."""

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.training.areas import LabelledArea, Places
from geoseg.training.augment import Recipe, random_window
from geoseg.training.losses.distances import signed_distances
from geoseg.training.losses.terms import Group
from geoseg.training.mixing import mixed

RARE = 0.1  # share of the labels below which a channel is rare
AHEAD = 2  # batches that are made before they are asked for


class Batch(NamedTuple):
    """Windows of a step: images (B, C, size, size), labels (B, size, size), and distances by group, as labels.

    places: where each window was cut, in words; beside: what is learnt beside classes (B, D, size, size), NaN where
    void; other: labels that count by ``1 - share`` beside the labels, after a mixup; numbers: (B, G, size, size), truth
    of the outputs beside the target, NaN where not known.
    """

    images: Tensor
    labels: Tensor
    distances: Mapping[Group, Tensor]
    numbers: Tensor
    places: tuple[str, ...] = ()
    beside: Tensor | None = None
    other: Tensor | None = None
    share: float = 1.0

    def on(self, device: str) -> "Batch":
        """Return the same on a device."""
        if device == "cpu":
            return self
        far = {group: tensor.to(device) for group, tensor in self.distances.items()}
        beside, other = (None if one is None else one.to(device) for one in (self.beside, self.other))
        numbers, images, labels = (one.to(device) for one in (self.numbers, self.images, self.labels))
        return self._replace(images=images, labels=labels, distances=far, numbers=numbers, beside=beside, other=other)


def area_shares(areas: Sequence[LabelledArea], known: Sequence[int]) -> NDArray[np.float64]:
    """Return the chance of every area: sites by their share, areas of one site by their ``known`` pixels."""
    of_site: dict[str, float] = {}
    for area, n in zip(areas, known, strict=True):
        of_site[area.site] = of_site.get(area.site, 0.0) + n
    chance = np.array([a.share * n / of_site[a.site] for a, n in zip(areas, known, strict=True)])
    return chance / chance.sum()


class Sampler:
    """Where windows are cut: in areas by their chance, and a share of them around a rare class."""

    def __init__(self, areas: Sequence[LabelledArea], recipe: Recipe, rare_share: float) -> None:
        self.areas, self.recipe, self.rare_share = areas, recipe, rare_share
        self.places = [Places(area, recipe.target) for area in areas]
        counts = np.array([place.counts for place in self.places], np.float64)  # (areas, channels)
        self.chance = area_shares(areas, counts.sum(1).astype(int).tolist())
        of_channel = counts.sum(0) / counts.sum()
        self.rare = [int(c) for c in np.flatnonzero((of_channel > 0) & (of_channel < RARE))]
        dense = self.chance[:, None] * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        self.chance_of = {c: dense[:, c] / dense[:, c].sum() for c in self.rare}

    def window(
        self, rng: np.random.Generator, *, done: float
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], str]:
        """Return a window, its labels, the rest and where it is from; done: share of the training that is over."""
        channel = None
        if self.rare and rng.random() < self.rare_share:
            channel = self.rare[rng.integers(len(self.rare))]
        at = int(rng.choice(len(self.areas), p=self.chance if channel is None else self.chance_of[channel]))
        area, centre = self.areas[at], self.places[at].draw(rng, channel=channel)
        cut = random_window(area, self.recipe, rng, centre=centre, done=done)
        return *cut, f"{Path(area.site).name} at row {centre[0]:.0f}, column {centre[1]:.0f} of area {at + 1}"


def batches(
    areas: Sequence[LabelledArea],
    recipe: Recipe,
    *,
    batch: int,
    seed: int,
    measured: Sequence[Group] = (),
    first: int = 0,
    total: int = 1,
    rare_share: float = 0.0,
) -> Generator[Batch]:
    """Yield batches forever, the one numbered ``first`` at first; windows depend on seed and number alone.

    measured: groups whose distances are made; total: how many batches the training has; rare_share: of windows that
    are drawn around a rare class.
    """
    drawn = Sampler(areas, recipe, rare_share)

    def make(number: int) -> Batch:
        rng = np.random.default_rng((seed, number))
        cut = [drawn.window(rng, done=number / total) for _ in range(batch)]
        images, labels, beside = (np.stack(arrays) for arrays in list(zip(*cut, strict=True))[:3])
        made = mixed(images, labels, recipe.change, rng, rare=drawn.rare)
        own = recipe.target.beside_count
        return Batch(
            torch.from_numpy(made.images).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(made.labels),
            {g: torch.from_numpy(far) for g, far in signed_distances(made.labels, measured).items()},
            torch.from_numpy(beside[:, own:]),
            tuple(place for *_, place in cut),
            torch.from_numpy(beside[:, :own]) if own else None,
            None if made.other is None else torch.from_numpy(made.other),
            made.share,
        )

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(make, first + step) for step in range(AHEAD)]
        for step in count(first + AHEAD):
            yield ahead.pop(0).result()
            ahead.append(pool.submit(make, step))
