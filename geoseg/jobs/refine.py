"""refine: outlines that come from elsewhere are drawn to what a scene shows, each in its own window.

What else is in the file changes an object only where it is a neighbour: its ground is not taken. How outlines move
stands in classical/.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import batched, islice
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from geoseg import __version__
from geoseg.classical.chan_vese import chan_vese
from geoseg.classical.grabcut import grabcut
from geoseg.classical.snake import snake
from geoseg.disk.places import vector_files, vector_target
from geoseg.errors import ConfigError, InputError, MemoryBudgetError
from geoseg.executors.open import open_engine
from geoseg.options.refine import RefineOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.geopackage.refined import KEPT, REFINED, SKIPPED, Redrawn, refined_batch, refined_layer
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.scenes.polygons import split_layer
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.scenes.vectors import VectorLayer, open_vectors
from geoseg.tiling.memory import GDAL_CACHE_BYTES, MIB, PLAIN_BASE_BYTES
from geoseg.values.box import Box
from geoseg.values.grid import pyproj_crs
from geoseg.vector.pixels.labels import label_polygons

Mask = NDArray[np.bool_]
REACH_PX = 6
LARGEST_PX = 1024  # side of a window
LEAST_IOU = 0.25  # with the outline before: what has less in common with it is something else
LEAST_VALID = 0.5  # share of an object's pixels
PX_BYTES = {"snake": 160, "graph-cut": 1200, "chan-vese": 200}  # of a pixel that is worked on; graphs have edges
CORNER_BYTES = 64  # of a corner while outlines are read, brought to pixels and mended
OUTLINE_BYTES = 1600  # of an outline beside its corners: geometry, name, and its place in the tree
AT_ONCE = 32  # objects of a task
NAME = "object"  # column that names objects, as in prompts


class Outline(NamedTuple):
    """An object and those beside it, in pixels (x, y) of the scene, and what it is called."""

    name: str
    shape: shapely.Geometry | None
    beside: tuple[shapely.Geometry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What is around an object; all but the outline are (H, W)."""

    corner: tuple[int, int]
    """Row and column of the first pixel."""
    outline: shapely.Geometry
    """In pixels (x, y) from that corner."""
    image: NDArray[np.float64]
    """(C, H, W), 0 where there is nothing valid."""
    valid: Mask
    start: Mask
    """The object as it is."""
    inside: Mask
    """Where it may be."""
    around: Mask
    """What is beyond, without other objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refining:
    """A scene, and how objects are drawn to it; picklable."""

    scene: Scene
    method: str
    reach_px: float
    skip_bad: bool
    lane_bytes: int
    """Memory that one object may take."""


def refine(
    source: str | Path,
    scene: Scene,
    out: str | Path,
    *,
    options: RefineOptions | None = None,
    run: EngineOptions | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write the polygons of ``source``, each drawn to what the scene shows there; return how many became what.

    Attributes, order and CRS stay. Holds all outlines, which the memory counts. Raises InputError with the object's
    name for one off the scene, on nodata, without a shape or wider than a window, unless told to skip it; ConfigError,
    MemoryBudgetError and OutputError.
    """
    options, run = options or RefineOptions(), run or EngineOptions()
    files = vector_files(split_layer(source)[0])
    path = vector_target(out, vector_format=options.vector_format, overwrite=overwrite, inputs=[*files, *scene.files])
    layer = open_vectors(source)
    reach_px = _reach_px(scene, options)
    to_pixels, to_layer = _ways(layer, scene)
    said = {name: value for name, value in asdict(options).items() if name != "vector_format"}
    inputs = [Path(name).name for name in (layer.path, *scene.files)]
    made = refined_layer(layer, provenance={"software": "geoseg", "version": __version__, "input": inputs, **said})
    tally = dict.fromkeys((REFINED, KEPT, SKIPPED), 0)
    with open_engine(run) as engine:
        resources = engine.resources()
        free = resources.budget_bytes(run.memory_bytes) - PLAIN_BASE_BYTES - GDAL_CACHE_BYTES
        names, shapes, held = _held(layer, to_pixels, free)
        rules = Refining(
            scene=scene,
            method=options.method,
            reach_px=reach_px,
            skip_bad=options.skip_bad,
            lane_bytes=(free - held) // resources.lanes,
        )
        tasks = batched(_outlines(names, shapes, reach_px), AT_ONCE)
        found = (one for done in engine.map(partial(_redrawn, rules), tasks) for one in done)

        def placed(polygon: shapely.Geometry | None) -> shapely.Geometry | None:
            return polygon and shapely.make_valid(to_layer(polygon), method="structure")  # sound pixels may cross there

        def rows() -> Iterator[pa.RecordBatch]:
            for given, attributes in layer.batches():
                drawn = [one._replace(polygon=placed(one.polygon)) for one in islice(found, len(given))]
                for one in drawn:
                    tally[one.status] += 1
                yield refined_batch(made, layer, given, attributes, drawn)

        path.parent.mkdir(parents=True, exist_ok=True)
        write_layer(path, made, rows())
    return tally


