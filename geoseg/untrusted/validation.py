"""What pydantic finds wrong with a config or a bundle, all of it, in the words of their keys."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from geoseg.untrusted.text import shown

QUOTES = "'"
MOST = 12  # faults, or names, that one line tells
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # pydantic's names for it, in models and dataclasses
NOT_GIVEN = ("missing", "missing_argument", "missing_keyword_only_argument")
KEYS_EXPECTED = ("model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type")

Say = Callable[[str, Mapping[str, Any]], str]
_NUMBER: Say = lambda v, _: f"{v} is no number"  # noqa: E731
_WHOLE: Say = lambda v, _: f"{v} is no whole number"  # noqa: E731
_LIST: Say = lambda v, _: f"{v} is no list"  # noqa: E731
_TRUTH: Say = lambda v, _: f"{v}: write true or false"  # noqa: E731
_MISSING: Say = lambda _v, _c: "missing"  # noqa: E731
WORDS: dict[str, Say] = {
    **dict.fromkeys(NOT_GIVEN, _MISSING),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": lambda v, _: f"{v} is no number that can be used",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "string_type": lambda v, _: f"{v} is no text",
    "string_too_short": lambda v, c: f"{v}: at least {c['min_length']} characters are needed",
    "string_too_long": lambda v, c: f"{v}: at most {c['max_length']} characters are read",
    "string_pattern_mismatch": lambda v, c: f"{v} is not of the form {c['pattern']}",
    "literal_error": lambda v, c: f"{v}: choose {c['expected']}",
    "greater_than": lambda v, c: f"{v}: give more than {c['gt']:g}",
    "greater_than_equal": lambda v, c: f"{v}: give {c['ge']:g} or more",
    "less_than": lambda v, c: f"{v}: give less than {c['lt']:g}",
    "less_than_equal": lambda v, c: f"{v}: give {c['le']:g} or less",
    "multiple_of": lambda v, c: f"{v}: give a multiple of {c['multiple_of']}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": lambda _, c: f"holds {c['actual_length']} entries; at least {c['min_length']} are needed",
    "too_long": lambda _, c: f"holds {c['actual_length'] or 'too many'} entries; at most {c['max_length']} are read",
    "union_tag_invalid": lambda _, c: (
        f"{c['discriminator'].strip(QUOTES)}: {shown(c['tag'])} is not known; choose {c['expected_tags']}"
    ),
    "union_tag_not_found": lambda _, c: f"{c['discriminator'].strip(QUOTES)}: missing",
    "value_error": lambda _, c: str(c["error"]),
    "assertion_error": lambda _, c: str(c["error"]),
}


def in_words(kind: type, error: ValidationError, *, wanted: Mapping[str, str] | None = None) -> str:
    """Return every fault of a value of ``kind`` on one line: key, value and what is right; unknown keys first.

    wanted: what is right for a key whose type says too little, e.g. "a size such as 4GB".
    """
    told: dict[str, list[str]] = {}
    faults = error.errors()
    inside = {fault["loc"][:n] for fault in faults for n in range(len(fault["loc"]))}
    for fault in sorted(faults, key=lambda e: e["type"] not in UNKNOWN_KEY):  # a missing key is often one misspelt
        if fault["type"] == "too_short" and fault["loc"] in inside:
            continue  # the list is short because its entries have faults of their own
        path, known = _walk(kind, fault["loc"], unknown=fault["type"] in UNKNOWN_KEY)
        words = told.setdefault(".".join(path), [])
        said = (wanted or {}).get(path[-1] if path else "")
        if said is None or fault["type"] in (*UNKNOWN_KEY, *NOT_GIVEN):
            said = _say(fault, path, known)
        else:
            said = f"{shown(fault['input'])}: write {said}"
        if said not in words:
            words.append(said)
    lines = [f"{path}: {', or '.join(words)}" if path else ", or ".join(words) for path, words in told.items()]
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    count = f"{len(lines)} faults: " if len(lines) > 1 else ""
    return " ".join((count + "; ".join(lines[:MOST] + more)).split())


def near_or_known(name: str, known: Iterable[str]) -> str:
    """Return which of the known names is meant, or the first of them where none is like it.

    >>> near_or_known("smp-net", ["compact-unet", "smp-unet"]), near_or_known("vit", ["compact-unet", "smp-unet"])
    ('did you mean smp-unet?', 'there are compact-unet, smp-unet')
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:MOST])}{', …' * (len(names) > MOST)}"


def _say(fault: Any, path: list[str], known: list[str]) -> str:
    if fault["type"] in UNKNOWN_KEY:
        return f"unknown key; {near_or_known(path[-1], known)}"
    value = shown(fault["input"])
    if fault["type"] in KEYS_EXPECTED:
        return f"{value}: write keys" + (f" ({', '.join(known)})" if known else "")
    say = WORDS.get(fault["type"])
    return fault["msg"][0].lower() + fault["msg"][1:] if say is None else say(value, fault.get("ctx", {}))


def _walk(kind: type, loc: Iterable[int | str], *, unknown: bool) -> tuple[list[str], list[str]]:
    """Return the path of an error as its file spells it (pydantic adds tags of unions), and the keys known there."""
    here: list[Any] = [kind]
    path: list[str] = []
    of_any_name = tagged = False  # whether the keys here are the user's own; whether a union's tag comes next
    parts = list(loc)
    for i, part in enumerate(parts):
        hints = {k: v for t in here for k, v in get_type_hints(t).items() if k != "model_config"}
        last = i == len(parts) - 1
        if tagged:
            tagged = False
            here = [t for t in here if _has_tag(t, part)] or here
            continue
        if part in hints or isinstance(part, int) or of_any_name or (unknown and last):
            path.append(shown(part, at_most=80).strip("'\"") if isinstance(part, str) else str(part))
        if part in hints and not (unknown and last):
            of_any_name = _holds_dict(hints[str(part)])
            tagged = any(_is_tagged(t, str(part)) for t in here)
            here = list(_keyed_types(hints[str(part)]))
    return path, [k for t in here for k in get_type_hints(t) if k != "model_config"]


def _keyed_types(annotation: Any) -> Iterable[type]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        yield annotation
    for argument in get_args(annotation):
        yield from _keyed_types(argument)


def _holds_dict(annotation: Any) -> bool:
    return get_origin(annotation) is dict


def _has_tag(kind: Any, tag: object) -> bool:
    """Whether a member of a union is the one that ``tag`` means."""
    return any(tag in get_args(field.annotation) for field in getattr(kind, "model_fields", {}).values())


def _is_tagged(kind: Any, field: str) -> bool:
    known = getattr(kind, "model_fields", {})
    return field in known and known[field].discriminator is not None
