"""Panoptic segmentation: classes, and beside them what tells objects apart: centres, and offsets to them.

These stay in the parts. What groups them is in ``geoseg.objects``, the stages that do so in ``geoseg.jobs.objects``.
"""

from dataclasses import replace

from geoseg.models.grouping import CENTRE, OFFSET
from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Wanted
from geoseg.tasks.semantic import HELD, Semantic
from geoseg.values.layers import Layer, class_layer

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


class PanopticOfObjects(Panoptic):
    """Classes that are blended, and objects of windows that are painted over them: both decide the class map."""

    def layers(self, spec: ModelSpec, wanted: Wanted) -> tuple[Layer, ...]:
        """See ``Task``: the classes of the chunks are no file."""
        layers = [replace(one, file=None) if one.name == "classes" else one for one in super().layers(spec, wanted)]
        return tuple(layers) if "classes" in wanted.rasters else (*HELD["classes"](spec), *layers)

    def later(self, spec: ModelSpec) -> tuple[Layer, ...]:
        """See ``Task``."""
        return class_layer("classes", spec.class_map, file="classes.tif"), PANOPTIC
