"""Labels to annotation tools and back: a scene as tiles, and its polygons as COCO (CVAT) or tasks of Label Studio.

Tiles are windows of the scene's grid and named by it; tiles.json says where they lie, which neither format can. A
polygon is cut at the borders of tiles, and its pieces are put together again when they come back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg import __version__
from geoseg.disk.files import move, write_errors
from geoseg.errors import GeosegError, InputError, OutputError
from geoseg.outputs.class_table import made_up_color
from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.superpixels import COLUMNS, UNSEEN
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.scenes.labelled import class_texts
from geoseg.scenes.pictures import write_png
from geoseg.scenes.polygons import read_polygons
from geoseg.scenes.reading import read
from geoseg.scenes.sample import sample
from geoseg.scenes.scene import Scene
from geoseg.scenes.shown import colors_of
from geoseg.training.annotation_tools import (
    DIGITS,
    FILES,
    IMAGES,
    TILES,
    WRITERS,
    Piece,
    Tiles,
    Tool,
    parts_of,
    read_pieces,
)
from geoseg.training.labels import REJECTED, review_status
from geoseg.untrusted.text import fault_of_name, one_line
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.vector.ground import GroundFrame, geodesic_measures

CLASSES = ("class", "class_name")  # columns that are looked for
NAMELESS = "object"  # class of polygons that have none
TAIL = 0.02  # share of a band's pixels at either end that is as dark, or as bright, as can be
LEAST_PX2 = 1e-3  # smaller pieces are what rounding leaves at borders
SAME = 0.5  # share of the longer of two edges on a tile border that both have: one object goes on
SCHEMA = pa.schema(
    [*(pa.field(n, pa.string()) for n in ("class", "review")), pa.field("area_m2", pa.float64()), GEOMETRY]
)


def export_labels(
    scene: Scene, source: str, out: Path, *, tool: Tool, column: str | None = None, side_px: int = 1024
) -> tuple[int, int]:
    """Write a new folder of tiles and labels for a tool, whole or not at all; return how many tiles and objects it has.

    source: polygons in any CRS; rejected ones stay away. column: holds the class; None: class or class_name, if any.
    Tiles without a valid pixel and without a polygon are left out. Raises InputError, ConfigError and OutputError.
    """
    shapes, classes = _polygons(source, scene.grid, column)
    tree, names = shapely.STRtree(shapes), sorted(set(classes))
    if not len(tree.query(_area(scene.grid.box), predicate="intersects")):
        raise InputError(f"{source}: no polygon lies on the scene {scene.name}; is it the right file and CRS?")
    boxes: dict[str, Box] = {}
    pieces: list[Piece] = []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as hidden:
            folder = Path(hidden) / out.name
            (folder / FILES[tool]).parent.mkdir(parents=True)
            (folder / IMAGES).mkdir()
            picture = _pictures(scene)
            for box in scene.grid.box.blocks(side_px):
                name = f"r{box.row0:06d}_c{box.col0:06d}.png"
                own = list(_cut(shapes, classes, np.sort(tree.query(_area(box))), box, name))
                pixels, known = picture(box)
                if known or own:
                    boxes[name] = box
                    pieces += own
                    write_png(folder / IMAGES / name, pixels)
                    (folder / IMAGES / name).with_suffix(".pgw").write_text(_world_file(scene.grid.crop(box)))
            tiles = Tiles(scene.name, scene.grid, boxes)
            WRITERS[tool](folder, out.name, tiles, pieces, names)
            tiles.write(folder / TILES)
            move(folder, out)
    except GeosegError:
        raise
    except write_errors() as error:
        raise OutputError(f"{out}: could not be written ({one_line(error)}); choose another folder") from error
    return len(boxes), len({piece.number for piece in pieces})


def _polygons(source: str, grid: Grid, column: str | None) -> tuple[NDArray[np.object_], list[str]]:
    """Return the polygons of a file that are not rejected, in pixels (x, y) of a grid, and their classes."""
    frame = read_polygons(source, layer=None, grid=grid, near=True)
    frame = frame[review_status(frame, source) != REJECTED]
    own = column or next((name for name in CLASSES if name in frame.columns), None)
    texts = [""] * len(frame) if own is None else class_texts(frame, own, source=source)
    classes = [text or NAMELESS for text in texts]
    for name in classes:
        if fault := fault_of_name(name):
            raise InputError(f"{source}: {fault}; give the class a short name")
    to_pixels = GroundFrame.of_metric(~grid.transform).to_crs
    shapes = shapely.make_valid(shapely.transform(np.asarray(frame.geometry.array, object), to_pixels))
    return shapes, classes


def _pictures(scene: Scene) -> Callable[[Box], tuple[NDArray[np.uint8], bool]]:
    """Return what gives a box as people look at it, bytes (H, W, 3), and whether any pixel is valid; others are black.

    Bytes stay what they are; other values are stretched from the 2nd to the 98th percentile of the whole scene.
    """
    colors = colors_of(scene)
    found = None if scene.dtype == "uint8" else sample(scene).quantiles(scene, TAIL)

    def picture(box: Box) -> tuple[NDArray[np.uint8], bool]:
        raster = read(scene, box)
        if found is None:
            values = raster.data[colors].astype(np.float32)
        else:
            low, high = found[colors][:, [0, 2]].T.astype(np.float32)[..., None, None]
            values = scene.physical(raster.data.astype(np.float32))[colors]
            values = (values - low) * (255 / np.maximum(high - low, 1e-12))
        shown = np.rint(np.clip(np.where(raster.valid, values, 0), 0, 255)).astype(np.uint8)
        return np.broadcast_to(np.moveaxis(shown, 0, 2), (*box.shape, 3)), bool(raster.valid.any())

    return picture


def _world_file(grid: Grid) -> str:
    """Return the six lines that place a picture: the transform from the centres of pixels."""
    t = grid.transform
    return "".join(f"{value!r}\n" for value in (t.a, t.d, t.b, t.e, *(t @ (0.5, 0.5))))


def _area(box: Box) -> shapely.Polygon:
    return shapely.box(box.col0, box.row0, box.col1, box.row1)


def _cut(
    shapes: NDArray[np.object_], classes: Sequence[str], near: NDArray[np.integer], box: Box, tile: str
) -> Iterator[Piece]:
    """Yield what lies of polygons ``near`` on a tile."""
    parts = shapely.set_precision(shapely.intersection(shapes[near], _area(box)), 10.0**-DIGITS)  # stays valid
    for k, part in zip(near.tolist(), parts, strict=True):
        moved = shapely.transform(part, lambda xy: np.round(xy - (box.col0, box.row0), DIGITS))
        if shapely.area(moved) >= LEAST_PX2:
            yield Piece(tile, classes[k], k + 1, moved)


def import_labels(path: Path, tiles_path: Path, out: Path) -> int:
    """Write the polygons of a tool's file, COCO or tasks of Label Studio, as labels, and return how many there are.

    Raises InputError where a file cannot be read or an image is none of the tiles, and OutputError.
    """
    tiles = Tiles.read(tiles_path)
    objects = joined(read_pieces(path, tiles), tiles.boxes)
    names = sorted({piece.class_name for piece, _ in objects})
    layer = PolygonLayer(
        name="labels",
        schema=SCHEMA,
        crs=tiles.grid.crs.to_wkt(),
        title="Labels",
        description="Polygons that were drawn or corrected in an annotation tool, to train with, by geoseg",
        columns={name: COLUMNS[name] for name in SCHEMA.names[:-1]},
        style=Style("class", tuple(Category(n, n, made_up_color(i)) for i, n in enumerate(names, start=1))),
        provenance={"software": "geoseg", "version": __version__, "input": [path.name, tiles.scene]},
    )
    polygons = GroundFrame.of_metric(tiles.grid.transform).placed(np.array([shape for _, shape in objects], object))
    areas, _ = geodesic_measures(polygons, tiles.grid.crs)
    said = [[piece.class_name for piece, _ in objects], [piece.review for piece, _ in objects]]
    return write_layer(out, layer, [layer_batch(SCHEMA, [*said, areas], polygons)])


def joined(pieces: Sequence[Piece], boxes: Mapping[str, Box]) -> list[tuple[Piece, shapely.Geometry]]:
    """Return the objects that pieces are of: the first of each, and the union in pixels (x, y) of the scene.

    The first is one that nobody has looked at, where there is any. Pieces of one class are of one object where they
    share its number. Where one lacks it, they are where they meet at a tile border and have most of their edges on it
    in common.
    """
    if not pieces:
        return []
    shapes = np.empty(len(pieces), object)
    for i, piece in enumerate(pieces):
        box = boxes[piece.tile]
        shapes[i] = shapely.MultiPolygon(
            parts_of(shapely.transform(piece.shape, partial(np.add, (box.col0, box.row0))))
        )
    first: dict[tuple[int, str], int] = {}
    links = [
        (first.setdefault((piece.number, piece.class_name), i), i)
        for i, piece in enumerate(pieces)
        if piece.number is not None
    ]
    for i, k in shapely.STRtree(shapes).query(shapes, predicate="intersects").T.tolist():
        one, other = pieces[i], pieces[k]
        lone = one.number is None or other.number is None
        if i < k and lone and one.class_name == other.class_name and one.tile != other.tile:
            border = shapely.intersection(_area(boxes[one.tile]), _area(boxes[other.tile]))
            edges = shapely.intersection(shapes[[i, k]], border)
            if shapely.length(shapely.intersection(*edges)) > SAME * shapely.length(edges).max():
                links.append((i, k))
    ends = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1]), ends), shape=(len(pieces), len(pieces)))
    groups: dict[int, list[int]] = {}
    for i, group in enumerate(connected_components(graph, directed=False)[1].tolist()):
        groups.setdefault(group, []).append(i)
    leading = (min(own, key=lambda i: (pieces[i].review != UNSEEN, i)) for own in groups.values())  # unseen goes first
    unions = [shapely.union_all(shapes[own]) for own in groups.values()]
    return [(pieces[i], union) for i, union in zip(leading, unions, strict=True) if not union.is_empty]
