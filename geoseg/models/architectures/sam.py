"""Promptable networks of transformers: SAM and SAM 2, which models.promptable runs, or models.following through dates.

No torch in here.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, field_validator

from geoseg.models.architectures.base import TRANSFORMERS, Options
from geoseg.models.architectures.transformers_config import fault_of_side, network_of, one_side, plain_config

if TYPE_CHECKING:
    from torch import nn


class SamOptions(Options):
    """config: of the folder that transformers has saved."""

    about: ClassVar[str] = "SAM: masks of what is clicked on (Kirillov et al. 2023)"
    licence: ClassVar[str] = TRANSFORMERS
    weights_licence: ClassVar[str] = "Apache-2.0 (Meta's)"
    extra: ClassVar[str] = "transformers"
    kind: ClassVar[str] = "Sam"
    network: ClassVar[str] = "SamModel"
    config: Annotated[dict[str, Any], AfterValidator(plain_config)]

    @field_validator("config")
    @classmethod
    def _sized(cls, config: dict[str, Any]) -> dict[str, Any]:
        return one_side(config, "prompt_encoder_config")

    @property
    def image_px(self) -> int:
        """Side of its windows: its positional codes know no other."""
        return int(self.config.get("prompt_encoder_config", {}).get("image_size", 1024))

    @property
    def channels(self) -> int:
        """Bands of its windows."""
        return int(self._vision.get("num_channels", 3))

    @property
    def _vision(self) -> dict[str, Any]:
        vision = dict(self.config.get("vision_config", {}))
        return dict(vision.get("backbone_config", {})) if self.kind != "Sam" else vision

    @property
    def embedding_values(self) -> int:
        """Numbers in the embedding of a window."""
        vision = self.config.get("vision_config", {})
        return int(vision.get("output_channels", 256)) * (self.image_px // int(vision.get("patch_size", 16))) ** 2

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 16

    @property
    def least_px(self) -> int:
        """See ``Options``."""
        return self.image_px

    @property
    def least_values(self) -> int:
        """See ``Options``: a square matrix of every block of the encoder."""
        return int(self._vision.get("num_hidden_layers", 12)) * int(self._vision.get("hidden_size", 768)) ** 2

    def fault_of_window(self, window_px: int) -> str:
        """See ``Options``."""
        return fault_of_side(window_px, self.image_px)

    def build(self, in_channels: int, _out_channels: int) -> "nn.Module":
        """Return the network with random weights; it has no ``forward`` that maps windows.

        Raises ConfigError where the library is not installed, or for a config of other bands.
        """
        return network_of(self.kind, self.network, self.config, in_channels, self.channels)


class Sam2Options(SamOptions):
    """As ``SamOptions``; SAM 2.1 has the same layers."""

    about: ClassVar[str] = "SAM 2 and 2.1 on single images (Ravi et al. 2024)"
    kind: ClassVar[str] = "Sam2"
    network: ClassVar[str] = "Sam2Model"

    @property
    def embedding_values(self) -> int:
        """See ``SamOptions``: three levels, the finer ones of an eighth and a quarter of the channels."""
        vision = self.config.get("vision_config", {})
        width = int(vision.get("fpn_hidden_size", 256))
        sizes = vision.get("backbone_feature_sizes", [[256, 256], [128, 128], [64, 64]])
        return sum(width // share * rows * cols for share, (rows, cols) in zip((8, 4, 1), sizes, strict=True))

    @property
    def least_values(self) -> int:
        """See ``Options``."""
        blocks = self._vision.get("blocks_per_stage", [1, 2, 7, 2])
        widths = self._vision.get("embed_dim_per_stage", [96, 192, 384, 768])
        return sum(n * width**2 for n, width in zip(blocks, widths, strict=False))


class Sam2VideoOptions(Sam2Options):
    """As ``Sam2Options``, with the memory by which it follows objects: config is all of the folder's."""

    about: ClassVar[str] = "SAM 2 and 2.1 through several dates (Ravi et al. 2024)"
    kind: ClassVar[str] = "Sam2Video"
    network: ClassVar[str] = "Sam2VideoModel"