def _reach_px(scene: Scene, options: RefineOptions) -> float:
    if options.reach_m is None:
        return REACH_PX
    pixel_m = scene.grid.mean_resolution_m()
    reach_px = options.reach_m / pixel_m
    if not 1 <= reach_px <= LARGEST_PX / 8:
        raise ConfigError(
            f"reach-m {options.reach_m:g}: pixels of {pixel_m:.3g} m; write {pixel_m:.3g} to "
            f"{pixel_m * LARGEST_PX / 8:.3g}"
        )
    return reach_px


def _ways(layer: VectorLayer, scene: Scene) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return how shapes come from the layer's CRS to pixels (x, y) of the scene, and back."""
    from pyproj import Transformer

    one, other = pyproj_crs(layer.crs), pyproj_crs(scene.grid.crs)
    forward, back = (Transformer.from_crs(*pair, always_xy=True) for pair in ((one, other), (other, one)))

    def moved(way: Any, before: Affine, after: Affine) -> Callable[[Any], Any]:
        def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(after @ way.transform(*(before @ tuple(xy.T))))

        return partial(shapely.transform, transformation=move)

    t = scene.grid.transform
    return moved(forward, Affine.identity(), ~t), moved(back, t, Affine.identity())


def _held(
    layer: VectorLayer, to_pixels: Callable[[Any], Any], allowed: int
) -> tuple[list[str], NDArray[np.object_], int]:
    """Return the names and shapes of all objects, and the bytes that they take.

    Raises MemoryBudgetError as soon as these are more than ``allowed``.
    """
    shapes: list[NDArray[np.object_]] = []
    names: list[str] = []
    held = 0
    for given, attributes in layer.batches():
        held += OUTLINE_BYTES * len(given) + CORNER_BYTES * int(shapely.get_num_coordinates(given).sum())
        if held > allowed:
            raise MemoryBudgetError(
                f"{layer.path}: its first {len(names) + len(given)} outlines take {held / MIB:.0f} MiB, but "
                f"{max(allowed, 0) / MIB:.0f} MiB are free for them; allow more with --memory, or split the file"
            )
        named = attributes.column(NAME).to_pylist() if NAME in attributes.schema.names else [None] * len(given)
        names += [str(name) if name is not None else f"number {len(names) + i + 1}" for i, name in enumerate(named)]
        shapes.append(to_pixels(shapely.make_valid(shapely.force_2d(given), method="structure")))
    return names, np.concatenate(shapes) if shapes else np.empty(0, object), held


def _outlines(names: Sequence[str], every: NDArray[np.object_], reach_px: float) -> Iterator[Outline]:
    """Yield all objects in the order of the file, each with those that its window may hold."""
    tree = shapely.STRtree(every)
    for i, (name, shape) in enumerate(zip(names, every, strict=True)):
        if shape is None or not shape.area > 0 or not np.isfinite(shape.area):
            yield Outline(name, None, ())
            continue
        near = tree.query(shapely.box(*shape.bounds).buffer(3 * reach_px))
        yield Outline(name, shape, tuple(every[np.sort(near[near != i])]))


def _redrawn(rules: Refining, outlines: Sequence[Outline]) -> list[Redrawn]:
    """Return what became of objects, in pixels (x, y) of the scene."""
    out = []
    for one in outlines:
        try:
            out.append(_drawn(rules, _window(rules, one)))
        except ValueError as fault:
            if not rules.skip_bad:
                raise InputError(f"object {one.name!r} {fault}; --skip-bad leaves it as it is") from fault
            out.append(Redrawn(SKIPPED, 1.0, None))
    return out


