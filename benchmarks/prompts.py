"""Promptable networks: CPU seconds of an embedding and of a click in it, and bytes kept, for published sizes.

    OMP_NUM_THREADS=1 python benchmarks/prompts.py [NAME ...] [--steps | --clicks]

Random weights: what they are changes no time. One thread, fp32, as a run has it; a click is one call of the decoder,
with its masks brought to the size of the window.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import rasterio
import torch
import transformers
from affine import Affine
from machine import MEMORY_BYTES, describe

from geoseg import prompt
from geoseg.models.imports.run import import_model
from geoseg.models.promptable import Asked, Promptable, call_tensors, decoded, levels_of
from geoseg.options.exchange import ImportOptions
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.training.prompted.loss import prompt_loss

HIERA = {
    "tiny": {},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base+": {
        "hidden_size": 112, "embed_dim_per_stage": [112, 224, 448, 896], "num_attention_heads_per_stage": [2, 4, 8, 16],
        "num_attention_heads": 2, "blocks_per_stage": [2, 3, 16, 3], "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144, "embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads": 2,
        "num_attention_heads_per_stage": [2, 4, 8, 16], "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43], "window_size_per_stage": [8, 4, 16, 8],
    },
}  # fmt: skip
VIT = {
    "base": {},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "global_attn_indexes": [5, 11, 17, 23]},
    "huge": {"hidden_size": 1280, "num_hidden_layers": 32, "global_attn_indexes": [7, 15, 23, 31]},
}
HEADS = {"base": 12, "large": 16, "huge": 16}
WORDS = ("dino-tiny", "sam3")  # networks that words are asked of, a window at a time
NAMES = [*(f"sam-{size}" for size in VIT), *(f"sam2-{size}" for size in HIERA), *WORDS]


def network(name: str) -> torch.nn.Module:
    """Return a network with random weights."""
    family, _, size = name.partition("-")
    if family == "dino":
        return transformers.GroundingDinoForObjectDetection(transformers.GroundingDinoConfig())
    if family == "sam3":
        return transformers.Sam3Model(transformers.Sam3Config())
    if family == "sam":
        return transformers.SamModel(
            transformers.SamConfig(vision_config={**VIT[size], "num_attention_heads": HEADS[size]})
        )
    backbone = {"model_type": "sam2_hiera_det_model", **HIERA[size]}
    widths = HIERA[size].get("embed_dim_per_stage", [96, 192, 384, 768])
    vision = {"model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": widths[::-1]}
    return transformers.Sam2Model(transformers.Sam2Config(vision_config=vision))


def row(name: str) -> str:
    """Return a network's line of the table, measured now."""
    net = network(name).eval()
    if name in WORDS:
        return words_row(name, net)
    asked = Promptable(SimpleNamespace(network=lambda: net, spec=SimpleNamespace(window_px=1024)), "cpu")
    window = np.random.default_rng(0).normal(size=(1, 3, 1024, 1024)).astype(np.float32)
    started = time.process_time()
    embedding = asked.embed(window)
    embedded = time.process_time()
    click = Asked(np.float32([[500, 500]]), np.int32([1]))
    list(asked.ask(embedding, [click]))
    warm = time.process_time()
    list(asked.ask(embedding, [click]))
    answered = time.process_time()
    parameters, kept = sum(p.numel() for p in net.parameters()), sum(a.nbytes for a in embedding.values())
    cells = (
        name,
        f"{parameters / 1e6:.0f}",
        f"{embedded - started:.1f}",
        f"{answered - warm:.2f}",
        f"{kept / 1e6:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def step_row(name: str, prompts: int = 4) -> str:
    """Return in words what a step of ``geoseg train`` takes, of so many prompts in one window."""
    net = network(name).eval().requires_grad_(requires_grad=False)
    asked = Promptable(SimpleNamespace(network=lambda: net, spec=SimpleNamespace(window_px=1024)), "cpu")
    embedding = asked.embed(np.zeros((1, 3, 1024, 1024), np.float32))
    net.mask_decoder.requires_grad_(requires_grad=True)
    box = Asked(np.empty((0, 2), np.float32), np.empty(0, np.int32), np.float32([400, 400, 600, 500]))
    seconds = []
    for _ in range(3):  # the first warms up
        started = time.process_time()
        levels, given = levels_of(embedding, asked.device), call_tensors([box] * prompts, asked.device)
        truth = torch.zeros(prompts, 1024, 1024)
        truth[:, 400:500, 400:600] = 1
        prompt_loss(*decoded(net, levels, given), truth, torch.ones(1024, 1024)).backward()
        seconds.append(time.process_time() - started)
    return f"{name}: {min(seconds):.1f} CPU s a step of {prompts} prompts"


def words_row(name: str, net: torch.nn.Module) -> str:
    """Return the line of a network of words: seconds of a window that is asked for two things."""
    side = 800 if name.startswith("dino") else 1008
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32))
    ids = torch.tensor([[101, 2000, 2001, 1012, 2002, 1012, 102]])
    with torch.inference_mode():
        started = time.process_time()
        if name.startswith("dino"):
            net(pixel_values=pixels, input_ids=ids, token_type_ids=0 * ids, attention_mask=0 * ids + 1)
        else:
            seen = net.get_vision_features(pixels)
            for _ in range(2):
                net(vision_embeds=seen, input_ids=torch.full((1, 32), 5), attention_mask=torch.ones(1, 32).long())
        seconds = time.process_time() - started
    return f"| {name}, two things | {sum(p.numel() for p in net.parameters()) / 1e6:.0f} | {seconds:.1f} | – | – |"


