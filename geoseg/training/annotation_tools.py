"""Formats of annotation tools: COCO as CVAT reads it, tasks of Label Studio; and tiles.json, where their tiles lie."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg import __version__
from geoseg.disk.files import write_json
from geoseg.errors import InputError
from geoseg.outputs.class_table import made_up_color
from geoseg.outputs.coco import PLACE
from geoseg.outputs.geopackage.superpixels import UNSEEN
from geoseg.training.coco import shape_of
from geoseg.untrusted.text import one_line, parse_json, read_text_file, shown
from geoseg.values.box import Box
from geoseg.values.grid import Grid

Tool = Literal["cvat", "label-studio"]
TILES, IMAGES = "tiles.json", "images"  # of a folder that is written
FILES: dict[Tool, str] = {"cvat": "annotations/instances_default.json", "label-studio": "tasks.json"}
ACCEPTED = "accepted"
DIGITS = 2  # of a pixel: as many as CVAT keeps
MOST_BYTES = 2**31  # of a file that is read
SHAPED = {"points", "rle", "vertices", "x"}  # keys of regions of Label Studio that lie somewhere
REGION = re.compile(r"object(\d+)_\d+")  # name of a region of Label Studio that was written here


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where tiles lie: what tiles.json holds."""

    scene: str
    """Its name."""
    grid: Grid
    """That of the scene."""
    boxes: Mapping[str, Box]
    """The pixels of each tile, by its file's name."""

    def write(self, path: Path) -> None:
        """Write tiles.json; raises OutputError."""
        boxes = {name: [b.row0, b.col0, b.row1, b.col1] for name, b in self.boxes.items()}
        place = {"crs": self.grid.crs.to_wkt(), "transform": list(self.grid.transform)[:6], "shape": self.grid.shape}
        write_json(path, {"geoseg": __version__, "scene": self.scene, **place, "tiles": boxes})

    @classmethod
    def read(cls, path: Path) -> "Tiles":
        """Read tiles.json, or the georeference.json of a run's annotations, whose one tile is the image.

        Raises InputError.
        """
        content = _json(path)
        try:
            grid = Grid(CRS.from_string(content["crs"]), Affine(*content["transform"]), tuple(content["shape"]))
            if "image" in content:
                return cls(str(content["image"]), grid, {str(content["image"]): grid.box})
            boxes = {name: Box(*map(int, box)) for name, box in content["tiles"].items()}
            return cls(str(content["scene"]), grid, boxes)
        except (KeyError, TypeError, ValueError, AttributeError, CRSError) as error:
            raise InputError(
                f"{path}: says not where tiles lie ({one_line(error)}); name the {TILES} of geoseg labels export, "
                f"or the {PLACE} of geoseg annotations"
            ) from error

    def find(self, name: str) -> str:
        """Return the tile of an image; folders do not count, nor what Label Studio puts before; raises InputError."""
        last = re.split(r"[/\\=]", name)[-1]
        for known in (last, last.partition("-")[2]):
            if known in self.boxes:
                return known
        raise InputError(
            f"image {shown(name)} is none of the tiles of {self.scene}; name the {TILES} that it came with"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A polygon on a tile."""

    tile: str
    """Its name."""
    class_name: str
    """What it shows."""
    number: int | None
    """The object's, which its pieces share; None where it was drawn in the tool."""
    shape: shapely.Geometry
    """In pixels (x, y) of the tile."""
    review: str = ACCEPTED
    """Whether somebody has looked at it."""


def rings(shape: shapely.Geometry) -> Iterator[NDArray[np.float64]]:
    """Yield one ring (N, 2) for each polygon; neither format has holes, so slits of no width lead to them.

    >>> hole = shapely.box(0, 0, 9, 9) - shapely.box(3, 3, 6, 6)
    >>> (ring,) = rings(hole)
    >>> shapely.make_valid(shapely.Polygon(ring)).equals(hole)
    True
    """
    for polygon in parts_of(shape):
        ring = shapely.get_coordinates(polygon.exterior)[:-1]
        holes = [shapely.get_coordinates(hole)[:-1] for hole in polygon.interiors]
        for hole in sorted(holes, key=lambda xy: xy[:, 0].min()):  # what lies to the left of one is in the ring already
            ring = _with_hole(ring, np.roll(hole, -int(hole[:, 0].argmin()), axis=0))
        yield ring


def _with_hole(ring: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring with a slit to the hole, from where the line to the left of its first point meets the ring."""
    (x, y), end = hole[0], np.roll(ring, -1, axis=0)
    rise = end[:, 1] - ring[:, 1]
    along = np.divide(y - ring[:, 1], rise, out=np.zeros(len(ring)), where=rise != 0)
    meets = ring[:, 0] + along * (end[:, 0] - ring[:, 0])  # of an edge on the line: where it begins, and the next one
    reached = (along >= 0) & (along <= 1) & ((rise != 0) | (ring[:, 1] == y)) & (meets <= x + 10.0**-DIGITS)
    meets = np.where(reached, meets, -np.inf)
    k = int(meets.argmax())
    at = np.array([[round(float(meets[k]), DIGITS), y]])
    return np.concatenate([ring[: k + 1], at, hole, hole[:1], at, ring[k + 1 :]])


def parts_of(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons of a geometry, none of its lines and points."""
    flat = shapely.get_parts(shapely.get_parts(shape))
    return [part for part in flat if part.geom_type == "Polygon" and part.area > 0]


def _write_coco(folder: Path, _name: str, tiles: Tiles, pieces: Sequence[Piece], classes: Sequence[str]) -> None:
    ids = {tile: i for i, tile in enumerate(tiles.boxes, start=1)}
    images = [
        {"id": ids[tile], "file_name": tile, "height": box.shape[0], "width": box.shape[1]}
        for tile, box in tiles.boxes.items()
    ]
    annotations = [
        {
            "id": i,
            "image_id": ids[piece.tile],
            "category_id": classes.index(piece.class_name) + 1,
            "segmentation": [ring.ravel().tolist() for ring in rings(piece.shape)],
            "area": float(piece.shape.area),
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
            "attributes": {"object": piece.number},
        }
        for i, piece in enumerate(pieces, start=1)
        for left, top, right, bottom in [piece.shape.bounds]
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    write_json(folder / FILES["cvat"], content)


def _write_tasks(folder: Path, name: str, tiles: Tiles, pieces: Sequence[Piece], classes: Sequence[str]) -> None:
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image")
    labels = ET.SubElement(view, "PolygonLabels", name="label", toName="image")
    for i, text in enumerate(classes, start=1):
        ET.SubElement(labels, "Label", value=text, background="#{:02x}{:02x}{:02x}".format(*made_up_color(i)))
    (folder / "labels.xml").write_text(ET.tostring(view, encoding="unicode"), encoding="utf-8")
    regions: dict[str, list[dict[str, Any]]] = {tile: [] for tile in tiles.boxes}
    for piece in pieces:
        height, width = tiles.boxes[piece.tile].shape
        for k, ring in enumerate(rings(piece.shape)):
            percent = (ring * (100 / width, 100 / height)).tolist()
            regions[piece.tile].append(
                {
                    "id": f"object{piece.number}_{k}",
                    "type": "polygonlabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"points": percent, "closed": True, "polygonlabels": [piece.class_name]},
                }
            )
    write_json(
        folder / FILES["label-studio"],
        [
            {
                "data": {"image": f"/data/local-files/?d={name}/{IMAGES}/{tile}", "tile": tile},
                "predictions": [{"model_version": f"geoseg {__version__}", "result": own}],
            }
            for tile, own in regions.items()
        ],
    )


WRITERS: dict[Tool, Callable[[Path, str, Tiles, Sequence[Piece], Sequence[str]], None]] = {
    "cvat": _write_coco,
    "label-studio": _write_tasks,
}


def read_pieces(path: Path, tiles: Tiles) -> list[Piece]:
    """Return the polygons of COCO, or of tasks of Label Studio; raises InputError for what cannot be read or placed."""
    content = _json(path)
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        pieces = _coco_pieces(content, tiles)
    elif isinstance(content, list) and all(isinstance(task, dict) and "data" in task for task in content):
        pieces = _task_pieces(content, tiles)
    else:
        raise InputError(
            f"{path}: neither COCO (images, categories, annotations) nor tasks of Label Studio; export one as JSON"
        )
    try:
        return list(pieces)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"{path}: an annotation cannot be read ({error!r}); export it once more") from error


def _coco_pieces(content: Mapping[str, Any], tiles: Tiles) -> Iterator[Piece]:
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    found = {key: tiles.find(image["file_name"]) for key, image in images.items()}
    for one in content["annotations"]:
        image, tile = images[one["image_id"]], found[one["image_id"]]
        size = image["height"], image["width"]
        if size != (own := tiles.boxes[tile].shape):
            raise InputError(f"image {tile}: is {size[0]} x {size[1]} px, and was written as {own[0]} x {own[1]}")
        if not one.get("segmentation"):
            raise InputError(f"image {tile}: annotation {one['id']} is a box alone; draw a polygon instead")
        number = str((one.get("attributes") or {}).get("object"))
        known = int(number) or None if number.isdigit() else None  # 0: what a tool fills in
        yield Piece(tile, names[one["category_id"]], known, shape_of(one["segmentation"], size))


def _task_pieces(content: Sequence[Mapping[str, Any]], tiles: Tiles) -> Iterator[Piece]:
    for task in content:
        tile = tiles.find(task["data"].get("tile") or task["data"]["image"])
        height, width = tiles.boxes[tile].shape
        drawn = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
        foreseen = [one for one in task.get("predictions") or () if isinstance(one, dict)]
        review, last = (ACCEPTED, drawn[-1:]) if drawn else (UNSEEN, foreseen[-1:])
        for region in (region for one in last for region in one["result"]):
            value = region["value"]
            if "polygonlabels" in value and not region.get("image_rotation"):
                number = REGION.fullmatch(str(region.get("id")))
                ring = (np.array(value["points"], float) * (width / 100, height / 100)).round(DIGITS)
                shape, (name,) = shape_of([ring], (height, width)), value["polygonlabels"]
                yield Piece(tile, name, int(number[1]) if number else None, shape, review)
            elif value.keys() & SHAPED:
                raise InputError(f"{tile}: has a region of type {region['type']}, or is turned; draw polygons")


def _json(path: Path) -> Any:
    try:
        return parse_json(read_text_file(path, at_most=MOST_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({one_line(error)})") from error
