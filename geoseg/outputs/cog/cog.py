"""COG: one cloud-optimised GeoTIFF from all parts of a scene, read back before anyone sees it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import rasterio
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.errors import OutputError
from geoseg.outputs.cog.assembly import Mosaic, write_cog
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.cog.vrt import tiff_template
from geoseg.tiling.overviews import pyramid
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer

CACHE_BYTES = 128 * 2**20  # of GDAL's blocks while it reads back: memory does not grow with the scene


def assemble(
    parts: Mapping[Box, Path],
    grid: Grid,
    bands: Mapping[int, Layer],
    out_path: Path,
    *,
    tags: Mapping[str, str],
) -> None:
    """Write a COG over ``grid`` from ``parts``, which must cover every pixel once.

    bands: the layers of the file in order, by their position in the parts, counted from 0; all of one dtype and one way
    to make overviews. tags: file tags; what varies between two runs of one job does not belong there. The compressed
    tiles of the parts are copied; the file is read back before it takes its name. Raises OutputError where that, a
    part, or the disk fails.
    """
    mosaic = Mosaic.open(parts, grid)
    layers = tuple(bands.values())
    tags = {"TIFFTAG_SOFTWARE": f"geoseg {__version__}", **tags}
    with atomic(out_path) as temporary, rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_PAM_ENABLED=False):
        template = tiff_template(grid, layers, tags=tags, overviews_by=layers[0].treatment.resampling)
        write_cog(temporary, mosaic, bands=bands, template=template)
        _check_levels(temporary, grid)
        _check_names(temporary, grid, layers)


def _check_names(path: Path, grid: Grid, layers: Sequence[Layer]) -> None:
    """Raise OutputError unless ``path`` lies on ``grid`` and its bands have their names."""
    with rasterio.open(path) as cog:
        crs = grid.found_in(cog.crs or None)
        found = Grid(crs, cog.transform, cog.shape) if crs else None
        if found is None or not found.same_as(grid):
            raise OutputError(
                f"{path.name}: a GeoTIFF cannot hold the scene's place ({grid.crs.to_string()}); "
                f"reproject the scene first"
            )
        if cog.descriptions != tuple(layer.name for layer in layers):
            raise OutputError(f"{path.name}: band names read back as {cog.descriptions}; run again with --overwrite")


def _check_levels(path: Path, grid: Grid) -> None:
    """Raise OutputError unless GDAL sees every level, and decodes the last tile of each.

    Bytes are known to be those of the parts; this shows that the directories before them describe them rightly.
    """
    for level, (height, width) in enumerate(pyramid(grid.shape, TILE_PX), start=-1):
        options = {} if level < 0 else {"overview_level": level}
        with rasterio.open(path, **options) as image:
            if image.shape != (height, width):
                raise OutputError(f"{path.name}: level {level + 1} reads back as {image.shape}, not {height, width}")
            row, col = (height - 1) // TILE_PX * TILE_PX, (width - 1) // TILE_PX * TILE_PX
            image.read(window=Window(col, row, width - col, height - row))


def strips(raster: DatasetReader) -> Iterator[Window]:
    """Yield windows of one row of blocks each, top to bottom."""
    for row in range(0, raster.height, TILE_PX):
        yield Window(0, row, raster.width, min(TILE_PX, raster.height - row))
