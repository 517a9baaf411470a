"""Pictures of windows with their labels' outlines over the imagery, to be looked at."""

from collections.abc import Iterator, Sequence

import numpy as np

from geoseg.scenes import pictures
from geoseg.scenes.pictures import Rgb
from geoseg.training.areas import LabelledArea, blocks, shown
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget
from geoseg.values.box import Box

WINDOW_PX = 256
PICTURES, COLUMNS = 20, 5
OUTLINE = (255, 255, 0)  # of buildings


def sheet(areas: Sequence[LabelledArea], target: BuildingTarget | ClassTarget, *, seed: int = 0) -> Rgb | None:
    """Return 20 windows in rows of five, drawn at random, those that hold two classes first; None without labels."""
    drawn = [overlay(area, box, target) for area, box in _windows(areas, target, seed)]
    rows = [drawn[i : i + COLUMNS] for i in range(0, len(drawn), COLUMNS)]
    return pictures.sheet(rows) if drawn else None


def overlay(area: LabelledArea, box: Box, target: BuildingTarget | ClassTarget) -> Rgb:
    """Return a window with the outlines of its labels in their colours; void is dark."""
    pixels, labels = shown(area, box, target)
    bands = np.nan_to_num(pixels.image[:3] if len(pixels.image) >= 3 else pixels.image[:1])
    picture = pictures.of_bands(bands, pixels.valid)
    picture[labels == IGNORE] //= 2
    ids = [c.id for c in target.class_table]
    channels = {i: ids.index(c.class_id or 0) for i, c in enumerate(target.channels)}
    classes = np.vectorize(lambda v: channels.get(v, len(ids)), otypes=[np.int64])(labels)
    objects = np.where(classes == 1, pixels.labels, 0) if isinstance(target, BuildingTarget) else classes
    edge = pictures.boundaries(objects)
    for i, one in enumerate(target.class_table):
        color = OUTLINE if isinstance(target, BuildingTarget) else one.color
        picture = pictures.drawn(picture, edge & (classes == i), color)
    return picture


def _windows(
    areas: Sequence[LabelledArea], target: BuildingTarget | ClassTarget, seed: int
) -> Iterator[tuple[LabelledArea, Box]]:
    """Yield windows with labels, by chance: of two classes first."""
    places = [(area, box) for area in areas for box in blocks(area, WINDOW_PX)]
    order = np.random.default_rng(seed).permutation(len(places))
    plain: list[tuple[LabelledArea, Box]] = []
    left = PICTURES
    for i in order[: 8 * PICTURES]:
        area, box = places[i]
        known = {*np.unique(shown(area, box, target)[1]).tolist()} - {IGNORE}
        if len(known) > 1 and left:
            left -= 1
            yield area, box
        elif known:
            plain.append((area, box))
    yield from plain[:left]
