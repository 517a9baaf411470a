"""Buildings: a map of which one class becomes polygons; of two classes, that class is decided by a threshold."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Asked, Wanted
from geoseg.tasks.semantic import Semantic, probability_of
from geoseg.tiling.blend import Finished
from geoseg.values.layers import Layer, Pixels, probability_layer

INTERIOR = "interior"  # the layer of the channel that tells touching polygons apart


class Buildings(Semantic):
    """As ``Semantic``, with the layers that polygons are drawn of."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:
        """See ``Task``."""
        layers = super().layers(spec, wanted)
        drawn: list[Layer] = []
        if wanted.polygons and spec.polygon_class is not None:
            drawn.append(probability_of(spec.polygon_class))
            if wanted.borders and spec.interior is not None:
                drawn.append(probability_layer(INTERIOR, "p(interior)"))
        there = {layer.name for layer in layers}
        return (*layers, *(layer for layer in drawn if layer.name not in there))

    def beside(self, job: Asked) -> tuple[int, ...]:
        """Return the channel of the interior, where it is a layer."""
        spec, (_, interior) = job.spec, drawn_layers(job)
        return tuple(at for at, c in enumerate(spec.channels) if interior is not None and c.name == spec.interior)

    def made(
        self, done: Finished, beside: Sequence[Pixels], valid: NDArray[np.bool_], job: Asked
    ) -> dict[str, Callable[[], Pixels]]:
        """Return what makes each layer of the classes, by name."""
        made = super().made(by_threshold(done, job), (), valid, job)
        return {**made, INTERIOR: partial(np.asarray, *beside)} if beside else made


def by_threshold(done: Finished, job: Asked) -> Finished:
    """Decide a two-class map by the polygon class's byte: raster and polygons then agree to the pixel."""
    from geoseg.vector.pixels.runs import threshold_byte

    spec = job.spec
    if len(spec.classes) != 2:
        return done
    position = [c.name == spec.polygon_class for c in spec.classes].index(True)
    target, other = spec.classes[position], spec.classes[1 - position]
    inside = done.probabilities[position] >= threshold_byte(job.threshold)
    classes = np.where(inside, np.uint8(target.id), np.uint8(other.id)) * (done.classes > 0)
    confidence = np.where(inside, done.probabilities[position], done.probabilities[1 - position])
    return done._replace(classes=classes, confidence=confidence)


def drawn_layers(job: Asked) -> tuple[str, str | None]:
    """Return the names of the layers that polygons are drawn of: p of their class, and p(interior) or None."""
    assert job.spec.polygon_class is not None  # make_job has refused other models
    split = any(layer.name == INTERIOR for layer in job.layers)
    return probability_of(job.spec.polygon_class).name, INTERIOR if split else None
