"""Every network of the table with tiny options, for the tests that ask all of them the same."""

QUERIES = {
    "width": 24, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "hidden": 32, "feedforward": 64,
    "encoder_layers": 1, "decoder_layers": 3, "attention_heads": 4, "queries": 20,
}  # fmt: skip
DECODER = {"decoder_channels": [32, 24, 16, 12, 8]}
TINY = {
    "compact-unet": {"widths": [8, 16, 24]},
    "plain-unet": {"widths": [8, 16, 24]},
    "unet": {"encoder_name": "resnet18", **DECODER},
    "unet++": {"encoder_name": "resnet18", **DECODER},
    "attention-unet": {"encoder_name": "resnet18", **DECODER},
    "transunet": {"encoder_name": "resnet18", "blocks": 1, **DECODER},
    "nnunet-plain": {"widths": [8, 16, 24, 32]},
    "nnunet-residual": {"widths": [8, 16, 24, 32], "blocks": [1, 1, 2, 2]},
    "fcn-8s": {"encoder_name": "vgg11_bn"},
    "fcn-resnet": {},
    "deeplabv3": {"encoder_name": "resnet18", "decoder_channels": 32},
    "deeplabv3+": {"encoder_name": "resnet18", "decoder_channels": 32},
    "segformer": {"encoder_name": "mit_b0", "decoder_segmentation_channels": 64},
    "hf-segformer": {"widths": [16, 32, 40, 64], "depths": [1, 1, 1, 1], "heads": [1, 2, 5, 8], "decoder_width": 32},
    "fpn": {"encoder_name": "resnet18", "decoder_pyramid_channels": 64, "decoder_segmentation_channels": 32},
    "pspnet": {"encoder_name": "resnet18", "psp_out_channels": 64},
    "pan": {"encoder_name": "resnet18"},
    "manet": {"encoder_name": "resnet18", **DECODER},
    "linknet": {"encoder_name": "resnet18"},
    "upernet": {"encoder_name": "resnet18", "decoder_channels": 32},
    "dpt": {
        "encoder_name": "tu-vit_tiny_patch16_224",
        "decoder_intermediate_channels": [32, 32, 48, 48],
        "decoder_fusion_channels": 32,
    },
    "mask-rcnn": {"encoder_name": "resnet18", "pyramid_channels": 32, "hidden": 64, "proposals": 100},
    "panoptic-fpn": {
        "encoder_name": "resnet18",
        "pyramid_channels": 32,
        "hidden": 64,
        "proposals": 100,
        "segmentation_channels": 32,
    },
    "mask2former": QUERIES,
    "mask2former-objects": QUERIES,
    "oneformer": QUERIES,
    "temporal": {"dates": 2, "network": {"name": "compact-unet", "options": {"widths": [8, 16]}}},
    "unet3d": {"dates": 2, "widths": [6, 12]},
    "pixel-mlp": {"boxes": [3, 7], "widths": [16], "context": [3, 5]},
}
