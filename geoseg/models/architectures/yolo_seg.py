"""A YOLO network of masks that comes as an ONNX file: what a bundle says of it; see ``backends.yolo_seg``."""

from typing import ClassVar, Literal

from pydantic import Field

from geoseg.models.architectures.onnx import OnnxOptions
from geoseg.models.value import Text


class YoloSegOptions(OnnxOptions):
    """The file takes (1, C, h, w) float and answers candidates and the prototypes that their masks are sums of."""

    detects: ClassVar[bool] = True

    blends: ClassVar[bool] = False

    candidates: Text
    """Its output of candidates: boxes in pixels, scores of classes, and the weights of M prototypes."""

    prototypes: Text
    """Its output of prototypes, (1, M, h / s, w / s)."""

    head: Literal["anchors", "end-to-end"]
    """anchors: (1, 4 + classes + M, N), boxes by their centres, of which the overlapping are left out here; end-to-end:
    (1, N, 6 + M), boxes by their corners, score, class, which the network has chosen itself."""

    overlap: float = Field(0.7, gt=0, le=1)
    """Intersection over union of two boxes of a class from which the better one alone is taken, of anchors."""
