"""Encoder weights from a local file: which input they were trained on, and where they fit in a network.

What the files are, and how their keys are matched, is in ``geoseg.models.weights``.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.models.adapt import PROBE_PX, Origin, Policy, adapt_stem, input_layers
from geoseg.models.spec import Normalisation
from geoseg.models.weights import LEAST_MATCHED, match, read_weights
from geoseg.training.spec import EncoderStart
from geoseg.values.bands import BandSet

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)
ENCODERS = ("encoder.", "backbone.body.")  # what the names of its tensors begin with


@dataclass(frozen=True, slots=True, eq=False)
class EncoderWeights:
    """The content of a weights' file."""

    namings: "tuple[dict[str, Tensor], ...]"  # see ``StoredWeights``
    bands: BandSet  # its input, in channel order
    mean: NDArray[np.float64]  # per band, as a share of the input's range
    std: NDArray[np.float64]
    about: dict[str, str]  # source, licence and sha256, for the bundle

    def normalisation(self, bands: BandSet, *, white: float) -> Normalisation:
        """Return how bands are shown to the network: in the range it knows, whose end is the value ``white``.

        A band that the encoder does not know is shown as its bands are on average.
        """
        mean, std = (
            [float(v[self.bands.indices_of(BandSet((b,)))[0]] if self.bands.holds(b) else v.mean()) for b in bands]
            for v in (self.mean, self.std)
        )
        return Normalisation(mean=tuple(m * white for m in mean), std=tuple(s * white for s in std))


def read_encoder(start: EncoderStart) -> EncoderWeights | None:
    """Read the weights that a training starts from, None where none are named.

    What the file does not say of its input is said beside it. Raises ModelError where it is no such file, and where
    neither says bands, mean and std.
    """
    if (path := start.weights) is None:
        return None
    stored = read_weights(path, sha256=start.sha256)
    about = {key: value for key, value in stored.about.items() if key != "hyper_parameters"}
    told = {key: about.pop(key, None) for key in ("bands", "mean", "std")}
    try:
        bands = BandSet.parse(start.bands or told["bands"] or "red,green,blue", sensor=start.sensor)
        mean, std = (_numbers(given, told[key]) for key, given in (("mean", start.mean), ("std", start.std)))
    except (AttributeError, ValueError) as error:
        raise ModelError(
            f"{path}: its metadata do not say mean and std of its input; write them beside it, as shares of white: "
            f"encoder: {{bands: …, mean: [0.5, …], std: [0.5, …], white: 255}}"
        ) from error
    if not len(bands) == len(mean) == len(std):
        raise ModelError(f"{path}: {len(bands)} bands, but {len(mean)} means and {len(std)} stds in its metadata")
    return EncoderWeights(stored.namings, bands, mean, std, {**about, "sha256": stored.sha256})


def _numbers(given: tuple[float, ...] | None, told: str | None) -> NDArray[np.float64]:
    return np.array(given if given is not None else [float(v) for v in told.split(",")])  # type: ignore[union-attr]


def encoder_tensors(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Return the tensors of a network's encoder; all of them where none has a name of one."""
    parts = ({n: v for n, v in state.items() if n.startswith(prefix)} for prefix in ENCODERS)
    return next(filter(None, parts), dict(state))


@dataclass(frozen=True, slots=True)
class Started:
    """What a network has of a weights' file."""

    names: tuple[str, ...]
    """Its tensors that were set, and those that stand beside them in its encoder."""
    stem: tuple[Origin, ...]
    """Where the filters of each band come from."""
    anew: tuple[str, ...]
    """Its tensors that the file has not, or of another shape, as heads of other classes are."""

    def as_json(self) -> dict[str, object]:
        """Return stem and anew for the bundle."""
        return {"stem": {one.band: one.how for one in self.stem}, "anew": list(self.anew)}


def start_encoder(
    network: "nn.Module",
    weights: EncoderWeights,
    bands: BandSet,
    *,
    source: str,
    policy: Policy = "copy",
    correlation: NDArray[np.float64] | None = None,
    size_px: int = PROBE_PX,
) -> Started:
    """Copy weights into the encoder of a network whose input is ``bands``, or into all of a detector where they fit.

    The first convolution is adapted by wavelength, see ``adapt_stem``. size_px: side of a window that the network
    takes. Raises ModelError where less than 80 % of the encoder's tensors are found, or its first convolution is not.
    """
    import torch

    state = network.state_dict()
    own = encoder_tensors(state)
    inputs = input_layers(network, len(bands), size_px)
    found, stems = match(weights.namings, own, stems=inputs), [name for name in inputs if name in own]
    detects = any(name.startswith(ENCODERS[1]) for name in own)
    if detects and (all_of_it := match(weights.namings, state, stems=inputs)).share >= LEAST_MATCHED:
        own, found = all_of_it.tensors, all_of_it  # a detector's weights, but for heads of other classes
    lacking = [
        name for name in stems if name not in found.tensors or len(weights.bands) != found.tensors[name].shape[1]
    ]
    if found.share < LEAST_MATCHED or lacking:
        raise ModelError(
            f"{source}: {len(found.tensors)} of the encoder's {len(own)} tensors are in it "
            f"({(lacking or found.missing)[0]} is not); take the weights of the encoder that arch names, with the "
            f"bands that it was trained on"
        )
    origins: tuple[Origin, ...] = ()
    fits = dict(found.tensors)
    for name in stems:
        weight = found.tensors[name].float().numpy()
        adapted, origins = adapt_stem(weight, weights.bands, bands, policy, correlation=correlation)
        fits[name] = torch.from_numpy(adapted)
    network.load_state_dict({**state, **fits})
    log.info("%s: %s", source, found.in_words())
    log.info("%s: filters of %s", source, "; ".join(f"{one.band}: {one.how}" for one in origins))
    if found.missing:
        log.info("%s: these start anew: %s", source, ", ".join(found.missing))
    return Started(tuple(own), origins, found.missing)
