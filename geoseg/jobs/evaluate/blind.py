"""A blind sheet: places where two predictions differ, side by side, without a word which is which.

Who judges marks A or B for each place; the key lies in another file. No score says how a map is wanted.
"""

from pathlib import Path
from random import Random

from geoseg.disk.files import write_json
from geoseg.errors import InputError
from geoseg.jobs.evaluate.judged import Judged
from geoseg.jobs.evaluate.places import SHOWN_PX, imagery, worst
from geoseg.outputs import page
from geoseg.scenes import pictures
from geoseg.scenes.pictures import Rgb
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box

PLACES = 12
WIDTH_PX = 360  # of a picture on the page
LINE = (255, 235, 59)
SIDES = ("A", "B")


def key_file(sheet: Path) -> Path:
    """Return where the key of a sheet is written."""
    return sheet.with_suffix(".key.json")


def write_blind(path: Path, one: Judged, two: Judged, *, names: tuple[str, str], scene: Scene, seed: int) -> None:
    """Write the sheet, and its key beside it: which prediction is A and which is B, drawn anew for each place.

    one, two: the predictions that ``names`` name. Raises InputError where they agree everywhere, or the scene lies
    elsewhere.
    """
    one, two = one.beside(two)
    differ = one.answers != two.answers
    places = worst(one, lambda box: differ[box.within(one.grid.box)], most=PLACES)
    if not places:
        raise InputError(f"{names[0]} and {names[1]} agree everywhere; there is nothing to choose")
    draw, key, parts = Random(seed), {}, []
    for number, place in enumerate(places, 1):
        seen = imagery(scene, one, place.box)
        if seen is None:
            raise InputError(f"{scene.name}: shows nothing of {place.centre(one)}; name the imagery of this ground")
        order = draw.sample((0, 1), 2)
        key[str(number)] = {side: names[k] for side, k in zip(SIDES, order, strict=True)}
        drawn = [pictures.enlarged(seen, SHOWN_PX), *(_outlined(seen, (one, two)[k], place.box) for k in order)]
        named = zip(("imagery", *SIDES), drawn, strict=True)
        parts += [
            page.tag("h2", f"Place {number}"),
            page.side_by_side(*(page.figure(pictures.data_address(p), name, width_px=WIDTH_PX) for name, p in named)),
            page.tag("p", "Better:  A ☐   B ☐   no difference ☐"),
        ]
    told = "Two maps of the same ground. For each place, mark the one whose boundaries you would rather use."
    write_json(key_file(path), {"sheet": path.name, "places": key})
    page.write_page(path, page.page("Which is better, A or B?", told, *parts))


def _outlined(seen: Rgb, judged: Judged, box: Box) -> Rgb:
    """Return imagery with the boundaries of a prediction, one pixel of the screen wide."""
    ids = pictures.enlarged(judged.answers[box.within(judged.grid.box)], SHOWN_PX)
    return pictures.drawn(pictures.enlarged(seen, SHOWN_PX), pictures.boundaries(ids), LINE)
