"""Tiny SAM and SAM 2 with random weights, in folders as transformers saves them; and a scene to ask them of."""

import json

import numpy as np
from conftest import write_tif

WINDOW = 64  # side of their windows
MEMORY = {
    "image_size": WINDOW, "num_maskmem": 3, "max_object_pointers_in_encoder": 4, "memory_attention_hidden_size": 128,
    "memory_attention_num_layers": 1, "memory_attention_feed_forward_hidden_size": 32,
    "memory_attention_rope_feat_sizes": [WINDOW // 16] * 2, "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64, "mask_downsampler_embed_dim": 128, "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 32, "memory_fuser_num_layers": 1,
}  # fmt: skip


def write_sam_folder(folder, family="sam2", *, seed=1, begins=(), window=WINDOW):
    """Save a promptable network for three bands and return its folder; parts that ``begins`` names can learn well.

    family: sam, sam2, or sam2-video, as which folders of SAM 2.1 are published. window: side of its windows, with no
    memory of dates.
    """
    import torch
    from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel, SamConfig, SamModel

    width = 128 if family == "sam2-video" else 32  # more than its memory, which has 64 channels
    prompt = {"hidden_size": width, "image_size": window, "patch_size": 16}
    decoder = {
        "hidden_size": width, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32, "iou_head_depth": 2,
    }  # fmt: skip
    torch.manual_seed(seed)
    if family == "sam":
        vision = {
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": window,
            "output_channels": 32, "window_size": 2, "global_attn_indexes": [1], "num_pos_feats": 16,
        }  # fmt: skip
        net = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))
    else:
        backbone = {
            "model_type": "sam2_hiera_det_model", "hidden_size": 16, "image_size": [window, window],
            "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [16, 32, 48, 64],
            "num_attention_heads_per_stage": [1, 2, 2, 4], "window_size_per_stage": [8, 4, 8, 4],
            "global_attention_blocks": [3],
        }  # fmt: skip
        vision = {
            "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [64, 48, 32, 16],
            "backbone_feature_sizes": [[window // s] * 2 for s in (4, 8, 16)], "fpn_hidden_size": width,
        }  # fmt: skip
        parts = {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}
        net = Sam2Model(Sam2Config(**parts)) if family == "sam2" else Sam2VideoModel(Sam2VideoConfig(**parts, **MEMORY))
    for name, parameter in net.named_parameters():  # masks of a network as it begins are all of one value
        if name.startswith(begins):
            continue
        torch.nn.init.normal_(parameter, std=0.3)
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
    net.save_pretrained(folder)
    seen = {"image_mean": [0.3] * 3, "image_std": [0.2] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def write_roofs(path):
    """Write 160 x 192 px of noise with four bright roofs and a corner of nodata; returns the path as text."""
    pixels = np.random.default_rng(0).integers(40, 90, (3, 160, 192)).astype(np.uint8)
    for r, c in ((20, 30), (70, 100), (120, 40), (110, 150)):
        pixels[:, r : r + 18, c : c + 22] += 120
    pixels[:, :12, 170:] = 0
    return str(write_tif(path, pixels, nodata=0))
