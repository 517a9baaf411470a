"""Several dates of one place as one scene: the bands of each date, ordered by time, on the grid of the first."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from geoseg.disk.places import DATED, OWN_DATES
from geoseg.errors import InputError
from geoseg.scenes.onto import onto
from geoseg.scenes.products import stac
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.stack import joined

Describe = Callable[[Given], Described]


def recipe(given: Given, describe: Describe) -> Described | None:
    """Return files that are named DATE=FILE as one; raises InputError where dates repeat or bands differ.

    Of datetime=FILE, STAC items, each item is a date. Bands are called NAME@1, NAME@2, … in the order of time. Pixels
    are float32: where a date has no data, its bands are NaN, and a pixel is without data where all dates are. describe:
    what makes a scene of other names.
    """
    found = [DATED.fullmatch(path) for path in given.paths]
    if not any(found):
        return None
    if None in found:
        plain = given.paths[found.index(None)]
        raise InputError(f"{plain}: has no date, though others have; name each as DATE=FILE, e.g. 2024-05-03=may.tif")
    named = [(match[1], match[2]) for match in found if match is not None]
    every = [one for date, path in named for one in _dated(date, path, given, describe)]
    every.sort(key=lambda one: one[:2])
    dated, parts = [(date, path) for date, path, _ in every], [part for _, _, part in every]
    for (date, path), (before, _) in pairwise(dated):
        if date == before:
            raise InputError(f"{path}: the date {before} comes twice; leave one out, or make a mosaic of both first")
    first, rule = parts[0], given.resampling or "bilinear"
    brought, notes = [], []
    for number, ((date, path), part) in enumerate(zip(dated, parts, strict=True), 1):
        if part.tiles:
            raise InputError(f"{path}: tiles of one date; make a VRT of them first (gdalbuildvrt)")
        if part.labels != first.labels:
            raise InputError(f"{path}: its bands are not those of {dated[0][1]}; give the same bands for each date")
        placed, _ = (part, True) if part.grid.same_as(first.grid) else onto(part, first.grid, rule)
        how = "" if placed is part else f", brought to the grid of the first ({rule})"
        notes += [*part.notes, f"@{number} is {date}, {path}{how}"]
        sources = tuple(replace(s, date=number) for s in placed.sources)
        labels = tuple(label and f"{label}@{number}" for label in part.labels)
        brought.append(replace(placed, sources=sources, labels=labels, dtypes=("float32",) * len(sources)))
    return replace(joined(brought), sensor=first.sensor, notes=tuple(notes), dates=len(parts))


def _dated(date: str, path: str, given: Given, describe: Describe) -> list[tuple[str, str, Described]]:
    """Return the dates behind DATE=FILE; those of a STAC collection are the days of its items."""
    if date != OWN_DATES:
        return [(date, path, describe(replace(given, paths=(path,))))]
    items = stac.scenes(path, given)
    if not items or any(item.date is None for item in items):
        raise InputError(f"{path}: holds no STAC items that all say their datetime; name each file as DATE=FILE")
    return [(str(item.date)[:10], item.sources[0].file, item) for item in items]


def of_each_date(bands: str, found: Described) -> str:
    """Return what --bands says of the bands of one date for all of them."""
    given = [b.strip() for b in bands.split(",") if b.strip()]
    per_date = len(found.labels) // found.dates
    if all(b.isdigit() for b in given):
        return ",".join(str(int(b) + per_date * date) for date in range(found.dates) for b in given)
    if len(given) == len(found.labels) or any("@" in b for b in given):
        return bands
    return ",".join(f"{b}@{date + 1}" for date in range(found.dates) for b in given)
