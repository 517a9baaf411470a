"""Places of the judged ground that are worth a look, and their pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.jobs.evaluate.errors import ERRORS, errors_in
from geoseg.jobs.evaluate.judged import Judged
from geoseg.scenes import pictures
from geoseg.scenes.pictures import Rgb
from geoseg.scenes.scene import Scene
from geoseg.scenes.shown import shown
from geoseg.values.box import Box

PLACE_PX = 256
SHOWN_PX = 256  # smaller places are shown in larger pixels


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the judged ground, and how many of its pixels are of what is looked for."""

    box: Box
    pixels: int

    def centre(self, judged: Judged) -> str:
        """Return where it lies, in the CRS of the grid."""
        row, col = (self.box.row0 + self.box.row1) / 2, (self.box.col0 + self.box.col1) / 2
        x, y = judged.grid.transform @ (col, row)
        digits = 5 if judged.grid.crs.is_geographic else 0
        return f"{x:.{digits}f}, {y:.{digits}f}"


def worst(judged: Judged, of: Callable[[Box], NDArray[np.bool_]], *, most: int) -> list[Place]:
    """Return the places with the most pixels of ``of``, the worst first; those without any are left out."""
    side = min(PLACE_PX, max(judged.grid.shape))
    found = [Place(box, int(of(box).sum())) for box in judged.grid.box.blocks(side)]
    return sorted((p for p in found if p.pixels), key=lambda p: (-p.pixels, p.box.row0, p.box.col0))[:most]


def imagery(scene: Scene, judged: Judged, box: Box) -> Rgb | None:
    """Return the scene's colours in a box, None where it does not reach or cannot be read."""
    try:
        bands, known = shown(scene, judged.grid.crop(box))
    except InputError:  # a damaged block: the map stands without it
        return None
    return pictures.of_bands(bands, known) if known.any() else None


def panels(judged: Judged, box: Box, *, scene: Scene | None, near_m: float) -> list[tuple[str, Rgb]]:
    """Return pictures of one place with their names: imagery where there is any, truth, prediction, errors."""
    part = box.within(judged.grid.box)
    ids = {"truth": judged.truth[part], "prediction": judged.answers[part]}
    kinds = pictures.of_classes(errors_in(judged, box, near_m=near_m), ERRORS)
    found = [(name, pictures.of_classes(values, judged.classes)) for name, values in ids.items()]
    seen = None if scene is None else imagery(scene, judged, box)
    every = [*([] if seen is None else [("imagery", seen)]), *found, ("errors", kinds)]
    return [(name, pictures.enlarged(picture, SHOWN_PX)) for name, picture in every]


def overview(judged: Judged, *, near_m: float, side_px: int) -> Rgb:
    """Return the errors of the whole ground, every n-th pixel, so that the longer side has ``side_px`` at most."""
    step = -(-max(judged.grid.shape) // side_px)
    strips = []
    for row in range(0, judged.grid.height, step * PLACE_PX):
        box = Box(row, 0, min(row + step * PLACE_PX, judged.grid.height), judged.grid.width)
        strips.append(errors_in(judged, box, near_m=near_m)[::step, ::step])
    return pictures.enlarged(pictures.of_classes(np.concatenate(strips), ERRORS), side_px // 2)
