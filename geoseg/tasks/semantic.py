"""Semantic segmentation: the class of every pixel, how sure it is, and the probability of each class.

What a model answers beside classes, or instead of them, is in groups.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Asked, Bytes, Rows, Wanted
from geoseg.tasks.entropy import entropy
from geoseg.tasks.groups import bytes_of_groups, group_layers, made_of_groups
from geoseg.tiling.blend import Finished, calibrated, finish
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
        made = self.made(sums, valid, job)
        return {layer.name: made[layer.name]() for layer in job.layers}

    def made(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> dict[str, Callable[[], Pixels]]:
        """Return what makes each layer, by name."""
        groups = made_of_groups(sums, valid, job.spec)
        if not job.spec.classes:
            return groups
        ids = [c.id for c in job.spec.classes]
        own = self.softmax(sums, valid, job)
        thresholds = [job.spec.thresholds[c.name] for c in job.spec.classes] if job.spec.thresholds else []
        done = finish(own, valid, class_of_channel=job.spec.class_of_channel, class_ids=ids, thresholds=thresholds)
        done = self.decided(done, job)
        names = [probability_of(c.name).name for c in job.spec.classes]
        return {
            "classes": lambda: done.classes,
            "confidence": lambda: done.confidence,
            "entropy": lambda: entropy(done.probabilities, valid),
            **{name: partial(np.asarray, p) for name, p in zip(names, done.probabilities, strict=True)},
            **groups,
        }

    def softmax(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> NDArray[np.uint32]:
        """Return the channels of the classes, calibrated where the model says how."""
        own, scaling = sums[job.spec.channels_of(job.spec.softmax)], job.spec.calibration
        return own if scaling is None else calibrated(own, valid, scaling)

    def decided(self, done: Finished, job: Asked) -> Finished:  # noqa: ARG002 - other tasks decide by the job
        """Return what is finished with the classes that the task decides for."""
        return done

    def bytes_per_px(self, spec: ModelSpec) -> Bytes:
        """See ``Task``: probabilities, classes, confidence and entropy; masks and decisions beside them."""
        more, rescaled = bytes_of_groups(spec), 0 if spec.calibration is None else 8 * len(spec.channels)
        return Bytes(reducing=len(spec.classes) + 9 + 2 * more + rescaled, leaving=len(spec.classes) + 4 + more)
