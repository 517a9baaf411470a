"""Check of what geoseg report writes beside a run's outputs, where it is there."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from geoseg.outputs.page import html
from geoseg.outputs.project import read_project
from geoseg.outputs.run_json import ITEM, PROJECT, REPORT, SUMS, RunJson
from geoseg.outputs.stac_item import SHA256, stac_item

Found = tuple[str, bool, str]  # what was looked at, whether it holds, and what was found
FETCHED = re.compile(r'(?:src|href)="(?!data:)[^"]*"|<script|@import|url\(')


def _project(path: Path, run: RunJson) -> Iterator[Found]:
    root = read_project(path)
    sources = [(node.text or "").partition("|")[0] for node in root.findall("projectlayers/maplayer/datasource")]
    lost = [source for source in sources if not source.startswith("./") or not (path.parent / source).is_file()]
    yield "layers lie in the folder", bool(sources) and not lost, ", ".join(lost or sources)
    entries = {e.get("value"): (e.get("label"), e.get("color")) for e in root.iter("paletteEntry")}
    yield "classes as the table", entries == {str(c.id): (c.name, c.hex) for c in run.classes}, str(entries)


def _item(path: Path, run: RunJson) -> Iterator[Found]:
    stated = json.loads(path.read_text(encoding="utf-8"))
    wanted = {name: SHA256 + about["sha256"] for name, about in run.facts["outputs"].items()}
    found = {name: asset.get("file:checksum") for name, asset in stated["assets"].items()}
    yield "checksums as in run.json", found == wanted, ", ".join(found)
    same = stated == json.loads(json.dumps(stac_item(run, name=stated["id"])))
    yield "place, classes and lineage as in run.json", same, stated["id"]


def _page(path: Path, run: RunJson) -> Iterator[Found]:
    text = path.read_text(encoding="utf-8")
    fetched = FETCHED.findall(text)
    yield "self-contained", not fetched, ", ".join(fetched[:3])
    legend = all(f"background: {c.hex}" in text and html(c.name) in text for c in run.classes)
    yield "legend as the table", legend, ", ".join(c.name for c in run.classes)


def _sums(path: Path, run: RunJson) -> Iterator[Found]:
    lines = dict(line.split("  ", 1)[::-1] for line in path.read_text(encoding="utf-8").splitlines())
    wanted = {name: about["sha256"] for name, about in run.facts["outputs"].items()}
    yield "digests as in run.json", wanted.items() <= lines.items(), f"{len(lines)} files"


CHECKS: dict[str, Callable[[Path, RunJson], Iterator[Found]]] = {
    PROJECT: _project,
    ITEM: _item,
    REPORT: _page,
    SUMS: _sums,
}
