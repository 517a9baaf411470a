"""Labels of marks that are quick to draw: boxes, lines and points, or polygons of a part, each in its own window.

Boxes become objects by GrabCut, lines and points regions by a random walker; polygons that are ``partial`` are burnt as
they are. What is not said stays void. Not here: how cuts and walkers work, see classical/.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.classical.grabcut import grabcut
from geoseg.classical.walker import walked
from geoseg.errors import InputError
from geoseg.outputs.category_raster import write_categories
from geoseg.outputs.class_table import made_up_color
from geoseg.scenes.labelled import burn, class_texts
from geoseg.scenes.polygons import read_polygons
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.classes import BUILDING_CLASSES, NODATA, ClassInfo, ClassMap
from geoseg.values.grid import Grid

Kind = Literal["boxes", "scribbles", "partial"]
BACKGROUND = BUILDING_CLASSES[0]
LARGEST_PX = 128  # side of a window; larger ones are looked at in coarser pixels
BOX_RIM, LEAST_RIM_PX = 0.3, 8  # around a box, as a share of its side: enough to tell what surrounds it
REACH, LEAST_REACH_PX = 1.0, 24  # around a line: it may be a part of something as long
SQUARE = 0.98  # share of its smallest rectangle that a box fills
LEAST_FOUND = 0.1  # share of a box below which nothing was found in it


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Features on a scene's grid with the class id of each."""

    geometries: NDArray[np.object_]
    ids: NDArray[np.int64]
    classes: ClassMap
    kind: Kind

    @classmethod
    def read(cls, source: str, grid: Grid, *, column: str | None, kind: Kind | None) -> "Marks":
        """Read marks; kind None: rectangles are boxes, lines and points scribbles, other polygons partial.

        Without a column all are of one class, "object". Raises InputError and ConfigError.
        """
        frame = read_polygons(source, layer=None, grid=grid, near=True, areal=False).explode()
        if frame.empty:
            raise InputError(f"{source}: no mark lies on the scene; is it the right file, in the right CRS?")
        geometries = np.asarray(frame.geometry.array, object)
        texts = ["object"] * len(frame) if column is None else class_texts(frame, column, source=source)
        names = sorted({*texts} - {BACKGROUND.name})
        classes = ClassMap((BACKGROUND, *(ClassInfo(i, name, made_up_color(i)) for i, name in enumerate(names, 2))))
        ids = np.array([classes.by_name(text).id for text in texts], np.int64)
        found = kind or _kind(geometries)
        if found == "boxes" and (shapely.get_dimensions(geometries) != 2).any():
            raise InputError(f"{source}: holds lines or points, which are no boxes; leave --kind out, or say scribbles")
        return cls(geometries, ids, classes, found)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Labels of a scene, and how many marks led to nothing."""

    ids: NDArray[np.uint8]
    """Class ids (H, W), 0 is void."""
    unclear: int
    """Boxes in which nothing differs from what is around: they are void."""


def weak_labels(scene: Scene, marks: Marks, *, rest: Literal["void", "background"] | None = None) -> Made:
    """Turn marks into labels; rest: what ground is that no mark speaks of, None: background beside boxes, else void."""
    beside = rest or ("background" if marks.kind == "boxes" else "void")
    ids = np.full(scene.grid.shape, BACKGROUND.id if beside == "background" else NODATA, np.uint8)
    unclear = 0
    if marks.kind == "partial":
        burnt = burn(marks.geometries, marks.ids.tolist(), scene.grid)
        ids[burnt > 0] = burnt[burnt > 0]
    else:
        label = _of_box if marks.kind == "boxes" else _of_scribble
        for window in _windows(scene, marks):
            found = label(window, marks)
            unclear += found is None
            _paste(ids, window, np.where(window.own, NODATA, -1) if found is None else found)
    ids[~_valid(scene)] = NODATA
    return Made(ids, unclear)


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """What is around one mark, in pixels of a coarser grid where it is large."""

    at: int  # index of the mark
    box: Box
    grid: Grid
    image: NDArray[np.float64]  # (C, h, w)
    valid: NDArray[np.bool_]
    own: NDArray[np.bool_]  # where the mark lies
    seeds: NDArray[np.int32]  # class ids of all marks, 0 where there is none


def _windows(scene: Scene, marks: Marks) -> Iterator[_Window]:
    """Yield the window of each mark but those of the background, the largest first: small ones lie on top."""
    lines = marks.kind == "scribbles"
    thick = 0.75 * max(abs(scene.grid.transform.a), abs(scene.grid.transform.e)) if lines else 0.0
    shapes = shapely.buffer(marks.geometries, thick) if lines else marks.geometries
    tree = shapely.STRtree(shapes)
    share, least = (REACH, LEAST_REACH_PX) if lines else (BOX_RIM, LEAST_RIM_PX)
    sizes = [_pixels(geometry, scene.grid) for geometry in shapes]
    for k in sorted(range(len(shapes)), key=lambda k: -sizes[k].shape[0] * sizes[k].shape[1]):
        box = sizes[k].grown(max(least, ceil(share * max(sizes[k].shape)))).clip(scene.grid.box)
        if box is None or (lines and marks.ids[k] == BACKGROUND.id and len({*marks.ids.tolist()}) > 1):
            continue
        step = -(-max(box.shape) // LARGEST_PX)
        shape = -(-box.shape[0] // step), -(-box.shape[1] // step)
        covered = Box(box.row0, box.col0, box.row0 + shape[0] * step, box.col0 + shape[1] * step)
        grid = scene.grid.crop(covered).resized(shape)
        raster = read(scene, box)
        near = tree.query(shapely.box(*grid.bounds))
        seeds = burn(shapes[near], marks.ids[near].tolist(), grid)
        image, valid = _coarser(scene.physical(raster.data.astype(np.float32)), raster.valid, step, shape)
        yield _Window(k, box, grid, image, valid, burn([shapes[k]], [1], grid) > 0, seeds)


def _of_box(window: _Window, marks: Marks) -> NDArray[np.int64] | None:
    """Return the class id of the object in a box, background around it, -1 outside; None where nothing is found."""
    around = window.valid & (window.seeds == 0)
    found = grabcut(window.image, window.own & window.valid, around)
    if found.sum() < LEAST_FOUND * window.own.sum():
        return None
    return np.where(window.own, np.where(found, marks.ids[window.at], BACKGROUND.id), -1)


def _of_scribble(window: _Window, _marks: Marks) -> NDArray[np.int64]:
    """Return the class ids of a window; where all marks in it are of one class, its edge counts as background."""
    seeds = window.seeds.copy()
    if len(np.setdiff1d(seeds, [0])) < 2:
        edge = np.ones(seeds.shape, np.bool_)
        edge[1:-1, 1:-1] = False
        seeds[edge & (seeds == 0)] = BACKGROUND.id
    return np.where(window.valid, walked(window.image, seeds), -1).astype(np.int64)


def _paste(ids: NDArray[np.uint8], window: _Window, found: NDArray[np.integer]) -> None:
    """Write what was found in a window, where it is not -1, in the scene's pixels."""
    step = -(-window.box.shape[0] // found.shape[0])
    fine = found.repeat(step, 0).repeat(step, 1)[: window.box.shape[0], : window.box.shape[1]]
    part = ids[window.box.row0 : window.box.row1, window.box.col0 : window.box.col1]
    part[fine >= 0] = fine[fine >= 0]


def _coarser(
    image: NDArray[np.float32], valid: NDArray[np.bool_], step: int, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return means of step x step pixels that are valid; where none is, 0."""
    pad = [(0, shape[axis] * step - valid.shape[axis]) for axis in (0, 1)]
    known = np.pad(valid, pad).reshape(shape[0], step, shape[1], step).sum((1, 3))
    filled = np.pad(np.where(valid, image, 0).astype(np.float64), [(0, 0), *pad])
    sums = filled.reshape(len(image), shape[0], step, shape[1], step).sum((2, 4))
    return sums / np.maximum(known, 1), known > 0


def _valid(scene: Scene) -> NDArray[np.bool_]:
    out = np.empty(scene.grid.shape, np.bool_)
    for box in scene.grid.box.blocks(2048):
        out[box.within(scene.grid.box)] = read(scene, box).valid
    return out


def _pixels(geometry: shapely.Geometry, grid: Grid) -> Box:
    """Return the pixels around a geometry, at least one; they may lie beyond the grid."""
    left, bottom, right, top = geometry.bounds
    corners = [~grid.transform @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    cols, rows = ([corner[axis] for corner in corners] for axis in (0, 1))
    row, col = int(np.floor(min(rows))), int(np.floor(min(cols)))
    return Box(row, col, max(ceil(max(rows)), row + 1), max(ceil(max(cols)), col + 1))


def _kind(geometries: NDArray[np.object_]) -> Kind:
    if (shapely.get_dimensions(geometries) < 2).any():
        return "scribbles"
    rectangles = shapely.minimum_rotated_rectangle(geometries)
    return "boxes" if (shapely.area(geometries) >= SQUARE * shapely.area(rectangles)).all() else "partial"


def write_labels(path: Path, ids: NDArray[np.uint8], scene: Scene, classes: ClassMap, *, source: str) -> None:
    """Write labels (H, W) as a raster of classes with names and colours; source: made of what. Raises OutputError."""
    counts = np.bincount(ids.ravel(), minlength=classes.max_id + 1)
    row_ha = scene.grid.row_areas_m2() / 1e4
    area_ha = {c.id: float((ids == c.id).sum(1) @ row_ha) for c in classes}
    strips = ((box, ids[box.within(scene.grid.box)]) for box in scene.grid.box.blocks(2048))
    pixels = {c.id: int(counts[c.id]) for c in classes}
    write_categories(path, strips, scene.grid, classes, pixels=pixels, area_ha=area_ha, layer="labels", source=source)
