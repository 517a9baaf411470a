"""Panoptic segmentation: classes, and beside them what tells objects apart: centres, and offsets to them.

These stay in the parts. What groups them is in ``geoseg.objects``, the stages that do so in ``geoseg.jobs.objects``.
"""

from geoseg.models.grouping import CENTRE, OFFSET
from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Wanted
from geoseg.tasks.semantic import HELD, Semantic
from geoseg.values.layers import Layer

OF_OBJECTS = (CENTRE, f"{OFFSET}_row", f"{OFFSET}_col")
PANOPTIC = Layer(
    "panoptic",
    "ids",
    "panoptic.tif",
    "uint32",
    description="1 to 254: class of stuff; from 256 on: number of an object",
)


class Panoptic(Semantic):
    """As ``Semantic``, with the confidence by which objects are scored."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:
        """See ``Task``."""
        layers = super().layers(spec, wanted)
        return layers if "confidence" in wanted.rasters else (*layers, *HELD["confidence"](spec))

    def later(self, spec: ModelSpec) -> tuple[Layer, ...]:  # noqa: ARG002 - one raster, whatever the model
        """See ``Task``."""
        return (PANOPTIC,)
