"""Tiny Grounding DINO and SAM 3 with random weights and tokenizers of their own, as transformers saves them."""

import json

WINDOW = 64  # side of SAM 3's windows
WORDS = ("solar", "panel", "building", "roof")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_words_folder(folder, family, *, seed=1):
    """Save a network that finds words and return its folder."""
    import torch

    torch.manual_seed(seed)
    net = _grounding_dino() if family == "grounding-dino" else _sam3()
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    net.save_pretrained(folder)
    (_bert if family == "grounding-dino" else _clip)().save(str(folder / "tokenizer.json"))
    seen = {"image_mean": [0.3] * 3, "image_std": [0.2] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def _grounding_dino():
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    text = BertConfig(
        vocab_size=1100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, num_queries=20, encoder_layers=1, decoder_layers=2, d_model=32,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=64,
        encoder_n_points=2, decoder_n_points=2,
    )  # fmt: skip
    return GroundingDinoForObjectDetection(config)


def _sam3():
    from transformers import Sam3Config, Sam3Model

    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    vit = {
        **small, "model_type": "sam3_vit_model", "num_hidden_layers": 2, "image_size": WINDOW, "patch_size": 16,
        "pretrain_image_size": 32, "window_size": 2, "global_attn_indexes": [1],
    }  # fmt: skip
    vision = {
        "model_type": "sam3_vision_model", "backbone_config": vit, "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    text = {
        "model_type": "clip_text_model", "vocab_size": 100, "hidden_size": 16, "intermediate_size": 16,
        "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32,
    }  # fmt: skip
    ways = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 16}
    config = Sam3Config(
        vision_config=vision, text_config=text,
        geometry_encoder_config={**ways, "num_layers": 1}, detr_encoder_config={**ways, "num_layers": 1},
        detr_decoder_config={**ways, "num_layers": 1, "num_queries": 12},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2, "num_upsampling_stages": 2},
    )  # fmt: skip
    return Sam3Model(config)


def _bert():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    vocab |= {word: 200 + i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    return tokenizer


def _clip():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {"<|startoftext|>": 98, "<|endoftext|>": 99, "unknown": 1} | {w: 10 + i for i, w in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="unknown"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("<|endoftext|>", 99), ("<|startoftext|>", 98))
    return tokenizer
