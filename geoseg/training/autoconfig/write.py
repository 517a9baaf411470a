"""A config as commented YAML: what was seen, what was chosen, and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from geoseg.training.autoconfig.fingerprint import Fingerprint
from geoseg.training.autoconfig.pairs import Pairs
from geoseg.training.autoconfig.rules import Choice
from geoseg.training.targets import BuildingTarget

NAMES = {1: "gray", 3: "red,green,blue", 4: "red,green,blue,nir"}  # what unnamed bands are taken for, by their number


def config_text(folder: Path, name: str, pairs: Pairs, seen: Fingerprint, chosen: tuple[Choice, ...]) -> str:
    """Return the config of a training, in YAML."""
    return "\n".join(
        (*_head(pairs, seen), "", *_data(folder, name, pairs), "", *_target(seen), "", *_settings(seen, chosen), "")
    )


def _head(pairs: Pairs, seen: Fingerprint) -> Iterator[str]:
    scene = seen.scenes[0]
    shares = ", ".join(f"{n} {s:.1%}" for n, s in seen.shares.items())
    yield "# Made by geoseg autoconfig; every value may be changed. docs/training.md says what the keys mean."
    yield f"# {pairs.how}."
    yield f"# Scenes: {seen.gsd_m:.3g} m, {len(scene.bands)} bands of {scene.dtype}."
    yield f"# Labels: {seen.why}; {shares}."
    if missing := [n for n, s in seen.shares.items() if not s]:
        yield f"# Nowhere labelled, so it cannot be learnt: {', '.join(missing)}."


def _data(folder: Path, name: str, pairs: Pairs) -> Iterator[str]:
    yield "job: train"
    yield f"name: {flow(name)}"
    yield f"data_folder: {flow(str(folder.absolute()))}"
    yield f"out: {flow(name + '-model')}"
    yield ""
    yield "data:"
    for pair in pairs.each:
        yield f"  - {flow({'scene': pair.scene, 'labels': pair.labels})}"


def _target(seen: Fingerprint) -> Iterator[str]:
    yield "target:"
    if isinstance(seen.target, BuildingTarget):
        width = max(0.5, round(seen.gsd_m, 2))
        yield "  kind: buildings"
        yield f"  border_m: {width}  # of the border class, which parts buildings that touch: a pixel at least"
        return
    yield "  kind: classes"
    if seen.target.column:
        yield f"  column: {flow(seen.target.column)}"
    if any(text != str(i) for text, i in seen.target.values.items()):
        yield f"  values: {flow(seen.target.values)}  # null leaves one out"
    yield "  classes:"
    for c in seen.target.classes:
        yield f"    - {flow({'id': c.id, 'name': c.name, 'color': c.hex})}"


def _settings(seen: Fingerprint, chosen: tuple[Choice, ...]) -> Iterator[str]:
    yield _bands(seen)
    groups: dict[str, list[Choice]] = {}
    for choice in chosen:
        groups.setdefault(choice.key.partition(".")[0], []).append(choice)
    for key, own in groups.items():
        if "." not in own[0].key:
            yield f"{key}: {flow(own[0].value)}  # {own[0].why}"
            continue
        yield f"{key}:"
        yield from (f"  {c.key.partition('.')[2]}: {flow(c.value)}  # {c.why}" for c in own)
    yield "# normalisation: mean and spread of each band are taken from the training ground"


def _bands(seen: Fingerprint) -> str:
    scene = seen.scenes[0]
    names = ",".join(scene.bands.names)
    if scene.named:
        return f"bands: {flow(names)}  # all of the first scene"
    taken = NAMES.get(len(scene.bands), names)
    return f"bands: {flow(taken)}  # the files do not name their bands: check these, in file order"


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
        .strip()
        .removesuffix("...")
        .strip()
    )
