"""Several dates of one place as one scene: the bands of each date, ordered by time, on the grid of the first."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise

from geoseg.disk.places import DATED, OWN_DATES
from geoseg.errors import InputError
from geoseg.scenes.mosaic import as_physical, laid_on, several
from geoseg.scenes.products import stac
from geoseg.scenes.products.kinds import one
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.stack import joined

Describe = Callable[[Given], Described]


def recipe(given: Given, describe: Describe) -> Described | None:
    """Return files that are named DATE=FILE as one; raises InputError where dates repeat or bands differ.

    FILE may be all that makes a scene, tiles too. Of datetime=FILE, STAC items, each day is a date. Bands are called
    NAME@1, NAME@2, … in the order of time. Pixels are float32: where a date has no data, its bands are NaN, and a pixel
    is without data where all dates are. describe: what makes a scene of other names.
    """
    found = [DATED.fullmatch(path) for path in given.paths]
    if not any(found):
        return None
    if None in found:
        plain = given.paths[found.index(None)]
        raise InputError(f"{plain}: has no date, though others have; name each as DATE=FILE, e.g. 2024-05-03=may.tif")
    named = [(match[1], match[2]) for match in found if match is not None]
    dated = [each for date, path in named for each in _dated(date, path, given, describe)]
    dated.sort(key=lambda each: each[:2])
    for (date, path, _), (before, *_) in pairwise(dated):
        if date == before:
            raise InputError(
                f"{path}: the date {before} comes twice; leave one out, or name the tiles of a date once, by a folder, "
                f"a pattern or a tile index: {before}=tiles/"
            )
    _, whose, first = dated[0]
    laid, notes = [], []
    for number, (date, path, part) in enumerate(dated, 1):
        if part.labels != first.labels:
            raise InputError(f"{path}: its bands are not those of {whose}; give the same bands for each date")
        own = [_of_date(tile, number) for tile, _ in part.tiles] or [_of_date(part, number)]
        placed = [laid_on(first.grid, tile, given) for tile in own]
        if not any(box.clip(first.grid.box) for _, box in placed):
            raise InputError(f"{path}: lies on other ground than {whose}; all dates are of one place")
        brought = [note for (new, _), old in zip(placed, own, strict=True) if new is not old for note in new.notes]
        notes += [*part.notes, f"@{number} is {date}, {path}", *several(brought)]
        laid += placed
    together = joined([_of_date(part, number) for number, (*_, part) in enumerate(dated, 1)])
    physical = any(part.physical for *_, part in dated)
    return replace(
        together,
        grid=first.grid,
        sensor=first.sensor,
        notes=tuple(notes),
        dates=len(dated),
        tiles=tuple(laid),
        lone=frozenset().union(*(part.lone for *_, part in dated)),
        physical=physical,
        sources=as_physical(together.sources) if physical else together.sources,
    )


def _of_date(part: Described, number: int) -> Described:
    """Return what is known of files as the bands of a date."""
    return replace(
        part,
        sources=tuple(replace(s, date=number) for s in part.sources),
        labels=tuple(label and f"{label}@{number}" for label in part.labels),
        dtypes=("float32",) * len(part.sources),
    )


def _dated(date: str, path: str, given: Given, describe: Describe) -> list[tuple[str, str, Described]]:
    """Return the dates behind DATE=FILE; those of a STAC collection are the days of its items."""
    if date != OWN_DATES:
        return [(date, path, describe(replace(given, paths=(path,))))]
    items = stac.scenes(path, given)
    if not items or any(item.date is None for item in items):
        raise InputError(f"{path}: holds no STAC items that all say their datetime; name each file as DATE=FILE")
    days: dict[str, list[Described]] = {}
    for item in items:
        days.setdefault(str(item.date)[:10], []).append(item)
    for day, those in days.items():
        if any(a.grid.same_as(b.grid) for a, b in combinations(those, 2)):
            raise InputError(f"{path}: the date {day} comes twice, with items on the same ground; leave one out")
    return [(day, those[0].sources[0].file, one(those, given)) for day, those in days.items()]


def of_each_date(bands: str, found: Described) -> str:
    """Return what --bands says of the bands of one date for all of them."""
    given = [b.strip() for b in bands.split(",") if b.strip()]
    per_date = len(found.labels) // found.dates
    if all(b.isdigit() for b in given):
        return ",".join(str(int(b) + per_date * date) for date in range(found.dates) for b in given)
    if len(given) == len(found.labels) or any("@" in b for b in given):
        return bands
    return ",".join(f"{b}@{date + 1}" for date in range(found.dates) for b in given)
