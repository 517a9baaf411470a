"""Batches of random windows: drawn by site, made ahead in a thread, the same for every run of one seed."""

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
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


class Hard(NamedTuple):
    """Where a network was wrong, and the share of windows that are cut there."""

    share: float = 0.0
    wrong: Sequence[NDArray[np.int32]] = ()  # pixels of each cell, by area (rows, cols); none: nothing is known


class Sampler:
    """Where windows are cut: in areas by their chance, a share of them at errors, of the rest around a rare class."""

    def __init__(self, areas: Sequence[LabelledArea], recipe: Recipe, rare_share: float, hard: Hard) -> None:
        self.areas, self.recipe, self.rare_share = areas, recipe, rare_share
        self.places = [Places(area, recipe.target) for area in areas]
        counts = np.array([place.counts for place in self.places], np.float64)  # (areas, channels)
        self.chance = area_shares(areas, counts.sum(1).astype(int).tolist())
        of_channel = counts.sum(0) / counts.sum()
        self.rare = [int(c) for c in np.flatnonzero((of_channel > 0) & (of_channel < RARE))]
        dense = self.chance[:, None] * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        self.chance_of = {c: dense[:, c] / dense[:, c].sum() for c in self.rare}
        of_pixel = self.chance / np.maximum(counts.sum(1), 1)
        errors = [wrong.ravel() * of for wrong, of in zip(hard.wrong, of_pixel, strict=False)]
        self.first_cells = np.cumsum([0, *(len(cells) for cells in errors)])
        self.errors = np.cumsum(np.concatenate([[0.0], *errors]))
        self.hard_share = hard.share if self.errors[-1] > 0 else 0.0

    def window(
        self, rng: np.random.Generator, *, done: float
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], str]:
        """Return a window, its labels, the rest and where it is from; done: share of the training that is over."""
        if self.hard_share and rng.random() < self.hard_share:
            at, centre = self._at_an_error(rng)
        else:
            at, centre = self._anywhere(rng)
        area = self.areas[at]
        cut = random_window(area, self.recipe, rng, centre=centre, done=done)
        return *cut, f"{Path(area.site).name} at row {centre[0]:.0f}, column {centre[1]:.0f} of area {at + 1}"

    def _at_an_error(self, rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
        """Return an area and a place in it: the more of a cell is wrong, the likelier it is drawn."""
        cell = int(np.searchsorted(self.errors, rng.random() * self.errors[-1], side="right")) - 1
        at = int(np.searchsorted(self.first_cells, cell, side="right")) - 1
        return at, self.places[at].draw_in(rng, cell - int(self.first_cells[at]))

    def _anywhere(self, rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
        channel = None
        if self.rare and rng.random() < self.rare_share:
            channel = self.rare[rng.integers(len(self.rare))]
        at = int(rng.choice(len(self.areas), p=self.chance if channel is None else self.chance_of[channel]))
        return at, self.places[at].draw(rng, channel=channel)


def batches(
    areas: Sequence[LabelledArea],
    recipe: Recipe,
    *,
    batch: int,
    seed: int,
    measured: Sequence[Group] = (),
    first: int = 0,
    until: int | None = None,
    total: int = 1,
    rare_share: float = 0.0,
    hard: Hard = Hard(),  # noqa: B008  # it is frozen
) -> Generator[Batch]:
    """Yield the batches numbered ``first`` up to ``until``, None for ever; windows depend on seed, number and ``hard``.

    measured: groups whose distances are made; total: how many batches the training has; rare_share: of windows that
    are drawn around a rare class, of those that are not at errors.
    """
    drawn = Sampler(areas, recipe, rare_share, hard)

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
        numbers = count(first) if until is None else iter(range(first, until))
        ahead = [pool.submit(make, number) for number in islice(numbers, AHEAD)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(make, number) for number in islice(numbers, 1)]
