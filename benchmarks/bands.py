"""A network trained on red, green and blue, started on other bands: geoseg's ways beside those of smp and timm.

usage: python benchmarks/bands.py --data FOLDER [--seeds N]
FOLDER holds naip_va_us/ and s2_spain_water/. First the variance of each filter's response on the standardised bands of
a scene's right half over that on its red, green and blue; then the loss on water there, after a few steps on the left
half, of the Sentinel-2 scene. The bands' correlation is measured on the left half. The network is the bundle
"buildings": its encoder began as ImageNet's. Windows and decoder are drawn by the seeds.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import describe
from numpy.typing import NDArray
from timm.models import adapt_input_conv
from torch import nn

from geoseg import load_model, open_scene
from geoseg.models.adapt import adapt_stem, input_layers
from geoseg.models.architectures import build_network
from geoseg.scenes.reading import read
from geoseg.values.bands import BandSet

SIDE, WINDOWS = 128, 24  # of a seed
STEPS, BATCH = (0, 10, 20, 40), 8
LIVE = 0.01  # of the strongest filter: training has left weaker ones dead
Weight = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """A scene, and the bands that a network is to see."""

    file: str
    sensor: str
    bands: str


PLACES = (
    Place("naip_va_us/naip_va_rgbn.tif", "naip", "R,G,B,N"),
    Place("s2_spain_water/Spain_7370579_S2Hand.tif", "sentinel-2", "B02,B03,B04,B08,B11,B12"),
)


def smp_way(weight: Weight, source: BandSet, target: BandSet) -> Weight:
    """Return segmentation-models-pytorch's: filters in turn, whatever the band is."""
    return np.stack([weight[:, i % len(source)] for i in range(len(target))], 1) * len(source) / len(target)


def timm_way(weight: Weight, _source: BandSet, target: BandSet) -> Weight:
    """Return timm's."""
    return np.asarray(adapt_input_conv(len(target), torch.from_numpy(weight.copy())))


def drawn(weight: Weight, _source: BandSet, target: BandSet) -> Weight:
    """Return what a layer without pretrained weights begins with."""
    shape = (len(weight), len(target), *weight.shape[2:])
    return nn.init.kaiming_normal_(torch.empty(shape), mode="fan_out", nonlinearity="relu").numpy()


def geoseg_way(policy: str, known: Weight | None, weight: Weight, source: BandSet, target: BandSet) -> Weight:
    """Return one of geoseg's; ``known``: pixels whose bands' correlation is taken, as training takes it."""
    measured = None if known is None else np.corrcoef(known.reshape(len(known), -1))
    return adapt_stem(weight, source, target, policy, correlation=measured)[0]  # type: ignore[arg-type]


def ways(known: Weight) -> dict[str, Callable[[Weight, BandSet, BandSet], Weight]]:
    """Return all ways by name."""
    return {
        **{f"geoseg {policy}": partial(geoseg_way, policy, known) for policy in ("copy", "zero", "mean")},
        "geoseg copy, correlation not measured": partial(geoseg_way, "copy", None),
        "smp": smp_way,
        "timm": timm_way,
        "random": drawn,
    }


CURVES = ("geoseg copy", "geoseg zero", "smp", "random")  # timm's way is smp's


def pixels(folder: Path, place: Place) -> tuple[Weight, BandSet]:
    """Return the standardised bands (C, H, W) of a scene, and what they are."""
    scene = open_scene(folder / place.file, sensor=place.sensor, nodata=None)
    chosen = scene.select(BandSet.parse(place.bands, sensor=place.sensor))
    data = read(chosen, chosen.grid.box).data.astype(np.float32)
    mean, std = data.mean((1, 2), keepdims=True), data.std((1, 2), keepdims=True)
    return (data - mean) / std, chosen.bands


def windows(image: Weight, seed: int) -> torch.Tensor:
    """Return (N, C, side, side) windows of an image."""
    rng = np.random.default_rng(seed)
    corners = [(rng.integers(n - SIDE, size=WINDOWS)) for n in image.shape[1:]]
    return torch.from_numpy(np.stack([image[:, r : r + SIDE, c : c + SIDE] for r, c in zip(*corners, strict=True)]))


