"""Networks that find what words say: Grounding DINO, SAM 3. No torch in here; ``models.words`` runs them."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from geoseg.models.architectures.base import TRANSFORMERS, Options
from geoseg.models.architectures.transformers_config import fault_of_side, network_of, one_side, plain_config

if TYPE_CHECKING:
    from torch import nn


class WordsOptions(Options):
    """config: of the folder that transformers has saved; tokenizer: sha256 of tokenizer.json beside model.json."""

    licence: ClassVar[str] = TRANSFORMERS
    extra: ClassVar[str] = "transformers"
    kind: ClassVar[str]
    network: ClassVar[str]
    answers: ClassVar[Literal["boxes", "masks"]]
    usual_margin: ClassVar[int] = 4
    """A margin is one part in so many of a window."""
    config: Annotated[dict[str, Any], AfterValidator(plain_config)]
    tokenizer: str = Field("", pattern=r"^([0-9a-f]{64})?$")

    @property
    def channels(self) -> int:
        """Bands of its windows."""
        return int(self.backbone.get("num_channels", 3))

    @property
    def backbone(self) -> dict[str, Any]:
        """The part of the config that says how the image encoder is made."""
        return dict(self.config.get("backbone_config", {}))

    @property
    @abstractmethod
    def image_px(self) -> int:
        """Side of its windows where nothing else is said."""

    def build(self, in_channels: int, _out_channels: int) -> "nn.Module":
        """See ``SamOptions.build``."""
        return network_of(self.kind, self.network, self.config, in_channels, self.channels)


class GroundingDinoOptions(WordsOptions):
    """As ``WordsOptions``; windows of any size."""

    about: ClassVar[str] = "Grounding DINO: boxes of what words say (Liu et al. 2023)"
    weights_licence: ClassVar[str] = "Apache-2.0 (IDEA Research's)"
    kind: ClassVar[str] = "GroundingDino"
    network: ClassVar[str] = "GroundingDinoForObjectDetection"
    answers: ClassVar[Literal["boxes", "masks"]] = "boxes"

    @property
    def image_px(self) -> int:
        """See ``WordsOptions``: what its processor brings images to."""
        return 800

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return 16

    @property
    def looks_everywhere(self) -> bool:
        """See ``Options``."""
        return True

    @property
    def least_values(self) -> int:
        """See ``Options``: the words' embedding."""
        text = self.config.get("text_config", {})
        return int(text.get("vocab_size", 30522)) * int(text.get("hidden_size", 768))


class Sam3Options(WordsOptions):
    """As ``WordsOptions``; windows of one size."""

    about: ClassVar[str] = "SAM 3: masks of what words say (Meta 2025)"
    weights_licence: ClassVar[str] = "SAM License (Meta's): binds those who use it"
    kind: ClassVar[str] = "Sam3"
    network: ClassVar[str] = "Sam3Model"
    answers: ClassVar[Literal["boxes", "masks"]] = "masks"

    @field_validator("config")
    @classmethod
    def _sized(cls, config: dict[str, Any]) -> dict[str, Any]:
        return one_side(config, "vision_config.backbone_config")

    @property
    def backbone(self) -> dict[str, Any]:
        """See ``WordsOptions``."""
        return dict(self.config.get("vision_config", {}).get("backbone_config", {}))

    @property
    def image_px(self) -> int:
        """See ``WordsOptions``."""
        return int(self.backbone.get("image_size", 1008))

    @property
    def multiple_px(self) -> int:
        """See ``Options``."""
        return int(self.backbone.get("patch_size", 14))

    @property
    def least_px(self) -> int:
        """See ``Options``."""
        return self.image_px

    @property
    def least_values(self) -> int:
        """See ``Options``: a square matrix of every block of the encoder."""
        return int(self.backbone.get("num_hidden_layers", 32)) * int(self.backbone.get("hidden_size", 1024)) ** 2

    def fault_of_window(self, window_px: int) -> str:
        """See ``Options``."""
        return fault_of_side(window_px, self.image_px)