def clicks_row(name: str, times: int = 5) -> str:
    """Return in words what a click takes from Python on a window whose embedding is kept, all the way to a polygon."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        network(name).save_pretrained(folder / "saved")
        seen = {"image_mean": [0.5] * 3, "image_std": [0.2] * 3, "rescale_factor": 1 / 255}
        (folder / "saved" / "preprocessor_config.json").write_text(json.dumps(seen))
        (folder / "saved" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
        import_model(folder / "saved", folder / "bundle", ImportOptions(family=name.partition("-")[0]))
        pixels = np.random.default_rng(0).integers(0, 255, (3, 1500, 1500)).astype(np.uint8)
        place = {"crs": "EPSG:32645", "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)}
        with rasterio.open(
            folder / "scene.tif", "w", driver="GTiff", count=3, height=1500, width=1500, dtype="uint8", **place
        ) as dst:
            dst.write(pixels)
        options, run = (
            PromptOptions(embeddings=str(folder / "cache")),
            EngineOptions(engine="sync", memory_bytes=MEMORY_BYTES),
        )
        seconds = []
        for number in range(times + 1):  # the first embeds the window
            started = time.process_time(), time.perf_counter()
            prompt(
                folder / "scene.tif", folder / "bundle", points=[(300100 + number, 3059900)], options=options, run=run
            )
            seconds.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    (first, _), *others = seconds
    least, most = ([pick(column) for column in zip(*others, strict=True)] for pick in (min, max))
    return (
        f"{name}: first click {first:.1f} CPU s, each of {times} others {least[0]:.2f} to {most[0]:.2f} CPU s, "
        f"{least[1]:.2f} to {most[1]:.2f} s on the clock"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--steps", action="store_true", help="steps of a training instead")
    parser.add_argument("--clicks", action="store_true", help="clicks from Python on one window instead")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    if asked.steps:
        print("\n".join(map(step_row, asked.names or ["sam-base", "sam2-tiny"])))
        return
    if asked.clicks:
        print("\n".join(map(clicks_row, asked.names or ["sam2-tiny"])))
        return
    print("| network | M parameters | CPU s an embedding | CPU s a click | MB kept |\n|---|---|---|---|---|")
    for name in asked.names or NAMES:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
