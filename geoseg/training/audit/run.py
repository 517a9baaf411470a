"""The audit of a training's labels: all that is found, and the page that shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError
from geoseg.outputs import page
from geoseg.outputs.page import Html
from geoseg.scenes import pictures
from geoseg.scenes.pictures import Rgb
from geoseg.training.areas import LabelledArea
from geoseg.training.audit.duplicates import of_looks, of_places
from geoseg.training.audit.findings import Finding, of_data, of_shares, of_void, shares
from geoseg.training.audit.overlays import sheet
from geoseg.training.audit.shift import of_shifts
from geoseg.training.labels import is_raster
from geoseg.training.samples import Samples, Shelf, entry_areas, load_samples
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.split import Area

MOST_SCENES = 200  # that are looked at as wholes
LEVELS = ("fault", "warning", "note")


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What is found about the labels of a training; counts: pixels of each class, and void, by role."""

    spec: TrainSpec
    findings: tuple[Finding, ...]
    counts: dict[str, NDArray[np.int64]]
    overlays: Rgb | None
    samples: Samples | None

    @property
    def faults(self) -> list[Finding]:
        """What has to be mended before a training."""
        return [f for f in self.findings if f.level == "fault"]


def audit(spec: TrainSpec) -> Audit:
    """Look at all labels of a training; entries that cannot be read are faults, and the rest is looked at without."""
    findings, sound = of_data(spec)
    readable = spec.model_copy(update={"data": tuple(sound)})
    counts: dict[str, NDArray[np.int64]] = {}
    overlays, samples = None, None
    try:
        whole = tuple(whole_scenes(readable))
        findings += of_void(whole, spec.target)
        findings += of_shifts(whole, spec.target)
        overlays = sheet(whole, spec.target)
        if sound:
            samples = load_samples(readable, tests=True)
            counts = shares(samples, spec.target)
            findings += of_shares(counts, spec.target)
            findings += of_places(readable, samples)
            findings += of_looks(samples, max(64, spec.schedule.crop_px))
    except GeosegError as error:
        findings.append(Finding("fault", spec.name, str(error)))
    ordered = sorted(findings, key=lambda f: LEVELS.index(f.level))
    return Audit(spec, tuple(ordered), counts, overlays, samples)


def whole_scenes(spec: TrainSpec) -> Iterator[LabelledArea]:
    """Yield every scene as one area, some of many."""
    shelf = Shelf()
    for item in spec.data[:: max(1, len(spec.data) // MOST_SCENES)]:
        parts = [Area("train", open_labelled(item).grid.box)]
        yield from (area for _, area in entry_areas(item, spec, parts, shelf))


def quick(spec: TrainSpec) -> list[Finding]:
    """Return what is wrong with the polygons of a training, which it can go on with."""
    drawn = tuple(item for item in spec.data if not all(is_raster(layer.file) for layer in item.layers))
    return of_data(spec.model_copy(update={"data": drawn}))[0]


def share_rows(found: Audit) -> list[list[str]]:
    """Return the share of each class among the labels of each role, a row a class, and how many labels there are."""
    names = [c.name for c in found.spec.target.class_table]
    rows = [
        [name, *(f"{of_role[i] / max(1, of_role.sum()):.1%}" for of_role in found.counts.values())]
        for i, name in enumerate(names)
    ]
    return [*rows, ["labels, Mpx", *(f"{of_role.sum() / 1e6:.3g}" for of_role in found.counts.values())]]


def write_audit(folder: Path, found: Audit, more: Sequence[Html] = ()) -> None:
    """Write report.html and overlays.png into a folder; raises OutputError."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(f.level, f.where, f.text) for f in found.findings]
    cells = [[Html(f'<span class="fault">{page.html(a)}</span>') if a == "fault" else a, b, c] for a, b, c in rows]
    parts: list[str] = [
        f"{len(found.faults)} faults, {sum(r[0] == 'warning' for r in rows)} warnings, {len(found.spec.data)} scenes.",
        page.table(["", "where", "what"], cells),
        page.tag("h2", "Shares of classes"),
        page.table(["class", *found.counts], share_rows(found)),
        *more,
    ]
    if found.overlays is not None:
        pictures.write_png(folder / "overlays.png", found.overlays)
        told = "Windows drawn at random, outlines of labels in their colours; void is dark."
        parts += [
            page.tag("h2", "Labels over imagery"),
            page.legend(found.spec.target.class_table),
            page.figure(pictures.data_address(found.overlays), told),
        ]
    page.write_page(folder / "report.html", page.page(f"Labels of {found.spec.name}", *parts))
