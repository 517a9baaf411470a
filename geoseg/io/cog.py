"""COG: one cloud-optimised GeoTIFF from all parts of a scene, read back before anyone sees it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg import __version__
from geoseg.classes import NODATA, ClassMap
from geoseg.errors import OutputError
from geoseg.grid import Box, Grid
from geoseg.io.files import atomic
from geoseg.io.parts import BLOCK_PX

CACHE_BYTES = 128 * 2**20  # of GDAL's blocks while copying: memory does not grow with the scene
PROBABILITY_SCALE, PROBABILITY_OFFSET = 1 / 254, -1 / 254  # byte b means p = (b - 1) / 254; 0 is nodata


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


def assemble(
    parts: Mapping[Box, Path], grid: Grid, layers: Sequence[Layer], out_path: Path, *, tags: Mapping[str, str]
) -> None:
    """Write a COG over ``grid`` from ``parts``, which must cover every pixel once; band i is the i-th layer.

    The layers of one file are all class ids (overviews by mode, palette) or all probability bytes (overviews by
    average, scale and offset). tags: file tags; what varies between two runs of one job does not belong there. Every
    block is compared with the parts before the file takes its name. Raises OutputError where that, or the disk, fails.
    """
    _check_cover(parts, grid)
    categorical = layers[0].classes is not None
    with atomic(out_path) as temporary:
        vrt = temporary.with_suffix(".vrt")
        vrt.write_bytes(_vrt(parts, grid, layers, tags))
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_PAM_ENABLED=False):
            rasterio.shutil.copy(
                vrt, temporary, driver="COG", blocksize=BLOCK_PX, compress="DEFLATE", interleave="BAND",
                predictor="NO" if categorical else "STANDARD",
                overview_resampling="MODE" if categorical else "AVERAGE",
                bigtiff="IF_SAFER", statistics="NO",
            )  # fmt: skip  # no num_threads: with it rasterio loses write errors
            _read_back(temporary, parts, grid, layers, name=out_path.name)


def _check_cover(parts: Mapping[Box, Path], grid: Grid) -> None:
    """Raise OutputError unless every pixel of ``grid`` lies in exactly one part."""
    rows = sorted({edge for box in (*parts, grid.box) for edge in (box.row0, box.row1)})
    cols = sorted({edge for box in (*parts, grid.box) for edge in (box.col0, box.col1)})
    covered = np.zeros((len(rows) - 1, len(cols) - 1), np.int64)
    for box in parts:
        covered[rows.index(box.row0) : rows.index(box.row1), cols.index(box.col0) : cols.index(box.col1)] += 1
    outside = rows[0] < 0 or cols[0] < 0 or rows[-1] > grid.height or cols[-1] > grid.width
    if outside or not (covered == 1).all():
        raise OutputError(
            f"{len(parts)} parts do not cover the scene's {grid.height} x {grid.width} pixels exactly once; "
            f"start the job over with --overwrite"
        )


def _vrt(parts: Mapping[Box, Path], grid: Grid, layers: Sequence[Layer], tags: Mapping[str, str]) -> bytes:
    """Return the XML of a GDAL virtual raster that shows the parts as one file with all its names."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    ET.SubElement(root, "GeoTransform").text = ",".join(repr(v) for v in grid.transform.to_gdal())
    _metadata(root, {"AREA_OR_POINT": "Area", "TIFFTAG_SOFTWARE": f"geoseg {__version__}", **tags})
    for index, layer in enumerate(layers, start=1):
        band = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(index))
        ET.SubElement(band, "Description").text = layer.name
        class_tags = {f"CLASS_{c.id}": c.name for c in layer.classes or ()}
        _metadata(band, {"DESCRIPTION": layer.description, **class_tags})
        ET.SubElement(band, "NoDataValue").text = str(NODATA)
        if layer.classes is None:
            ET.SubElement(band, "Scale").text = repr(PROBABILITY_SCALE)
            ET.SubElement(band, "Offset").text = repr(PROBABILITY_OFFSET)
            ET.SubElement(band, "ColorInterp").text = "Gray" if len(layers) == 1 else "Undefined"
        else:
            ET.SubElement(band, "ColorInterp").text = "Palette"
            _palette(band, layer.classes)
        for box in sorted(parts):
            _source(band, box, parts[box], layer.band)
    return ET.tostring(root, encoding="utf-8")


def _metadata(parent: ET.Element, items: Mapping[str, str]) -> None:
    holder = ET.SubElement(parent, "Metadata")
    for key, value in items.items():
        ET.SubElement(holder, "MDI", key=key).text = value


def _palette(band: ET.Element, classes: ClassMap) -> None:
    """Give the band one colour per value 0..max_id; nodata and values between the classes are transparent."""
    table = ET.SubElement(band, "ColorTable")
    colors = {c.id: (*c.color, 255) for c in classes}
    for value in range(classes.max_id + 1):
        rgba = colors.get(value, (0, 0, 0, 0))
        ET.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(rgba, start=1)})


def _source(band: ET.Element, box: Box, path: Path, source_band: int) -> None:
    height, width = box.shape
    size = {"xSize": str(width), "ySize": str(height)}
    source = ET.SubElement(band, "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(path.resolve())
    ET.SubElement(source, "SourceBand").text = str(source_band)
    block = {"BlockXSize": str(BLOCK_PX), "BlockYSize": str(BLOCK_PX)}
    raster = {"RasterXSize": str(width), "RasterYSize": str(height), "DataType": "Byte"}
    ET.SubElement(source, "SourceProperties", {**raster, **block})  # with it a part is opened only when it is read
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ET.SubElement(source, "DstRect", {"xOff": str(box.col0), "yOff": str(box.row0), **size})


def _read_back(path: Path, parts: Mapping[Box, Path], grid: Grid, layers: Sequence[Layer], *, name: str) -> None:
    """Raise OutputError unless ``path`` lies on ``grid``, equals the parts, and all its overviews can be read."""
    with rasterio.open(path) as cog:
        found = Grid(cog.crs, cog.transform, cog.shape) if cog.crs else None
        if found is None or not found.same_as(grid):
            raise OutputError(
                f"{name}: a GeoTIFF cannot hold the scene's place ({grid.crs.to_string()}); reproject the scene first"
            )
        if cog.descriptions != tuple(layer.name for layer in layers):
            raise OutputError(f"{name}: band names read back as {cog.descriptions}; run again with --overwrite")
        levels = len(cog.overviews(1))
        for box, part_path in parts.items():
            window = Window(box.col0, box.row0, box.shape[1], box.shape[0])
            with rasterio.open(part_path) as part:
                for index, layer in enumerate(layers, start=1):
                    if not np.array_equal(cog.read(index, window=window), part.read(layer.band)):
                        raise OutputError(
                            f"{name}: rows {box.row0}.., columns {box.col0}.. read back differently "
                            f"from part {part_path.name}; check the disk, run again"
                        )
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            for window in strips(overview):
                overview.read(window=window)


def strips(raster: DatasetReader) -> Iterator[Window]:
    """Yield windows of one row of blocks each, top to bottom."""
    for row in range(0, raster.height, BLOCK_PX):
        yield Window(0, row, raster.width, min(BLOCK_PX, raster.height - row))
