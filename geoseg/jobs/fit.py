"""fit: a classical method is fitted to a scene and becomes a bundle, which runs take like any other."""

from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.classical.clusters import kmeans
from geoseg.classical.threshold import otsu
from geoseg.errors import ConfigError, InputError
from geoseg.models.architectures import build_network, check_architecture
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.derived import INDICES, Derived, with_derived
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.options.fit import FitOptions
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.values.bands import Band, BandSet, resolve_band

if TYPE_CHECKING:
    from torch import nn

BLOCK_PX = 2048  # side of the blocks that are read
SAMPLE_PX = 250_000  # pixels that clusters are fitted to, on a lattice of the scene
BINS = 2**16  # of a histogram of values that are no whole numbers


class Looked(NamedTuple):
    """What of a scene is looked at."""

    scene: Scene
    """Reduced to the bands that are needed."""
    bands: BandSet
    """The channels of the network: the scene's bands, then what is derived of them."""
    derived: tuple[Derived, ...]
    chosen: tuple[int, ...]
    """Which of the channels count."""


class Linear(NamedTuple):
    """A linear classifier of ``chosen`` channels, normalised, and what is said of how it was found."""

    mean: NDArray[np.float64]  # (C,)
    std: NDArray[np.float64]  # (C,)
    weight: NDArray[np.float64]  # (K, C)
    bias: NDArray[np.float64]  # (K,)
    facts: dict[str, Any]


def fit(scene: Scene, folder: Path, options: FitOptions, *, overwrite: bool = False) -> ModelBundle:
    """Fit a method to a scene and write it as a bundle.

    Otsu's threshold is that of all valid pixels; clusters are those of a lattice of pixels. Confidence is the
    probability of the class if the values of each were normally distributed, all as wide. Raises InputError for bands
    that the scene lacks or whose values do not differ, ConfigError, OutputError.
    """
    looked = _looked_at(scene, options)
    found = _by_threshold(looked) if options.method == "otsu" else _by_clusters(looked, options)
    n, chosen = len(looked.bands), list(looked.chosen)
    mean, std = np.zeros(n), np.ones(n)
    mean[chosen], std[chosen] = found.mean, found.std
    arch = Architecture(name="linear")
    if options.window_method is not None:
        arch = Architecture(name="window-method", options={"method": options.window_method})
    window, margin, ramp = check_architecture(arch).windows
    spec = ModelSpec(
        name=options.method,
        arch=arch,
        bands=tuple(looked.bands),
        derived=looked.derived,
        gsd_m=None,
        normalisation=Normalisation(mean=tuple(mean.tolist()), std=tuple(std.tolist())),
        window_px=window,
        margin_px=margin,
        ramp_px=ramp,
        multiple_px=1,
        outputs=(Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in options.table)),),
        classes=options.table,
        ground=f"fitted to {scene.name}",
        training={"method": options.method, "of": [looked.bands.names[i] for i in chosen], **found.facts},
    )
    return save_model(folder, _network(spec, found, chosen), spec=spec, half=False, overwrite=overwrite)


def _network(spec: ModelSpec, found: Linear, chosen: Sequence[int]) -> "nn.Module":
    import torch

    network = build_network(spec.arch, in_channels=len(spec.bands), out_channels=spec.out_channels)
    weight = np.zeros((spec.out_channels, len(spec.bands)))
    weight[:, chosen] = found.weight
    network.load_state_dict(
        {
            "weight": torch.from_numpy(weight.astype(np.float32))[:, :, None, None],
            "bias": torch.from_numpy(found.bias.astype(np.float32)),
        }
    )
    return network


