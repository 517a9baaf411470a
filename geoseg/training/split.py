"""Areas to train, validate and test on: rectangles of a scene, kept apart by a buffer."""

from dataclasses import dataclass

from geoseg.errors import ConfigError
from geoseg.training.blocks import Cells, Role
from geoseg.training.data_spec import Cut, Split
from geoseg.values.box import Box


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of scene pixels and what it is for; cells: of them, those alone that are."""

    role: Role
    box: Box
    cells: Cells | None = None


def split_scene(shape: tuple[int, int], split: Split) -> tuple[Area, ...]:
    """Cut a scene of ``shape`` pixels into areas: first the test strip, then the validation strip from what is left.

    Training pixels keep ``buffer_px`` away from both. Pixels of one area are never those of another, so windows that
    are cut from areas share none either. Raises ConfigError where nothing is left to train on.

    >>> from geoseg.training.data_spec import Cut, Split
    >>> split = Split(test=Cut(side="east", share=0.25), validation=Cut(side="south", share=0.5), buffer_px=10)
    >>> [(a.role, a.box) for a in split_scene((100, 200), split)]  # doctest: +NORMALIZE_WHITESPACE
    [('test', Box(row0=0, col0=150, row1=100, col1=200)),
     ('validation', Box(row0=50, col0=0, row1=100, col1=140)),
     ('train', Box(row0=0, col0=0, row1=40, col1=140))]
    """
    rest = Box(0, 0, *shape)
    areas: list[Area] = []
    cuts: list[tuple[Role, Cut]] = [("validation", split.validation)]
    if split.test is not None:
        cuts.insert(0, ("test", split.test))
    for role, cut in cuts:
        strip, rest = _cut(rest, cut, split.buffer_px)
        areas.append(Area(role, strip))
    return (*areas, Area("train", rest))


def _cut(box: Box, cut: Cut, buffer_px: int) -> tuple[Box, Box]:
    """Return the strip and what is left of ``box`` beyond the buffer."""
    rows, cols = cut.side in ("north", "south"), cut.side in ("east", "west")
    length = box.shape[0] if rows else box.shape[1]
    strip = round(length * cut.share)
    left = length - strip - buffer_px
    if strip < 1 or left < 1:
        raise ConfigError(
            f"split: {cut.share:g} on the {cut.side} and a buffer of {buffer_px} px leave nothing of {length} px"
        )
    r0, c0, r1, c1 = box.row0, box.col0, box.row1, box.col1
    if rows:
        return (Box(r1 - strip, c0, r1, c1), Box(r0, c0, r0 + left, c1)) if cut.side == "south" else (
            Box(r0, c0, r0 + strip, c1), Box(r1 - left, c0, r1, c1))  # fmt: skip
    assert cols
    return (Box(r0, c1 - strip, r1, c1), Box(r0, c0, r1, c0 + left)) if cut.side == "east" else (
        Box(r0, c0, r1, c0 + strip), Box(r0, c1 - left, r1, c1))  # fmt: skip
