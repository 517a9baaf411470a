"""Promptable networks of transformers: SAM and SAM 2. No torch in here; they are run by ``geoseg.models.promptable``.

What a folder's config says is taken as numbers, and the few names that choose a layer: never a class or file to load.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, field_validator

from geoseg.errors import ConfigError
from geoseg.models.architectures.base import TRANSFORMERS, Options

if TYPE_CHECKING:
    from torch import nn

LARGEST = 2**16  # of a number in a config: sizes of layers and windows
NAMES = {
    "hidden_act": ("gelu", "relu", "quick_gelu"),
    "activation_function": ("gelu", "relu"),
    "position_embedding_type": ("sine", "learned", "absolute"),
    "feed_forward_hidden_act": ("gelu", "relu"),
    "memory_attention_feed_forward_hidden_act": ("gelu", "relu"),
    "mask_downsampler_hidden_act": ("gelu", "relu"),
    "memory_fuser_hidden_act": ("gelu", "relu"),
    "model_type": (
        "sam", "sam_vision_model", "sam_prompt_encoder", "sam_mask_decoder",
        "sam2", "sam2_vision_model", "sam2_hiera_det_model", "sam2_prompt_encoder", "sam2_mask_decoder",
        "sam2_video", "sam2_video_prompt_encoder", "sam2_video_mask_decoder",
        "grounding-dino", "swin", "bert",
        "sam3", "sam3_vision_model", "sam3_vit_model", "clip_text_model", "sam3_geometry_encoder", "sam3_detr_encoder",
        "sam3_detr_decoder", "sam3_mask_decoder",
    ),
}  # fmt: skip
PARTS = (
    "vision_config", "backbone_config", "prompt_encoder_config", "mask_decoder_config", "text_config",
    "geometry_encoder_config", "detr_encoder_config", "detr_decoder_config",
)  # fmt: skip


def plain_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a config of transformers says how layers are made; raises ValueError for what cannot be one.

    >>> plain_config({"hidden_size": 8, "hidden_act": "gelu", "auto_map": {"AutoModel": "other.py"}, "_name": "x"})
    {'hidden_size': 8, 'hidden_act': 'gelu'}
    """
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key in PARTS and isinstance(value, dict):
            kept[key] = plain_config(value)
        elif key in NAMES and value is not None:
            if value not in NAMES[key]:
                raise ValueError(f"{key} {value!r}: geoseg runs {', '.join(NAMES[key])}")
            kept[key] = value
        elif not key.startswith("_") and _numbers(value):
            kept[key] = value
    return kept


def _numbers(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= LARGEST and all(map(_numbers, value))
    if isinstance(value, int | float) and abs(value) > LARGEST:
        raise ValueError(f"{value} is no size of a layer")
    return isinstance(value, int | float)  # a bool is an int


def network_of(kind: str, name: str, config: dict[str, Any], in_channels: int, channels: int) -> "nn.Module":
    """Return a network of transformers with random weights; channels: the bands that its config says.

    Raises ConfigError where the library is not installed, or for other bands.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("transformers is not installed; type: pip install 'geoseg[transformers]'") from error
    if in_channels != channels:
        raise ConfigError(f"a network of {channels} bands, and {in_channels} are named")
    network: nn.Module = getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**config))
    return network


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
        sides = config.get("prompt_encoder_config", {}).get("image_size", 0)
        if isinstance(sides, list | tuple):
            raise ValueError("prompt_encoder_config.image_size: one side, windows are square")  # noqa: TRY004
        return config

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
        taken = window_px == self.image_px
        return "" if taken else f"windows of {window_px} px are not taken: it takes {self.image_px} px alone"

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
