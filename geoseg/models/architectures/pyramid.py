"""What detectors on a feature pyramid of an encoder have in common. No torch in here; layers are in pyramid_torch."""

from typing import Annotated

from pydantic import Field

from geoseg.models.architectures.base import DetectorOptions
from geoseg.models.architectures.smp import EncoderName, EncoderOptions

Side = Annotated[int, Field(ge=4, le=1024)]  # of a box or a cell, in pixels


class PyramidOptions(DetectorOptions, EncoderOptions):
    """encoder_name: the encoder of smp or timm whose maps of a quarter to a 32nd of the size the pyramid takes."""

    encoder_name: EncoderName = "resnet50"

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 32