def _looked_at(scene: Scene, options: FitOptions) -> Looked:
    names = [part.strip() for part in options.of.split(",")] if options.of else list(scene.bands.names)
    if options.method == "otsu" and len(names) != 1:
        raise ConfigError(f"of: otsu looks at one band or index, e.g. --of ndwi; {scene.name} has {', '.join(names)}")
    derived = tuple(Derived.parse(name) for name in names if "=" in name or name.lower() in INDICES)
    own = {one.band for one in derived}
    plain = [name for name in names if "=" not in name and name.lower() not in INDICES]
    wanted = tuple(resolve_band(name) for name in plain) if options.of else tuple(scene.bands)
    operands = tuple(resolve_band(name) for one in derived for name in one.operands)
    held = BandSet(tuple({band.name: band for band in (*operands, *wanted)}.values()))
    bands = BandSet((*held, *(Band(one.band) for one in derived)))
    counted = {band.name for band in wanted} | own
    chosen = tuple(i for i, name in enumerate(bands.names) if name in counted)
    return Looked(scene.select(held), bands, derived, chosen)


def _values(looked: Looked, step: int = 1) -> Iterator[NDArray[np.float32]]:
    """Yield (C, n) values of the valid pixels of every ``step``-th row and column, of the channels that count."""
    scene = looked.scene
    for box in scene.grid.box.blocks(BLOCK_PX):
        raster = read(scene, box)
        cut = slice(-box.row0 % step, None, step), slice(-box.col0 % step, None, step)
        image = scene.physical(raster.data[:, *cut].astype(np.float32))
        image, _ = with_derived(image, scene.bands, looked.bands, looked.derived)
        yield image[list(looked.chosen)][:, raster.valid[cut]]


def _by_threshold(looked: Looked) -> Linear:
    values, counts = _histogram(looked)
    try:
        found = otsu(values, counts)
    except ValueError as error:
        raise _constant(looked) from error
    low, high = found.means
    slope = (high - low) / found.spread  # of the log odds per spread, as for two normal distributions of one width
    facts = {"threshold": found.value, "separability": round(found.separability, 6), "pixels": int(counts.sum())}
    return Linear(
        np.array([found.value]), np.array([found.spread]), np.array([[-slope / 2], [slope / 2]]), np.zeros(2), facts
    )


def _histogram(looked: Looked) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values, ascending, and how often each occurs: all of whole numbers of up to 16 bits, else equal bins."""
    low, high = np.inf, -np.inf
    for values in _values(looked):
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not low < high:
        raise _constant(looked)
    source = looked.scene.sources[0]
    whole = not looked.derived and np.dtype(looked.scene.dtype).kind in "iu" and source.limits is None
    bins = round((high - low) / abs(source.scale)) + 1 if whole else BINS
    whole, bins = whole and bins <= BINS, min(bins, BINS)
    width = abs(source.scale) if whole else (high - low) / bins
    counts = np.zeros(bins, np.int64)
    for values in _values(looked):
        at = (values[0].astype(np.float64) - low) / width
        counts += np.bincount(np.minimum((np.rint(at) if whole else at).astype(np.int64), bins - 1), minlength=bins)
    return np.float64(low) + (np.arange(bins) + (0 if whole else 0.5)) * width, counts


def _by_clusters(looked: Looked, options: FitOptions) -> Linear:
    height, width = looked.scene.grid.shape
    step = max(1, ceil(sqrt(height * width / SAMPLE_PX)))
    seen = np.concatenate(list(_values(looked, step)), axis=1).astype(np.float64).T
    if not len(seen):
        raise InputError(f"{looked.scene.name}: none of its pixels is valid")
    mean, std = seen.mean(0), seen.std(0)
    std[std == 0] = 1
    points = (seen - mean) / std
    try:
        found = kmeans(points, options.count, seed=options.seed)
    except ValueError as error:
        raise InputError(f"{looked.scene.name}: {error} cannot be; ask for fewer with --classes") from error
    precision = 1 / found.spread**2
    facts = {"pixels": len(seen), "every_px": step, "seed": options.seed, "shares": found.shares.round(6).tolist()}
    bias = -precision * (found.centres**2).sum(1) / 2
    return Linear(mean, std, precision * found.centres, bias, facts)


def _constant(looked: Looked) -> InputError:
    (name,) = (looked.bands.names[i] for i in looked.chosen)
    return InputError(f"{looked.scene.name}: {name} has one value, or none: there is no threshold; choose another --of")
