"""What to choose for which need: the rows of choosing.toml, and which of them a question is about."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

TOPICS: Mapping[str, str] = {
    "task": "What to map",
    "network": "Which network",
    "loss": "Which loss",
    "split": "How to split",
    "labels": "How many labels, and which",
    "not": "What not to do",
}
WORD = re.compile(r"[a-z0-9+]+")
SMALL = frozenset(
    WORD.findall("a an the of and or to in is are be with for on by at as it i we my have has do does what which how")
)


class Row(NamedTuple):
    """One need, and what answers it."""

    topic: str
    """One of TOPICS."""
    need: str
    """What somebody has or wants."""
    words: str
    """Further words that ask for it."""
    answer: str
    """What to take."""
    how: str
    """How to say it to geoseg."""
    why: str
    """The reason."""


@cache
def rows() -> tuple[Row, ...]:
    """Return all rows, by topic."""
    text = resources.files("geoseg.training").joinpath("choosing.toml").read_text(encoding="utf-8")
    return tuple(Row(**row) for row in tomllib.loads(text)["row"])


def asked(question: str, *, most: int = 3) -> tuple[Row, ...]:
    """Return the rows that share the most words with a question, the best first; rare words count more.

    >>> asked("we have only 200 images")[0].need
    '200 images or fewer'
    """
    wanted = _words(question)
    every = [(row, _words(f"{row.need} {row.words}"), _words(row.need)) for row in rows()]
    counts = {word: sum(word in own for _, own, _ in every) for word in wanted}
    scores = [
        (sum((1 + (word in need)) / counts[word] for word in wanted & own) - 0.01 * len(need - wanted), -i)
        for i, (_, own, need) in enumerate(every)
    ]
    best = sorted(((score, i) for score, i in scores if score > 0), reverse=True)[:most]
    return tuple(every[-i][0] for _, i in best)


def _words(text: str) -> set[str]:
    """Return the words of a text without endings of the plural, and without small ones."""
    found = {word for word in WORD.findall(text.lower()) if word not in SMALL}
    return {word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found}
