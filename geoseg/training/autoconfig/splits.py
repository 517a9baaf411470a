"""Which split a config gets: of few labels, the first of several that leaves classes to train and to watch."""

from collections.abc import Iterator
from math import ceil

from geoseg.errors import ConfigError, InputError
from geoseg.training.autoconfig.fingerprint import Fingerprint
from geoseg.training.autoconfig.rules import FEW_PX, Choice
from geoseg.training.spec import TrainSpec

GROUPS = 5  # scenes from which on whole scenes are held out
LEAST_SIDE_PX = 8
MOST_BLOCKS = 4000  # of a scene: more take minutes to look at
STRIP = 0.3  # share of a scene that is watched where blocks are too small


def splits(seen: Fingerprint) -> Iterator[Choice]:
    """Yield splits, the best first: whole scenes where there are several, else blocks of ground, smaller and smaller.

    Of plenty of labels the first one is all: it fits, and looking would take long.
    """
    if len(seen.scenes) >= GROUPS:
        yield Choice("split", {"by": "scene"}, "whole scenes are watched, and kept for the test")
    else:
        told = "blocks of ground are watched, and kept for the test, half a window apart"
        yield Choice("split", {"by": "blocks"}, told)
    if seen.labelled_px >= FEW_PX:
        return
    side_px = max(LEAST_SIDE_PX, ceil(2 * seen.object_px))
    pixels = sum(scene.grid.height * scene.grid.width for scene in seen.scenes)
    for times in (4, 2, 1):
        if pixels / (times * side_px) ** 2 > MOST_BLOCKS:
            break
        small = {"side_m": _metres(times * side_px, seen), "buffer_m": _metres(LEAST_SIDE_PX, seen)}
        told = f"few labels: blocks of {times * side_px} px, {LEAST_SIDE_PX} px apart; scores are a little too good"
        yield Choice("split", {"by": "blocks", **small}, told)
        yield Choice("split", {"by": "blocks", **small, "test": 0}, f"{told}; nothing is left for a test")
    for side in ("south", "east", "north", "west"):
        strip = {"validation": {"side": side, "share": STRIP}, "buffer_px": LEAST_SIDE_PX}
        yield Choice("split", strip, "few labels: a strip is watched; nothing is left for a test")


def classes_left(spec: TrainSpec) -> int:
    """Return how many classes training and validation have labels of, added up; 0 where no epoch could be judged."""
    from geoseg.training.samples import load_samples
    from geoseg.training.start import class_counts

    try:
        counts = class_counts(spec, load_samples(spec))
    except (InputError, ConfigError):
        return 0
    held = [{c.class_id for c in spec.target.channels if of_role[c.name]} for of_role in counts.values()]
    return 0 if min(map(len, held)) < 2 else sum(map(len, held))


def _metres(pixels: int, seen: Fingerprint) -> float:
    return float(f"{pixels * seen.gsd_m:.3g}")