def variances(folder: Path, place: Place, seeds: int) -> None:
    """Print the median and the spread over filters and seeds of the ratio of variances."""
    donor = load_model("buildings")
    network, source = donor.network(), donor.spec.band_set
    weight = network.state_dict()[input_layers(network, 3)[0]].numpy()
    strength = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)
    weight = weight[strength > LIVE * strength.max()]
    image, bands = pixels(folder, place)
    half = image.shape[2] // 2
    known, image = image[:, :, :half], image[:, :, half:]
    rgb = list(bands.indices_of(source))
    print(f"\n{place.file}: {', '.join(source.names)} to {', '.join(bands.names)}")
    print("| way | median ratio | 5 % | 95 % | correlation with the RGB response |\n|---|---|---|---|---|")
    for name, way in ways(known).items():
        ratios, alike = [], []
        for seed in range(seeds):
            torch.manual_seed(seed)
            seen = windows(image, seed)
            before = nn.functional.conv2d(seen[:, rgb], torch.from_numpy(weight)).transpose(0, 1).flatten(1)
            after = nn.functional.conv2d(seen, torch.from_numpy(way(weight, source, bands))).transpose(0, 1).flatten(1)
            ratios += (after.var(1) / before.var(1)).tolist()
            alike += [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(before, after, strict=True)]
        low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
        print(f"| {name} | {middle:.2f} | {low:.2f} | {high:.2f} | {np.median(alike):.2f} |")


def curves(folder: Path, place: Place, seeds: int) -> None:
    """Print the loss on the right half of a scene after a few steps on its left half."""
    image, bands = pixels(folder, place)
    file = folder / place.file.replace("S2Hand", "LabelHand")
    label = read(open_scene(file), open_scene(file).grid.box).data[0].astype(np.int64)
    half = image.shape[2] // 2
    print(f"\n{place.file}: cross entropy on the right half (mean of {seeds} seeds, ± standard deviation)")
    print("| way | " + " | ".join(f"{n} steps" for n in STEPS) + " |\n|---|" + "---|" * len(STEPS))
    for name in CURVES:
        losses = np.array(
            [fine_tuned(ways(image[:, :, :half])[name], image, label, half, (bands, seed)) for seed in range(seeds)]
        )
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(losses.mean(0), losses.std(0), strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


def fine_tuned(
    way: Callable[[Weight, BandSet, BandSet], Weight],
    image: Weight,
    label: NDArray[np.int64],
    half: int,
    told: tuple[BandSet, int],
) -> list[float]:
    """Return the loss on the right half after each of STEPS."""
    bands, seed = told
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    donor = load_model("buildings")
    given, source = donor.network(), donor.spec.band_set
    network = build_network(donor.spec.arch, in_channels=len(bands), out_channels=2)
    state, stem = given.state_dict(), input_layers(given, 3)[0]
    state[stem] = torch.from_numpy(way(state[stem].numpy(), source, bands).astype(np.float32))
    own = network.state_dict()
    network.load_state_dict({k: state[k] if k in state and state[k].shape == v.shape else v for k, v in own.items()})
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    right = torch.from_numpy(image[None, :, :256, half : half + 256].copy())
    truth = torch.from_numpy(label[None, :256, half : half + 256].copy())
    losses = []
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            with torch.no_grad():
                losses.append(float(nn.functional.cross_entropy(network.eval()(right), truth, ignore_index=-1)))
        rows, cols = rng.integers(image.shape[1] - 64, size=BATCH), rng.integers(half - 64, size=BATCH)
        cut = [(slice(r, r + 64), slice(c, c + 64)) for r, c in zip(rows, cols, strict=True)]
        x = torch.from_numpy(np.stack([image[:, *c] for c in cut]))
        y = torch.from_numpy(np.stack([label[c] for c in cut]))
        optimiser.zero_grad()
        nn.functional.cross_entropy(network.train()(x), y, ignore_index=-1).backward()
        optimiser.step()
    return losses


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print(describe())
    for place in PLACES:
        variances(args.data, place, args.seeds)
    curves(args.data, PLACES[1], args.seeds)


if __name__ == "__main__":
    main()
