"""The report of an evaluation: one page with its scores, where the errors lie, and the worst places."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.evaluate.errors import BAND, ERRORS, RIGHT, errors_in
from geoseg.jobs.evaluate.judged import Judged
from geoseg.jobs.evaluate.places import Place, overview, panels, worst
from geoseg.jobs.evaluate.tables import Table, of_changes, of_classes
from geoseg.outputs import page
from geoseg.outputs.page import Html
from geoseg.scenes import pictures
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.classes import NODATA

PLACES = 6
OVERVIEW_PX = 900


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a report shows."""

    prediction: str
    truth: str
    aoi: str | None
    judged: Judged
    scores: dict[str, Any]
    """``Evaluation.as_json``."""
    near_m: float
    """Tolerance of boundaries."""
    against: str | None = None
    """The prediction that it is compared with."""
    comparison: dict[str, Any] | None = None
    """``Comparison.as_json``."""
    scene: Scene | None = None
    """Imagery for the maps."""


def write_report(path: Path, report: Report) -> None:
    """Write the page; raises OutputError where the disk fails."""
    page.write_page(path, page.page(f"Evaluation of {Path(report.prediction).name}", *_parts(report)))


def _parts(report: Report) -> Iterator[str]:
    judged, near_m = report.judged, report.near_m
    where = "" if report.aoi is None else f", on the ground of {report.aoi}"
    yield page.tag("p", f"{report.prediction} against {report.truth}{where}.", class_="quiet")
    yield page.tag("p", _ground(judged), class_="quiet")
    yield page.tag("h2", "Scores")
    yield from as_html(of_classes(report.scores))
    if report.comparison is not None:
        yield page.tag("h2", f"Against {report.against}")
        yield from as_html(of_changes(report.comparison))
    yield page.tag("h2", "Where the errors lie")
    whole = overview(judged, near_m=near_m, side_px=OVERVIEW_PX)
    yield page.figure(pictures.data_address(whole), "the judged ground; white is not judged")
    yield page.legend(ERRORS)
    yield page.tag("h2", "The worst places")
    yield page.legend(judged.classes)
    places = worst(judged, lambda box: _wrong(judged, box, near_m), most=PLACES)
    if not places:
        yield "No pixel is wrong beyond the tolerance."
    for number, place in enumerate(places, 1):
        drawn = panels(judged, place.box, scene=report.scene, near_m=near_m)
        yield page.tag("p", f"{number}. {_told(judged, place)}")
        yield page.side_by_side(*(page.figure(pictures.data_address(p), name) for name, p in drawn))


def as_html(parts: Iterable[Table | str]) -> Iterator[Html]:
    """Yield tables and sentences as pieces of a page."""
    for part in parts:
        if isinstance(part, str):
            yield page.tag("p", part)
        elif part.shares is None:
            yield page.table(part.head, part.rows)
        else:
            rows = zip(part.rows, part.shares, strict=True)
            yield page.table(part.head, [[row[0], *map(page.shaded, row[1:], shares)] for row, shares in rows])


def _ground(judged: Judged) -> str:
    grid, known = judged.grid, judged.truth != NODATA
    area_ha = float(known.sum(1) @ grid.row_areas_m2()) / 1e4
    height_m, width_m = grid.ground_resolution_m()
    return (
        f"{area_ha:,.1f} ha judged, {grid.height} x {grid.width} px of {height_m:.4g} x {width_m:.4g} m in "
        f"{grid.crs.to_string()[:60]}; both sides know {known.mean():.1%} of the pixels."
    )


def _wrong(judged: Judged, box: Box, near_m: float) -> NDArray[np.bool_]:
    return ~np.isin(errors_in(judged, box, near_m=near_m), (NODATA, RIGHT, BAND))


def _told(judged: Judged, place: Place) -> str:
    """Return how much of a place is wrong, and which mistake is the most frequent."""
    part = place.box.within(judged.grid.box)
    truth, answers = judged.truth[part], judged.answers[part]
    wrong = truth != answers
    pairs, counts = np.unique(np.stack([truth[wrong], answers[wrong]]), axis=1, return_counts=True)
    right, said = (judged.classes.by_id(int(i)).name for i in pairs[:, counts.argmax()])
    share = place.pixels / (truth != NODATA).sum()
    return (
        f"At {place.centre(judged)}: {share:.0%} wrong beyond the tolerance; the most frequent mistake is {right} that "
        f"is called {said}."
    )
