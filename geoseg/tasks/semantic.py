"""Semantic segmentation: the class of every pixel, how sure it is, and the probability of each class.

What a model answers beside classes, or instead of them, is in groups.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Asked, Bytes, Decision, Rows, Wanted
from geoseg.tasks.entropy import entropy
from geoseg.tasks.groups import bytes_of_groups, group_layers, groups_of, made_of_groups
from geoseg.tiling.blend import Finished, calibrated, finish, to_bytes
from geoseg.values.layers import Layer, Pixels, class_layer, probability_layer

# What each of ``geoseg.values.layers.RASTERS`` holds; to add one: a line there, one here and one in ``Semantic.made``.
HELD: Mapping[str, Callable[[ModelSpec], tuple[Layer, ...]]] = {
    "classes": lambda spec: (class_layer("classes", spec.class_map),),
    "confidence": lambda _: (probability_layer("confidence", "Probability of the class in classes.tif"),),
    "entropy": lambda _: (probability_layer("entropy", "Entropy of the class probabilities, 1 where all are equal"),),
    "probabilities": lambda spec: tuple(probability_of(c.name) for c in spec.classes),
}


def probability_of(class_name: str) -> Layer:
    """Return the layer that holds p(class)."""
    return probability_layer(f"probability_{class_name}", f"p({class_name})")


class Semantic:
    """One class a pixel: the likeliest."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:
        """See ``Task``."""
        asked = {name: held(spec) for name, held in HELD.items() if spec.classes and name in wanted.rasters}
        own = (replace(layer, file=f"{name}.tif") for name, layers in asked.items() for layer in layers)
        return (*own, *group_layers(spec))

    def later(self, spec: ModelSpec) -> tuple[Layer, ...]:  # noqa: ARG002 - other tasks look at it
        """See ``Task``."""
        return ()

    def reduce(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> Rows:
        """See ``Task``."""
        made = made_of_groups(sums, valid, job.spec)
        if job.spec.classes:
            own, scaling = sums[job.spec.channels_of(job.spec.softmax)], job.spec.calibration
            own = own if scaling is None else calibrated(own, valid, scaling)
            how = self.how(job)
            done = finish(
                own, valid, class_of_channel=how.class_of_channel, class_ids=how.class_ids, thresholds=how.thresholds
            )
            made |= self.made(done, [to_bytes(own[at], valid) for at in how.beside], valid, job)
        return {layer.name: made[layer.name]() for layer in job.layers}

    def decision(self, job: Asked) -> Decision | None:
        """See ``Task``: probabilities that are calibrated, and groups, are made of sums themselves."""
        alone = job.spec.classes and job.spec.calibration is None and not groups_of(job.spec)
        return self.how(job) if alone else None

    def how(self, job: Asked) -> Decision:
        """Return how the classes are decided of the channels of the softmax."""
        spec, ids = job.spec, tuple(c.id for c in job.spec.classes)
        thresholds = tuple(spec.thresholds[c.name] for c in spec.classes) if spec.thresholds else ()
        return Decision(spec.class_of_channel, ids, thresholds, self.beside(job), partial(self._rows, job))

    def beside(self, job: Asked) -> tuple[int, ...]:  # noqa: ARG002 - other tasks look at it
        """Return the channels of which ``made`` takes bytes."""
        return ()

    def _rows(self, job: Asked, done: Finished, beside: Sequence[Pixels], valid: NDArray[np.bool_]) -> Rows:
        made = self.made(done, beside, valid, job)
        return {layer.name: made[layer.name]() for layer in job.layers}

    def made(
        self,
        done: Finished,
        beside: Sequence[Pixels],  # noqa: ARG002 - of no channel here
        valid: NDArray[np.bool_],
        job: Asked,
    ) -> dict[str, Callable[[], Pixels]]:
        """Return what makes each layer of the classes, by name; beside: bytes of the channels that are asked for."""
        names = [probability_of(c.name).name for c in job.spec.classes]
        return {
            "classes": lambda: done.classes,
            "confidence": lambda: done.confidence,
            "entropy": lambda: entropy(done.probabilities, valid),
            **{name: partial(np.asarray, p) for name, p in zip(names, done.probabilities, strict=True)},
        }

    def bytes_per_px(self, spec: ModelSpec) -> Bytes:
        """See ``Task``: probabilities, classes, confidence and entropy; masks and decisions beside them."""
        more, rescaled = bytes_of_groups(spec), 0 if spec.calibration is None else 8 * len(spec.channels)
        return Bytes(reducing=len(spec.classes) + 9 + 2 * more + rescaled, leaving=len(spec.classes) + 4 + more)
