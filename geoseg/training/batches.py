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

AHEAD = 2  # batches that are made before they are asked for


class Batch(NamedTuple):
    """Windows of a step: images (B, C, size, size), labels (B, size, size), and distances by group, as labels.

    places: where each window was cut, in words; beside: what is learnt beside classes (B, D, size, size), NaN where
    void.
    """

    images: Tensor
    labels: Tensor
    distances: Mapping[Group, Tensor]
    places: tuple[str, ...] = ()
    beside: Tensor | None = None

    def on(self, device: str) -> "Batch":
        """Return the same on a device."""
        if device == "cpu":
            return self
        far = {group: tensor.to(device) for group, tensor in self.distances.items()}
        beside = None if self.beside is None else self.beside.to(device)
        return Batch(self.images.to(device), self.labels.to(device), far, self.places, beside)


def area_shares(areas: Sequence[LabelledArea], known: Sequence[int]) -> NDArray[np.float64]:
    """Return the chance of every area: sites by their share, areas of one site by their ``known`` pixels."""
    of_site: dict[str, float] = {}
    for area, n in zip(areas, known, strict=True):
        of_site[area.site] = of_site.get(area.site, 0.0) + n
    chance = np.array([a.share * n / of_site[a.site] for a, n in zip(areas, known, strict=True)])
    return chance / chance.sum()


def batches(
    areas: Sequence[LabelledArea],
    recipe: Recipe,
    *,
    batch: int,
    seed: int,
    measured: Sequence[Group] = (),
    first: int = 0,
) -> Generator[Batch]:
    """Yield batches forever, the one numbered ``first`` at first; windows depend on seed and number alone.

    measured: groups whose distances are made.
    """
    places = [Places(area, recipe.target) for area in areas]
    chance = area_shares(areas, [int(p.counts.sum()) for p in places])

    def window(
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], str]:
        at = rng.choice(len(areas), p=chance)
        return *random_window(areas[at], recipe, rng, places=places[at]), Path(areas[at].site).name

    def make(step: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        cut = [window(rng) for _ in range(batch)]
        images, labels, beside = (np.stack(arrays) for arrays in list(zip(*cut, strict=True))[:3])
        if recipe.change.cutmix > 0:
            images, labels = _cutmix(images, labels, recipe.change.cutmix, rng)
        distances = {g: torch.from_numpy(far) for g, far in signed_distances(labels, measured).items()}
        seen = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        more = torch.from_numpy(beside) if beside.shape[1] else None
        return Batch(seen, torch.from_numpy(labels), distances, tuple(place for *_, place in cut), more)

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(make, first + step) for step in range(AHEAD)]
        for step in count(first + AHEAD):
            yield ahead.pop(0).result()
            ahead.append(pool.submit(make, step))


def _cutmix(
    images: NDArray[np.float32], labels: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Give a share of the windows a rectangle of the next one, pixels and labels (Yun et al. 2019, CutMix)."""
    size = labels.shape[1]
    mixed, known = images.copy(), labels.copy()
    for i in range(len(images)):
        if rng.random() < share:
            h, w = rng.integers(size // 4, size * 3 // 4, 2)
            r, c = rng.integers(0, size - h), rng.integers(0, size - w)
            other = (i + 1) % len(images)
            mixed[i, :, r : r + h, c : c + w] = images[other, :, r : r + h, c : c + w]
            known[i, r : r + h, c : c + w] = labels[other, r : r + h, c : c + w]
    return mixed, known