def _window(rules: Refining, one: Outline) -> Window:
    """Read what is around an object; raises ValueError with what is wrong with it."""
    scene, reach = rules.scene, rules.reach_px
    if one.shape is None:
        raise ValueError("has no area, or no place in the scene's CRS")
    left, top, right, bottom = one.shape.bounds
    own = Box(floor(top), floor(left), max(ceil(bottom), floor(top) + 1), max(ceil(right), floor(left) + 1))
    if own.clip(scene.grid.box) is None:
        raise ValueError(f"lies off {scene.name}")
    box = own.grown(ceil(2 * reach) + 2).clip(scene.grid.box)
    assert box is not None  # it holds a part of the object
    if max(box.shape) > LARGEST_PX:
        raise ValueError(
            f"needs a window of {box.shape[0]} x {box.shape[1]} px, and at most {LARGEST_PX} are looked at"
        )
    planned = box.shape[0] * box.shape[1] * (PX_BYTES[rules.method] + 24 * len(scene.bands))
    if planned > rules.lane_bytes:
        raise MemoryBudgetError(
            f"object {one.name!r}: its window of {box.shape[0]} x {box.shape[1]} px takes {planned / MIB:.0f} MiB, but "
            f"{max(rules.lane_bytes, 0) / MIB:.0f} MiB are free for it; allow more with --memory, or take fewer lanes"
        )
    raster = read(scene, box)
    place = Affine.translation(box.col0, box.row0)
    start, others = (_burnt(shapes, box.shape, place) for shapes in ((one.shape,), one.beside))
    known = raster.valid[start] if start.any() else raster.valid  # smaller than a pixel: that of its surroundings
    if known.mean() < LEAST_VALID:
        raise ValueError(f"lies on nodata of {scene.name}")
    image = np.where(raster.valid, scene.physical(raster.data.astype(np.float32)), 0).astype(np.float64)
    free = raster.valid & ~(others & ~start)
    inside = free & (ndimage.distance_transform_edt(~start) <= reach) if start.any() else start
    outline = shapely.transform(one.shape, lambda xy: xy - np.array([box.col0, box.row0]))
    return Window((box.row0, box.col0), outline, image, raster.valid, start, inside, free & ~inside)


def _burnt(shapes: Sequence[shapely.Geometry], size: tuple[int, int], place: Affine) -> Mask:
    if not shapes:
        return np.zeros(size, np.bool_)
    return rasterize(shapes, out_shape=size, transform=place, dtype="uint8").astype(np.bool_)


def _drawn(rules: Refining, window: Window) -> Redrawn:
    found = _by_edges(rules, window) if rules.method == "snake" else _by_colour(rules, window)
    if found is None or found.is_empty:
        return Redrawn(KEPT, 1.0, None)
    common = shapely.intersection(found, window.outline).area
    iou = common / (found.area + window.outline.area - common)
    if iou < LEAST_IOU:
        return Redrawn(KEPT, 1.0, None)
    corner = np.array(window.corner[::-1])
    return Redrawn(REFINED, iou, shapely.transform(found, lambda xy: xy + corner))


def _by_colour(rules: Refining, window: Window) -> shapely.Geometry | None:
    """Return the object along the edges of its pixels, its largest part alone, with the holes it had."""
    known = window.start & window.valid
    image = window.image - window.image[:, window.valid].mean(1)[:, None, None] * ~window.valid
    if rules.method == "graph-cut":
        found = grabcut(image, window.inside, window.around, start=known)
    else:
        found = chan_vese(image, known, window.inside, window.around, steps=3 * ceil(rules.reach_px))
    found |= window.start & ~window.valid
    parts, count = ndimage.label(found)
    if not count:
        return None
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    holes = ndimage.binary_fill_holes(window.start) & ~window.start
    largest |= ndimage.binary_fill_holes(largest) & ~holes
    return label_polygons(largest.astype(np.int32), (0, 0), Affine.identity())[1][0]


def _by_edges(rules: Refining, window: Window) -> shapely.Geometry:
    """Return the object with every ring drawn to edges, without what crosses itself."""
    moved = []
    for part in shapely.get_parts(window.outline):
        rings = [
            snake(window.image, window.valid, shapely.get_coordinates(ring)[:-1], reach_px=rules.reach_px)
            for ring in shapely.get_rings(part)
        ]
        whole = shapely.make_valid(shapely.Polygon(rings[0]), method="structure")
        for hole in rings[1:]:
            whole = shapely.difference(whole, shapely.make_valid(shapely.Polygon(hole), method="structure"))
        moved.append(whole)
    return shapely.make_valid(shapely.simplify(shapely.union_all(moved), 0.1), method="structure")
