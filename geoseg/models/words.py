"""Words: what networks find in a window that words name, as boxes (Grounding DINO) or masks (SAM 3).

One window, and one sentence, a call: neither what else is asked nor the order changes a bit.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.architectures.words import WordsOptions
from geoseg.models.bundle import ModelBundle
from geoseg.models.live_bytes import LiveBytes
from geoseg.models.on_device import OnDevice
from geoseg.models.probed import Probed
from geoseg.objects.found import SCORES, Detection
from geoseg.values.box import Box

TOKENIZER_FILE = "tokenizer.json"
STOP = "."  # ends what Grounding DINO takes as one thing
FIRST, POINT = 101, 1012  # ids of [CLS] and of the stop, which transformers' Grounding DINO takes for granted
MOST_TOKENS = 256  # of Grounding DINO's sentence, where its config says none
SAM3_TOKENS = 32


class WordFinder(OnDevice):
    """A network that finds what words name, see ``OnDevice``."""

    def __init__(self, bundle: ModelBundle, device: str) -> None:
        super().__init__(bundle, device)
        options = check_architecture(bundle.spec.arch)
        assert isinstance(options, WordsOptions)  # of the task words
        self.options = options

    @cached_property
    def tokenizer(self) -> Any:
        """What makes numbers of words; raises ModelError where its file is not that of model.json."""
        return tokenizer_of(Path(self.bundle.path) / TOKENIZER_FILE, self.options.tokenizer)

    def find(self, window: NDArray[np.float32], words: Sequence[str], least: float) -> list[Detection]:
        """Return what a window (1, C, side, side) holds of the words; class ids count these from 1.

        least: the lowest score. Raises ConfigError for more words than the network takes.
        """
        with torch.inference_mode():
            pixels = torch.from_numpy(window).to(self.device)
            if self.options.answers == "boxes":
                return list(self._boxes(pixels, words, least))
            return list(self._masks(pixels, words, least))

    def _boxes(self, pixels: Tensor, words: Sequence[str], least: float) -> Iterator[Detection]:
        side = pixels.shape[-1]
        given, spans = self.sentence(words)
        answer = self.network(pixel_values=pixels, **given)
        chances = torch.sigmoid(answer.logits[0].float()).cpu()  # (Q, tokens)
        of_words = torch.stack([chances[:, span].max(1).values for span in spans], 1)
        score, word = of_words.max(1)
        centre, size = answer.pred_boxes[0].float().cpu().split(2, dim=1)
        corners = (torch.cat([centre - size / 2, centre + size / 2], 1) * side).tolist()
        for i in torch.nonzero(score >= least).flatten().tolist():
            x0, y0, x1, y1 = corners[i]
            box = Box(floor(y0), floor(x0), ceil(y1), ceil(x1)).clip(Box(0, 0, side, side))
            if box is not None:
                yield Detection(box, np.ones(box.shape, np.bool_), int(word[i]) + 1, int(SCORES * float(score[i])))

    def sentence(self, words: Sequence[str]) -> tuple[dict[str, Tensor], list[list[int]]]:
        """Return the inputs of Grounding DINO, and which of their tokens are of each of the words.

        As its processor makes them: in lower case, each with a stop.
        """
        parts = [f"{word.lower()}{STOP}" for word in words]
        encoded = self.tokenizer.encode(" ".join(parts))
        if encoded.ids[0] != FIRST or POINT not in encoded.ids:
            raise ModelError(f"{self.bundle.path}: {TOKENIZER_FILE} is not that of BERT's words in lower case")
        most = int(self.options.config.get("max_text_len", MOST_TOKENS))
        if len(encoded.ids) > most:
            raise ConfigError(f"text: {len(encoded.ids)} pieces of words, and the network takes {most}; ask in turns")
        ends = np.cumsum([len(part) + 1 for part in parts]) - 1  # in characters, the stop included
        spans = []
        for part, end in zip(parts, ends.tolist(), strict=True):
            first = end - len(part)
            spans.append([i for i, (a, b) in enumerate(encoded.offsets) if first <= a < b < end])
        if empty := [word for word, span in zip(words, spans, strict=True) if not span]:
            raise ConfigError(f"text: {empty[0]!r} says nothing to the network")
        given = {
            "input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids,
        }  # fmt: skip
        return {name: torch.tensor([ids], device=self.device) for name, ids in given.items()}, spans

    def _masks(self, pixels: Tensor, words: Sequence[str], least: float) -> Iterator[Detection]:
        side = pixels.shape[-1]
        seen = self.network.get_vision_features(pixels)
        for number, word in enumerate(words, start=1):
            answer = self.network(vision_embeds=seen, **self.phrase(word))
            there = torch.sigmoid(answer.presence_logits.float()).flatten()[0]
            score = (torch.sigmoid(answer.pred_logits[0].float()) * there).cpu()
            for i in torch.nonzero(score >= least).flatten().tolist():
                logits = answer.pred_masks[:, i : i + 1].float()
                full = interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
                mask = (full > 0).cpu().numpy()
                if mask.any():
                    yield Detection(Box(0, 0, side, side), mask, number, int(SCORES * float(score[i])))

    def phrase(self, word: str) -> dict[str, Tensor]:
        """Return the inputs of SAM 3, as its processor makes them: filled up to 32 tokens."""
        ids = list(self.tokenizer.encode(word).ids)
        if len(ids) > SAM3_TOKENS:
            raise ConfigError(f"text: {word!r}: {len(ids)} pieces of words, and the network takes {SAM3_TOKENS}")
        fill = SAM3_TOKENS - len(ids)
        given = {"input_ids": ids + [ids[-1]] * fill, "attention_mask": [1] * len(ids) + [0] * fill}
        return {name: torch.tensor([values], device=self.device) for name, values in given.items()}


def tokenizer_of(path: Path, sha256: str) -> Any:
    """Return the tokenizer of a file; raises ModelError where it is missing, is none, or has another digest."""
    from tokenizers import Tokenizer

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); copy the bundle's whole folder") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: sha256 differs from the one in model.json; the bundle is damaged, fetch it again")
    try:
        return Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises Exception itself
        raise ModelError(f"{path}: no tokenizer that can be read ({str(error).splitlines()[0]})") from error


def probe_words(network: nn.Module, options: WordsOptions, channels: int, window_px: int) -> Probed:
    """Return what a call holds for a window and a few words."""
    device = torch.device("cpu")
    pixels = torch.zeros(1, channels, window_px, window_px, device=device)
    given: dict[str, Tensor] = {"attention_mask": torch.ones(1, 8, dtype=torch.int64)}
    if options.answers == "boxes":
        given["input_ids"] = torch.tensor([[FIRST, 5, 6, POINT, 7, 8, POINT, FIRST + 1]])
        given["token_type_ids"] = torch.zeros(1, 8, dtype=torch.int64)
    else:
        given["input_ids"] = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    with torch.inference_mode(), LiveBytes() as counted:
        network.eval()(pixel_values=pixels, **given)
    return Probed(window_px=window_px, live_bytes=counted.peak)
