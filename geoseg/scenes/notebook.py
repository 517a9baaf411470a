"""What notebooks show of a scene: its lines and a picture of its middle; results and plans show theirs likewise."""

from html import escape
from pathlib import Path

import rasterio
from rasterio.enums import Resampling

from geoseg.errors import InputError
from geoseg.scenes.pictures import Rgb, data_address, of_bands, of_classes
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.scenes.shown import colors_of
from geoseg.values.box import Box
from geoseg.values.classes import ClassMap

SIDE_PX = 320


def framed(lines: str, picture: Rgb | None = None, classes: ClassMap | None = None) -> str:
    """Return lines of text with a picture beside them and the colours of classes below, as HTML that fetches nothing.

    >>> framed("a < b")
    '<div style="display:flex;gap:1em"><pre>a &lt; b</pre></div>'
    """
    image = "" if picture is None else f'<img src="{data_address(picture)}" alt="thumbnail">'
    swatches = "".join(
        f'<span style="border-left:1em solid {c.hex};padding:0 1em 0 .4em">{escape(c.name)}</span>'
        for c in classes or ()
    )
    legend = f"<div>{swatches}</div>" if swatches else ""
    return f'<div style="display:flex;gap:1em"><pre>{escape(lines)}</pre>{image}</div>{legend}'


def scene_html(scene: Scene, more: str = "") -> str:
    """Return a scene's lines, and ``more``, beside the pixels of its middle, SIDE_PX a side, where they can be read."""
    height, width = scene.grid.shape
    row, col = max(0, (height - SIDE_PX) // 2), max(0, (width - SIDE_PX) // 2)
    try:
        raster = read(scene, Box(row, col, min(height, row + SIDE_PX), min(width, col + SIDE_PX)))
    except InputError as error:
        return framed(f"{scene!r}\n{more}\n{error}")
    pixels = raster.data[colors_of(scene)].astype("float32")
    return framed(f"{scene!r}\n{more}".rstrip(), of_bands(pixels, raster.valid))


def small_classes(path: Path, classes: ClassMap) -> Rgb:
    """Return a raster of classes in their colours, SIDE_PX at most a side."""
    with rasterio.open(path) as src:
        shrink = max(1.0, max(src.shape) / SIDE_PX)
        shape = tuple(max(1, round(side / shrink)) for side in src.shape)
        return of_classes(src.read(1, out_shape=shape, resampling=Resampling.mode), classes)
