"""Encoder weights from a local file: which tensors they are, what input they were trained on, and where they fit."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.models.adapt import Policy, adapt_stem, input_layers
from geoseg.models.spec import Normalisation
from geoseg.values.bands import BandSet

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIXES = ("encoder.model.", "encoder.", "")  # where a network keeps its encoder's tensors: timm's, smp's, as they are


@dataclass(frozen=True, slots=True, eq=False)
class EncoderWeights:
    """The content of a weights' file."""

    tensors: "dict[str, Tensor]"
    bands: BandSet  # its input, in channel order
    mean: NDArray[np.float64]  # per band, as a share of the input's range
    std: NDArray[np.float64]
    about: dict[str, str]  # source, licence and sha256, for the bundle

    def normalisation(self, bands: BandSet, *, white: float) -> Normalisation:
        """Return how bands are shown to the network: in the range it knows, whose end is the value ``white``.

        A band that the encoder does not know is shown as its bands are on average.
        """
        own = {band.name: i for i, band in enumerate(self.bands)}
        mean, std = ([v[own[b.name]] if b.name in own else v.mean() for b in bands] for v in (self.mean, self.std))
        return Normalisation(mean=tuple(float(m) * white for m in mean), std=tuple(float(s) * white for s in std))


def read_encoder(path: str) -> EncoderWeights:
    """Read a safetensors file whose metadata say bands, mean and std (0 to 1); raises ModelError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        bands = BandSet.parse(about.pop("bands", "red,green,blue"))
        mean, std = (np.array([float(v) for v in about.pop(key).split(",")]) for key in ("mean", "std"))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: no safetensors file of encoder weights ({error}); see scripts/fetch_encoder.py"
        ) from error
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: its metadata do not say mean and std of its input, e.g. 0.5,0.5,0.5") from error
    if not len(bands) == len(mean) == len(std):
        raise ModelError(f"{path}: {len(bands)} bands, but {len(mean)} means and {len(std)} stds in its metadata")
    return EncoderWeights(
        tensors, bands, mean, std, {**about, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    )


def start_encoder(
    network: "nn.Module", weights: EncoderWeights, bands: BandSet, *, source: str, policy: Policy = "copy"
) -> list[str]:
    """Copy encoder weights into a network whose input is ``bands``; returns the names of the tensors that were set.

    The first convolution is adapted by wavelength. Raises ModelError where tensors of the encoder find no weights.
    """
    import torch

    state = network.state_dict()
    prefix = max(PREFIXES, key=lambda p: sum(p + name in state for name in weights.tensors))
    own = [name for name in state if name.startswith(prefix or "encoder.")]
    stems = input_layers(network, len(bands))
    fits = {}
    for name in own:
        given = weights.tensors.get(name.removeprefix(prefix))
        if given is not None and name in stems:
            given = torch.from_numpy(adapt_stem(given.float().numpy(), weights.bands, bands, policy)[0])
        if given is not None and given.shape == state[name].shape:
            fits[name] = given
    if len(fits) < len(own):
        lacking = next((name for name in own if name not in fits), "encoder")
        raise ModelError(
            f"{source}: {len(fits)} of the encoder's {len(own)} tensors are in it ({lacking} is not); "
            f"take the weights of the encoder that arch names"
        )
    network.load_state_dict({**state, **fits})
    return own
