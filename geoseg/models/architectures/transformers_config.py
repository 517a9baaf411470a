"""What a config of transformers says of its network, taken as numbers and a few names. No torch in here.

The names choose a layer: never a class or a file to load.
"""

from typing import TYPE_CHECKING, Any

from geoseg.errors import ConfigError, MissingExtraError

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
        if key in PARTS and value is not None:
            if not isinstance(value, dict):
                raise ValueError(f"{key} {value!r}: is no part of a network")
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
        raise MissingExtraError("transformers is not installed; type: pip install 'geoseg[transformers]'") from error
    if in_channels != channels:
        raise ConfigError(f"a network of {channels} bands, and {in_channels} are named")
    network: nn.Module = getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**config))
    return network


def one_side(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a config whose image_size in the part ``where`` (A.B) is one number; raises ValueError for two."""
    part = config
    for key in where.split("."):
        part = part.get(key, {})
    if isinstance(part.get("image_size", 0), list | tuple):
        raise ValueError(f"{where}.image_size: one side, windows are square")  # noqa: TRY004
    return config


def fault_of_side(window_px: int, image_px: int) -> str:
    """Return why a window is not taken by a network of windows of one side, empty where it is."""
    taken = window_px == image_px
    return "" if taken else f"windows of {window_px} px are not taken: it takes {image_px} px alone"
