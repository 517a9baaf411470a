"""COCO annotations of one image as polygons: rings, and masks as runs, plain or compressed."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import geopandas as gpd


def is_coco(path: str) -> bool:
    """Whether a file is JSON with the lists that COCO has."""
    named = Path(path).suffix.lower() == ".json" and Path(path).is_file()
    return named and {"images", "annotations"} <= set(_content(path))


def read_coco(path: str, scene: str, grid: Grid) -> "gpd.GeoDataFrame":
    """Return the annotations of the image with the scene's name, on its grid: columns category, category_id, iscrowd.

    Raises InputError where there is no such image, or a shape cannot be read.
    """
    import geopandas as gpd

    content = _content(path)
    image = next((i for i in content["images"] if Path(str(i.get("file_name"))).name == Path(scene).name), None)
    if image is None:
        raise InputError(f"{path}: no image is called {Path(scene).name}; its images are called as scenes are")
    names = {c["id"]: c.get("name", str(c["id"])) for c in content.get("categories", ())}
    rows = [a for a in content["annotations"] if a.get("image_id") == image["id"]]
    shape = int(image["height"]), int(image["width"])
    to_ground = grid.resized(shape).transform

    def on_ground(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(to_ground @ tuple(xy.T))

    try:
        shapes = [shapely.transform(shape_of(a["segmentation"], shape), on_ground) for a in rows]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: a segmentation of {scene} cannot be read ({error!r})") from error
    columns = {
        "category": [names.get(a["category_id"], str(a["category_id"])) for a in rows],
        "category_id": [a["category_id"] for a in rows],
        "iscrowd": [bool(a.get("iscrowd", 0)) for a in rows],
    }
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=grid.crs.to_wkt())


@lru_cache(maxsize=4)
def _content(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    return found if isinstance(found, dict) else {}


def shape_of(segmentation: Any, shape: tuple[int, int]) -> shapely.Geometry:
    """Return a segmentation in pixels (x, y): the union of its rings, or the outline of its mask (H, W)."""
    if isinstance(segmentation, dict):
        return _outline(*mask_of(segmentation, shape))
    rings = [np.reshape(np.asarray(ring, float), (-1, 2)) for ring in segmentation]
    return shapely.union_all([shapely.make_valid(shapely.Polygon(r)) for r in rings if len(r) > 2])


def mask_of(runs: dict[str, Any], shape: tuple[int, int]) -> tuple[NDArray[np.bool_], int]:
    """Return the mask (H, w) of runs over the columns that it has pixels in, and the first of them.

    runs: counts of pixels out and in by turns, column by column of an image of ``shape`` unless they say another size.

    >>> mask, col = mask_of({"size": [2, 3], "counts": [3, 2, 1]}, (2, 3))
    >>> mask.astype(int).tolist(), col
    ([[0, 1], [1, 0]], 1)
    """
    height, width = (int(n) for n in runs.get("size", shape))
    counts = runs["counts"]
    edges = np.cumsum(unpacked(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if not len(edges) or edges[-1] != height * width or (np.diff(edges, prepend=0) < 0).any():
        raise ValueError(f"runs of {edges[-1] if len(edges) else 0} pixels, not {height} x {width}")
    first, last = (edges[0], edges[len(edges) // 2 * 2 - 1]) if len(edges) > 1 else (0, 0)
    low, high = int(first) // height, -(-int(last) // height)
    edges = np.clip(edges, low * height, high * height) - low * height
    inside = np.repeat(np.arange(len(edges)) % 2 == 1, np.diff(edges, prepend=0))
    return inside.reshape(-1, height).T, low


def unpacked(text: str) -> Sequence[int]:
    """Return the counts of a compressed run: five bits a character, low ones first, from the third as differences."""
    counts: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        bits = code - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def _outline(mask: NDArray[np.bool_], col: int) -> shapely.Geometry:
    """Return the outline of a mask whose first column is ``col``."""
    from affine import Affine
    from rasterio.features import shapes

    if not mask.any():
        return shapely.Polygon()
    top = int(mask.any(1).argmax())
    mask = mask[top : mask.shape[0] - int(mask[::-1].any(1).argmax())]
    parts = [
        shapely.geometry.shape(s)
        for s, v in shapes(mask.astype(np.uint8), mask=mask, transform=Affine.translation(col, top))
        if v
    ]
    return shapely.union_all(parts)
