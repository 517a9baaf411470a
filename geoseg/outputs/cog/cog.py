"""COG: one cloud-optimised GeoTIFF from all parts of a scene, read back before anyone sees it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.errors import OutputError
from geoseg.outputs.cog.assembly import Mosaic, write_cog
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.cog.vrt import Band, tiff_template, vrt
from geoseg.tiling.overviews import Kind, pyramid
from geoseg.values.classes import ClassMap
from geoseg.values.grid import Box, Grid

Codec = Literal["deflate", "lzw", "zstd"]
CACHE_BYTES = 128 * 2**20  # of GDAL's blocks while it copies: memory does not grow with the scene
PROBABILITY_SCALE, PROBABILITY_OFFSET = 1 / 254, -1 / 254  # byte b means p = (b - 1) / 254; 0 is nodata
_RESAMPLING: Mapping[Kind, str] = {"categories": "MODE", "probability": "AVERAGE"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One band of an output raster: its name, its 1-based band in the parts, what it holds, and its class table.

    classes: None for probability bytes.
    """

    name: str
    band: int
    description: str
    classes: ClassMap | None = None

    @classmethod
    def categories(cls, name: str, band: int, classes: ClassMap) -> "Layer":
        """Return a layer of class ids."""
        return cls(name, band, "Class of every pixel", classes)

    @classmethod
    def probability(cls, name: str, band: int, description: str) -> "Layer":
        """Return a layer of probability bytes."""
        return cls(name, band, description)

    @property
    def kind(self) -> Kind:
        """What decides how overviews are made."""
        return "probability" if self.classes is None else "categories"

    def told(self) -> Band:
        """Return what GDAL is told of the band."""
        if self.classes is None:
            scaling = (PROBABILITY_SCALE, PROBABILITY_OFFSET)
            return Band(self.name, self.band, {"DESCRIPTION": self.description}, scaling=scaling)
        names = {f"CLASS_{c.id}": c.name for c in self.classes}
        return Band(self.name, self.band, {"DESCRIPTION": self.description, **names}, palette=self.classes)


def assemble(
    parts: Mapping[Box, Path],
    grid: Grid,
    layers: Sequence[Layer],
    out_path: Path,
    *,
    tags: Mapping[str, str],
    codec: Codec = "deflate",
) -> None:
    """Write a COG over ``grid`` from ``parts``, which must cover every pixel once; band i is the i-th layer.

    The layers of one file are all class ids (overviews by mode, palette) or all probability bytes (overviews by
    average, scale and offset). tags: file tags; what varies between two runs of one job does not belong there. codec:
    "deflate" copies the parts' compressed tiles, others are made by GDAL's COG driver, about 20 times slower. The file
    is read back before it takes its name. Raises OutputError where that, a part, or the disk fails.
    """
    mosaic = Mosaic.open(parts, grid)
    bands, kind = [layer.told() for layer in layers], layers[0].kind
    tags = {"TIFFTAG_SOFTWARE": f"geoseg {__version__}", **tags}
    with atomic(out_path) as temporary, rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_PAM_ENABLED=False):
        if codec == "deflate":
            template = tiff_template(grid, bands, tags=tags, overviews_by=_RESAMPLING[kind])
            write_cog(temporary, mosaic, bands=[band.source - 1 for band in bands], kind=kind, template=template)
            _check_levels(temporary, grid)
        else:
            xml = vrt(grid, bands, tags=tags, parts={box: str(path.resolve()) for box, path in parts.items()})
            _write_by_gdal(temporary, xml, kind=kind, codec=codec)
            _check_pixels(temporary, parts, layers)
        _check_names(temporary, grid, layers)


def _write_by_gdal(path: Path, xml: bytes, *, kind: Kind, codec: Codec) -> None:
    source = path.with_suffix(".vrt")
    source.write_bytes(xml)
    rasterio.shutil.copy(
        source, path, driver="COG", blocksize=TILE_PX, compress=codec.upper(), interleave="BAND", predictor="STANDARD",
        overview_resampling=_RESAMPLING[kind], bigtiff="IF_SAFER", statistics="NO",
    )  # fmt: skip  # no num_threads: with it rasterio loses write errors


def _check_names(path: Path, grid: Grid, layers: Sequence[Layer]) -> None:
    """Raise OutputError unless ``path`` lies on ``grid`` and its bands have their names."""
    with rasterio.open(path) as cog:
        found = Grid(cog.crs, cog.transform, cog.shape) if cog.crs else None
        if found is None or not found.same_as(grid):
            raise OutputError(
                f"{path.name}: a GeoTIFF cannot hold the scene's place ({grid.crs.to_string()}); "
                f"reproject the scene first"
            )
        if cog.descriptions != tuple(layer.name for layer in layers):
            raise OutputError(f"{path.name}: band names read back as {cog.descriptions}; run again with --overwrite")


def _check_levels(path: Path, grid: Grid) -> None:
    """Raise OutputError unless GDAL sees every level, and decodes the last tile of each.

    Bytes are known to be those of the parts; this shows that the directories before them tell of them rightly.
    """
    for level, (height, width) in enumerate(pyramid(grid.shape, TILE_PX), start=-1):
        options = {} if level < 0 else {"overview_level": level}
        with rasterio.open(path, **options) as image:
            if image.shape != (height, width):
                raise OutputError(f"{path.name}: level {level + 1} reads back as {image.shape}, not {height, width}")
            row, col = (height - 1) // TILE_PX * TILE_PX, (width - 1) // TILE_PX * TILE_PX
            image.read(window=Window(col, row, width - col, height - row))


def _check_pixels(path: Path, parts: Mapping[Box, Path], layers: Sequence[Layer]) -> None:
    """Raise OutputError unless ``path`` equals the parts, and all its overviews can be read."""
    with rasterio.open(path) as cog:
        levels = len(cog.overviews(1))
        for box, part_path in parts.items():
            window = Window(box.col0, box.row0, box.shape[1], box.shape[0])
            with rasterio.open(part_path) as part:
                for index, layer in enumerate(layers, start=1):
                    if not np.array_equal(cog.read(index, window=window), part.read(layer.band)):
                        raise OutputError(
                            f"{path.name}: rows {box.row0}.., columns {box.col0}.. read back differently "
                            f"from part {part_path.name}; check the disk, run again"
                        )
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            for window in strips(overview):
                overview.read(window=window)


def strips(raster: DatasetReader) -> Iterator[Window]:
    """Yield windows of one row of blocks each, top to bottom."""
    for row in range(0, raster.height, TILE_PX):
        yield Window(0, row, raster.width, min(TILE_PX, raster.height - row))
