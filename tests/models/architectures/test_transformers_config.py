"""Configs of transformers from strangers: numbers and a few names are taken, all else is refused in one line."""

import pytest

from geoseg.errors import ConfigError
from geoseg.models.architectures import check_architecture
from geoseg.models.spec import Architecture


@pytest.mark.parametrize(
    ("family", "config", "told"),
    [
        ("sam", {"vision_config": {"hidden_act": "tanh"}}, "hidden_act 'tanh': geoseg runs gelu, relu, quick_gelu"),
        ("sam", {"vision_config": {"model_type": "vit"}}, "model_type 'vit': geoseg runs sam, "),
        ("sam2", {"mask_decoder_config": {"hidden_size": 10**6}}, "1000000 is no size of a layer"),
        ("sam2", {"prompt_encoder_config": 3}, "prompt_encoder_config 3: is no part of a network"),
        ("sam2", {"prompt_encoder_config": {"image_size": [64, 64]}}, "prompt_encoder_config.image_size: one side"),
        ("sam3", {"vision_config": {"backbone_config": {"image_size": [64, 64]}}}, r"backbone_config.image_size: one"),
    ],
)
def test_what_is_no_plain_config_is_refused(family, config, told):
    with pytest.raises(ConfigError, match=told):
        check_architecture(Architecture(name=family, options={"config": config}))


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("sam", {"prompt_encoder_config": {"image_size": 64}}),
        ("sam3", {"vision_config": {"backbone_config": {"image_size": 64}}}),
    ],
)
def test_windows_of_another_side_are_refused(family, config):
    options = check_architecture(Architecture(name=family, options={"config": {**config, "text_config": None}}))
    assert options.fault_of_window(64) == ""
    assert options.fault_of_window(96) == "windows of 96 px are not taken: it takes 64 px alone"
