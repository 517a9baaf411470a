"""COCO annotations of a panoptic raster: boxes, and masks as runs down its columns. Blocks of pixels in, values out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo
from geoseg.values.layers import FIRST_OBJECT

FILES = INSTANCES, PANOPTIC, PICTURE, PLACE = "instances.json", "panoptic.json", "panoptic.png", "georeference.json"
MOST_ID = 2**24 - 1  # three bytes of the picture
MOST_PX = 2**32 - 1  # masks count in 32 bits
IMAGE_ID = 1

IdBlock = tuple[Box, NDArray[np.uint32]]  # where a block lies, and its ids (h, w)


def refuse_for_coco(shape: tuple[int, int], largest: int) -> None:
    """Raise ConfigError for a raster (height, width) of ids up to ``largest`` that COCO's files cannot hold."""
    if largest > MOST_ID:
        raise ConfigError(f"object {largest}: COCO's panoptic files hold ids of 1..{MOST_ID}; map the scene in parts")
    if shape[0] * shape[1] > MOST_PX:
        raise ConfigError(
            f"{shape[0]} x {shape[1]} px: COCO's masks are of images up to {MOST_PX} px; map the scene in parts"
        )


class Runs(NamedTuple):
    """Runs of N equal pixels down the columns of a raster."""

    value: NDArray[np.int64]
    """Their ids, (N,)."""
    start: NDArray[np.int64]
    """Their first pixels, counted column by column as COCO does, (N,)."""
    length: NDArray[np.int64]
    """Their pixels, (N,)."""

    @classmethod
    def of(cls, block: IdBlock, height: int) -> Self:
        """Return those of a block of a raster that is ``height`` pixels high."""
        box, ids = block
        rows = box.shape[0]
        flat = ids.T.ravel()
        new = np.empty(flat.shape, np.bool_)
        new[1:] = flat[1:] != flat[:-1]
        new[::rows] = True
        at = np.flatnonzero(new)
        col, row = np.divmod(at, rows)
        start = (col + box.col0) * height + row + box.row0
        return cls(flat[at].astype(np.int64), start, np.diff(at, append=flat.size))

    def take(self, which: NDArray[Any]) -> Self:
        """Return those at ``which``."""
        return type(self)(*(column[which] for column in self))


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """How much of a raster has each id, from 0 on."""

    pixels: NDArray[np.int64]
    """How many, (N,)."""
    box: NDArray[np.int64]
    """First row, first column, last row + 1, last column + 1, (N, 4); of ids that it has."""

    @classmethod
    def of(cls, blocks: Iterable[IdBlock], height: int, largest: int) -> Self:
        """Count a raster of ids up to ``largest``; raises IndexError for one beyond."""
        pixels = np.zeros(largest + 1, np.int64)
        box = np.tile(np.array([MOST_PX, MOST_PX, 0, 0]), (largest + 1, 1))
        for block in blocks:
            value, start, length = Runs.of(block, height)
            col, row = np.divmod(start, height)
            np.add.at(pixels, value, length)
            for k, bound, side in ((0, np.minimum, row), (1, np.minimum, col), (2, np.maximum, row + length)):
                bound.at(box[:, k], value, side)
            np.maximum.at(box[:, 3], value, col + 1)
        return cls(pixels, box)

    def segment(self, value: int, class_id: int) -> dict[str, Any]:
        """Return what COCO says of an id in both files; area is in pixels, bbox is x, y, width, height."""
        row0, col0, row1, col1 = self.box[value].tolist()
        return {
            "id": value,
            "category_id": class_id,
            "area": int(self.pixels[value]),
            "bbox": [col0, row0, col1 - col0, row1 - row0],
            "iscrowd": 0,
        }


def masks(blocks: Iterable[IdBlock], extents: Extents, shape: tuple[int, int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object's id and its mask as uncompressed runs, after the row of blocks that its last pixel is in.

    blocks: of a raster (height, width), row by row. What is held at once are the runs of objects that reach further
    down.
    """
    held = Runs(*(np.empty(0, np.int64) for _ in Runs._fields))
    for row1, row in groupby(blocks, key=lambda block: block[0].row1):
        found = [held]
        for block in row:
            runs = Runs.of(block, shape[0])
            found.append(runs.take(runs.value >= FIRST_OBJECT))
        held = Runs(*(np.concatenate(column) for column in zip(*found, strict=True)))
        whole = extents.box[held.value, 2] <= row1
        yield from _counted(held.take(whole), shape)
        held = held.take(~whole)


def _counted(runs: Runs, shape: tuple[int, int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the ids of runs, ascending, and pixels out of and in each by turns."""
    value, start, length = runs.take(np.lexsort((runs.start, runs.value)))
    other = np.diff(value, prepend=-1) != 0
    begins = np.flatnonzero(other | (start != np.roll(start + length, 1)))  # of runs that do not go on from the last
    ends = np.append(begins, len(value))[1:] - 1
    edges = np.stack([start[begins], start[ends] + length[ends]], 1)
    objects = np.append(np.flatnonzero(other[begins]), len(begins))
    for first, last in pairwise(objects.tolist()):
        counts = np.diff(edges[first:last].ravel(), prepend=0, append=shape[0] * shape[1])
        yield int(value[begins[first]]), {"size": list(shape), "counts": counts.tolist()}


def rgb(ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return ids (h, w) as the bands of COCO's panoptic picture, (3, h, w): id = R + 256 G + 65536 B.

    >>> rgb(np.array([[7, 256, 65536 * 3 + 2]], np.uint32)).T.tolist()
    [[[7, 0, 0]], [[0, 1, 0]], [[2, 0, 3]]]
    """
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)]).astype(np.uint8)


def category(of: ClassInfo, *, thing: bool) -> dict[str, Any]:
    """Return what COCO says of a class."""
    kind = "thing" if thing else "stuff"
    return {"id": of.id, "name": of.name, "supercategory": kind, "isthing": int(thing), "color": list(of.color)}
