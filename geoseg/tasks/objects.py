"""Objects: what windows detect. Chunks keep it in tables; stages of ``geoseg.jobs`` merge and paint it."""

import numpy as np
from numpy.typing import NDArray

from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Asked, Bytes, Decision, Rows, Wanted
from geoseg.tasks.panoptic import PANOPTIC
from geoseg.values.layers import Layer, class_layer

KNOWN = Layer("known", "category", description="1 where there is something to see")


def classes_of(spec: ModelSpec) -> Layer:
    """Return the layer of the classes of objects, and of the ground without one."""
    return class_layer("classes", spec.class_map, file="classes.tif")


class Objects:
    """Objects alone: of every pixel of the chunks only whether it is known."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:  # noqa: ARG002 - the same whatever is asked
        """See ``Task``."""
        return (KNOWN,)

    def later(self, spec: ModelSpec) -> tuple[Layer, ...]:
        """See ``Task``."""
        return classes_of(spec), PANOPTIC

    def reduce(self, sums: NDArray[np.uint32], valid: NDArray[np.bool_], job: Asked) -> Rows:  # noqa: ARG002
        """See ``Task``."""
        return {KNOWN.name: valid.astype(np.uint8)}

    def decision(self, job: Asked) -> Decision | None:  # noqa: ARG002
        """See ``Task``."""
        return None

    def bytes_per_px(self, spec: ModelSpec) -> Bytes:  # noqa: ARG002
        """See ``Task``."""
        return Bytes(reducing=3, leaving=2)
