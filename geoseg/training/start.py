"""What stands before the first step: the bundle's spec, the weights that a network starts from, labels that suffice."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from torch import nn

from geoseg.errors import ConfigError, InputError
from geoseg.models.adapt import PROBE_PX, start_from
from geoseg.models.architectures import check_architecture
from geoseg.models.bundle import load_model
from geoseg.models.spec import ModelSpec, Normalisation
from geoseg.training.encoder import EncoderWeights, encoder_tensors, start_encoder
from geoseg.training.samples import Samples
from geoseg.training.spec import TrainSpec
from geoseg.training.weights import label_counts
from geoseg.values.bands import BandSet

log = logging.getLogger(__name__)


def model_spec(spec: TrainSpec, samples: Samples, encoder: EncoderWeights | None = None) -> ModelSpec:
    """Return what the bundle will say of the network; its normalisation is given, the encoder's, or the data's."""
    if spec.normalisation is not None:
        normal = spec.normalisation
    elif spec.encoder is not None and encoder is not None:
        normal = encoder.normalisation(spec.band_set, white=spec.encoder.white)
    elif spec.encoder is not None and spec.start_from is not None:
        normal = known_normalisation(load_model(spec.start_from).spec, spec.band_set, samples)
    else:
        mean, std = samples.statistics()
        normal = Normalisation(mean=_six_digits(mean), std=_six_digits(std))
    return spec.of_model(normal).model_copy(update={"values": samples.values()})


def known_normalisation(donor: ModelSpec, bands: BandSet, samples: Samples) -> Normalisation:
    """Return how a donor's encoder is shown each band: as it knows it; those that it lacks, as the data are."""
    mean, std = ([float(v) for v in values] for values in samples.statistics())
    for i, band in enumerate(bands):
        if donor.band_set.holds(band):
            at = donor.band_set.indices_of(BandSet((band,)))[0]
            mean[i], std[i] = donor.normalisation.mean[at], donor.normalisation.std[at]
    return Normalisation(mean=_six_digits(mean), std=_six_digits(std))


def started(
    network: nn.Module, spec: TrainSpec, model: ModelSpec, encoder: EncoderWeights | None, samples: Samples
) -> tuple[frozenset[str], dict[str, object]]:
    """Give a network the weights that it starts from; returns the tensors of the encoder, and what the bundle says."""
    slow: frozenset[str] = frozenset()
    told: dict[str, object] = {}
    bands, size_px = model.band_set, check_architecture(model.arch).window_from(PROBE_PX)
    if spec.encoder is not None and spec.encoder.weights is not None and encoder is not None:
        file, measured = spec.encoder.weights, samples.correlation()
        own = start_encoder(
            network, encoder, bands, source=file, policy=spec.stem, correlation=measured, size_px=size_px
        )
        slow = frozenset(own.names)
        told["encoder"] = {**encoder.about, "weights": PurePath(file).name, **own.as_json()}
    if spec.start_from is not None:
        donor, measured = load_model(spec.start_from), samples.correlation()
        given, source = donor.network(), donor.spec.band_set
        origins = start_from(
            network, given, source=source, target=bands, policy=spec.stem, correlation=measured, size_px=size_px
        )
        told["stem"] = {o.band: o.how for o in origins}
        if spec.encoder is not None and spec.encoder.weights is None:
            slow = frozenset(encoder_tensors(network.state_dict()))
            if len(slow) == len(network.state_dict()):
                raise ConfigError(f"encoder: {model.arch.name} has none; leave it out: start_from alone trains all")
        log.info("started from %s: %s", donor.spec.name, "; ".join(f"{o.band}: {o.how}" for o in origins))
    return slow, told


def taught_by(spec: TrainSpec) -> dict[str, object]:
    """Return what a bundle says of its teacher; nothing where it had none."""
    if spec.teacher is None:
        return {}
    teacher = load_model(spec.teacher.model)
    return {"teacher": {"name": teacher.spec.name, "sha256": teacher.digest}}


def class_counts(spec: TrainSpec, samples: Samples) -> dict[str, dict[str, int]]:
    """Return how many pixels of each channel the labels of each role have."""
    names = [c.name for c in spec.target.channels]
    return {
        role: dict(zip(names, label_counts(areas, spec.target).tolist(), strict=True))
        for role, areas in (("train", samples.train), ("validation", samples.validation))
    }


def check_labels(model: ModelSpec, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Warn of classes that training or validation has no label of; counts: see ``class_counts``.

    Raises InputError for a single class, and where the polygon class is one of those that lack labels, or where
    validation has a single class: a network that always answers the same would score best.
    """
    if model.softmax is not None and not model.detects_alone and model.out_channels == 1:
        raise InputError(f"{model.classes[0].name} is the only class, and every pixel would be of it; add another one")
    for role, of_channel in counts.items():
        lacking = _lacking(list(of_channel.values()), model)
        if not lacking:
            continue
        told = f"the {role} areas hold no label of {', '.join(lacking)}"
        alone = role == "validation" and len(model.classes) - len(lacking) < min(2, len(model.classes))
        if model.polygon_class in lacking or alone:
            raise InputError(f"{told}; no epoch could be told from a useless one: move or widen the split")
        log.warning("%s: %s", told, "it cannot be learnt" if role == "train" else "scores say nothing of it")


def _lacking(counts: Sequence[int], model: ModelSpec) -> list[str]:
    """Return the names of the classes that no valid pixel has as its label."""
    seen = {class_index for channel, class_index in enumerate(model.class_of_channel) if counts[channel]}
    return [c.name for i, c in enumerate(model.classes) if i not in seen]


def _six_digits(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{v:.6g}") for v in values)
