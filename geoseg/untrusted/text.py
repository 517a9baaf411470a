"""Text from strangers: JSON and names, checked before anything is made of them."""

import errno
import json
import math
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LONGEST_NAME = 255
SPACES = "\t\n\r"  # the only control characters that XML, JSON and GeoPackages hold


def read_text_file(path: Path, *, at_most: int) -> bytes:
    """Return a small file's bytes; raises OSError where it cannot be read, ValueError beyond ``at_most`` bytes.

    A FIFO, socket or device cannot: it may be waited for without end.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise OSError(errno.EINVAL, "is no regular file; save what it gives to one first", str(path))
    with path.open("rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"holds more than {at_most / 2**20:g} MiB")
    return content


def parse_json(content: bytes, *, finite: bool = True) -> Any:
    """Return the value of a JSON text; raises ValueError with one line.

    finite: NaN and numbers beyond float64 are refused. Keys that are given twice, nesting without end, surrogates and
    control characters are refused always.
    """
    try:
        value = json.loads(content, object_pairs_hook=_once)
        for part in _parts(value):
            if isinstance(part, str) and (fault := fault_of_text(part)):
                raise ValueError(fault)
            if finite and isinstance(part, float) and not math.isfinite(part):
                raise ValueError(f"{part} is no number that can be used")
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
    return value


def fault_of_text(text: str, *, allowed: str = SPACES) -> str | None:
    """Return what is wrong with a text from outside, None for one that every output format can hold.

    >>> fault_of_text("roof"), fault_of_text(chr(0))[-28:]
    (None, 'the control character U+0000')
    """
    for c in text:
        kind = unicodedata.category(c)
        if kind in ("Cc", "Cs") and c not in allowed:
            word = "control character" if kind == "Cc" else "half of a surrogate pair,"
            return f"{shown(text)} holds the {word} U+{ord(c):04X}"
    return None


def fault_of_name(name: str) -> str | None:
    """Return what is wrong with a name: empty, longer than 255 characters, or of more than one line."""
    if not name.strip():
        return "a name is empty"
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name)} characters; at most {LONGEST_NAME} are read"
    return fault_of_text(name, allowed="")


def shown(value: object, *, at_most: int = 60) -> str:
    """Return a value as an error shows it: printable, on one line, and short.

    >>> shown("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= at_most else text[: at_most - 1] + "…"


def one_line(error: Exception, *, at_most: int = 300) -> str:
    """Return what a library says of an error, on one line and short.

    >>> one_line(ValueError("no    such thing"))
    'no such thing'
    """
    return " ".join(str(error).split())[:at_most]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"key {shown(key)} is given twice")
        made[key] = value
    return made


def _parts(value: object) -> Iterator[object]:
    """Yield a value's keys and leaves."""
    inside: Iterable[object] = ()
    if isinstance(value, dict):
        yield from value
        inside = value.values()
    elif isinstance(value, list):
        inside = value
    else:
        yield value
    for part in inside:
        yield from _parts(part)
