"""Pictures of rasters for pages and sheets: classes in their colours, imagery as a screen shows it, boundaries."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geoseg.disk.files import atomic
from geoseg.values.classes import ClassMap

Rgb = NDArray[np.uint8]  # (H, W, 3)
NOTHING = (255, 255, 255)
PERCENTILES = (2.0, 98.0)  # of imagery, shown from black to white


def of_classes(ids: NDArray[np.integer], classes: ClassMap) -> Rgb:
    """Return class ids (H, W) in their colours, white where there is none.

    >>> from geoseg.values.classes import ClassInfo
    >>> of_classes(np.array([[0, 1]]), ClassMap((ClassInfo(1, "water", (0, 0, 255)),))).tolist()
    [[[255, 255, 255], [0, 0, 255]]]
    """
    colors = np.full((classes.max_id + 1, 3), NOTHING, np.uint8)
    for c in classes:
        colors[c.id] = c.color
    return np.asarray(colors[ids])


def of_bands(bands: NDArray[np.floating], valid: NDArray[np.bool_]) -> Rgb:
    """Return three bands, or one, (C, H, W) as colours, each from 2nd to 98th percentile; white if not valid."""
    out = np.full((*valid.shape, 3), NOTHING, np.uint8)
    if not valid.any():
        return out
    seen = bands[:, valid]
    low, high = np.percentile(seen, PERCENTILES, axis=1)[..., None]
    shown = np.clip((seen - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    out[valid] = np.broadcast_to(shown, (3, shown.shape[1])).T.round()
    return out


def boundaries(ids: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) whose right or lower neighbour has another id."""
    edge = np.zeros(ids.shape, np.bool_)
    edge[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    edge[:-1] |= ids[1:] != ids[:-1]
    return edge


def drawn(picture: Rgb, edge: NDArray[np.bool_], color: tuple[int, int, int]) -> Rgb:
    """Return a picture with the pixels of ``edge`` in one colour."""
    out = picture.copy()
    out[edge] = color
    return out


def enlarged[P: np.generic](pixels: NDArray[P], side_px: int) -> NDArray[P]:
    """Return pixels (H, W) or (H, W, 3), each a square of as many as the longer side fits in ``side_px``, one at least.

    >>> enlarged(np.eye(2), 4).shape
    (4, 4)
    """
    times = max(1, side_px // max(pixels.shape[:2]))
    return pixels.repeat(times, 0).repeat(times, 1)


def png(picture: Rgb) -> bytes:
    """Return a picture as a PNG file."""
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stored, "PNG", optimize=True)
    return stored.getvalue()


def data_address(picture: Rgb) -> str:
    """Return a picture as an address that holds it, for pages."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def sheet(rows: Sequence[Sequence[Rgb]], *, gap_px: int = 6) -> Rgb:
    """Return pictures in rows and columns on white; each place is as large as the largest picture."""
    height, width = (max(p.shape[axis] for row in rows for p in row) + gap_px for axis in (0, 1))
    out = np.full((height * len(rows) + gap_px, width * max(map(len, rows)) + gap_px, 3), NOTHING, np.uint8)
    for i, row in enumerate(rows):
        for k, picture in enumerate(row):
            at = gap_px + i * height, gap_px + k * width
            out[at[0] : at[0] + picture.shape[0], at[1] : at[1] + picture.shape[1]] = picture
    return out


def write_png(path: Path, picture: Rgb) -> None:
    """Write a picture, whole or not at all; raises OutputError where the disk fails."""
    with atomic(path) as temporary:
        temporary.write_bytes(png(picture))
