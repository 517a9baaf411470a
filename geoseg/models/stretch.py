"""Stretch: a scene of another range brought to a model's, by percentiles of the whole scene, never of a tile."""

from dataclasses import replace

import numpy as np

from geoseg.errors import ConfigError, InputError
from geoseg.models.fitness import BYTE, of_bytes, stretches
from geoseg.models.spec import ModelSpec
from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import Scene


def stretched(scene: Scene, spec: ModelSpec, seen: Sample, percentiles: tuple[float, float]) -> Scene:
    """Return a scene, reduced to a model's bands, whose two percentiles lie where the model's training has them.

    seen: pixels of it, which its grid alone decides. A model of bytes that does not say its values gets 0 and 255, and
    no model of bytes sees values beyond these. Raises ConfigError where nothing is known of a model's values, and
    InputError where a band has no spread.
    """
    if not stretches(spec):
        raise ConfigError(f"--stretch: model {spec.name!r} does not say which values it was trained on; use --scale")
    if len(spec.inputs_of(scene.bands)) < len(scene.bands):
        raise ConfigError(f"--stretch: model {spec.name!r} derives channels of bands that it does not see; use --scale")
    values = seen.physical(scene)
    if values.shape[1] == 0:
        return scene
    low, high = np.percentile(values, percentiles, axis=1)
    flat = [band.name for band, a, b in zip(scene.bands, low, high, strict=True) if not b > a]
    if flat:
        told = f"{percentiles[0]:g} and {percentiles[1]:g}"
        raise InputError(
            f"{scene.name}: percentiles {told} of {', '.join(flat)} are equal; there is nothing to stretch"
        )
    inputs = list(spec.inputs_of(scene.bands))
    if spec.values is None:
        wanted = np.array([[0.0] * len(inputs), [BYTE] * len(inputs)])
    else:
        wanted = np.array([spec.values.at(p / 100)[inputs] for p in percentiles])
    gain = (wanted[1] - wanted[0]) / (high - low)
    limits = (0.0, BYTE) if of_bytes(spec) else None
    sources = tuple(
        replace(s, scale=float(s.scale * g), offset=float((s.offset - a) * g + w), limits=limits)
        for s, g, a, w in zip(scene.sources, gain, low, wanted[0], strict=True)
    )
    told = ", ".join(f"{band.name} {a:.4g} to {b:.4g}" for band, a, b in zip(scene.bands, low, high, strict=True))
    note = f"{scene.name}: percentiles {percentiles[0]:g} and {percentiles[1]:g} ({told}) are brought to the model's"
    return replace(scene, sources=sources, notes=(*scene.notes, note))
