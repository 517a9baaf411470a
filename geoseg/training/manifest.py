"""Manifest: which files a network learnt from, by name and sha256; folders are nobody's business."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geoseg.disk.files import sha256_of
from geoseg.errors import InputError
from geoseg.models.spec import ModelSpec
from geoseg.training.data_spec import LabelledScene
from geoseg.training.spec import TrainSpec

MOST_NAMED = 3  # differences that one line tells
SHORT = 12  # characters of a sha256


def manifest(data: Sequence[LabelledScene]) -> list[dict[str, object]]:
    """Return scene, labels and their sha256 of each entry of the data; remote files have names alone."""
    rows: list[dict[str, object]] = []
    for item in data:
        files = [Path(name) for name in (*item.scenes, *item.label_files)]
        rows.append(
            {
                "scene": [Path(s).name for s in item.scenes],
                "labels": ", ".join(Path(file).name for file in item.label_files),
                "sha256": [sha256_of(file) for file in files if file.is_file()],
            }
        )
    return rows


def refuse_changed(before: ModelSpec, spec: TrainSpec, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Raise InputError that names the files or counts of labels that are not those that a bundle was trained on."""
    told = before.training
    if "manifest" not in told:
        raise InputError(f"{before.name}: does not say what it was trained on; take a bundle of geoseg train")
    changed = differences(_digests(told["manifest"]), _digests(manifest(spec.data)))
    changed = changed or differences(told.get("class_counts", counts), json.loads(json.dumps(counts)))
    if changed:
        raise InputError(
            f"not the data of {before.name}: {'; '.join(changed[:MOST_NAMED])}"
            f"{f'; {len(changed)} differences in all' if len(changed) > MOST_NAMED else ''}; bring them back, or train "
            f"without --same-as"
        )


def _digests(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return what is known of each file of each entry, by its name."""
    out = {}
    for number, row in enumerate(rows, 1):
        names = [*row["scene"], *filter(None, row["labels"].split(", "))]
        known = [f"sha256 {digest[:SHORT]}" for digest in row["sha256"]]
        out[f"data {number}"] = dict(zip(names, known if len(known) == len(names) else names, strict=True))
    return out


def differences(before: Any, now: Any, at: str = "") -> list[str]:
    """Return in words where two JSON values differ, by dotted key.

    >>> differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1]})
    ['a.b 1, now 2', 'c.1 2, now absent']
    """
    return list(_differences(before, now, at))


ABSENT = object()


def _differences(before: Any, now: Any, at: str) -> Iterator[str]:
    if isinstance(before, list) and isinstance(now, list):
        before, now = (dict(enumerate(values)) for values in (before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key, ABSENT), now.get(key, ABSENT), f"{at}.{key}" if at else str(key))
    elif before != now:
        was, is_now = ("absent" if value is ABSENT else value for value in (before, now))
        yield f"{at} {was}, now {is_now}"
