"""VRT: parts shown by GDAL as one raster, and the TIFF tags by which GDAL tells names, palette and place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from geoseg.disk.files import atomic
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Box, Grid


@dataclass(frozen=True, slots=True)
class Band:
    """What GDAL is told of a band, and its 1-based number in the parts.

    palette: makes it a band of class ids; scaling: (scale, offset) of its bytes.
    """

    name: str
    source: int
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    palette: ClassMap | None = None
    scaling: tuple[float, float] | None = None


def write_parts_vrt(path: Path, parts: Mapping[Box, Path], grid: Grid, layer_names: Sequence[str]) -> None:
    """Write a raster over ``grid`` that shows all ``parts`` so far, nodata elsewhere; band i is the i-th layer.

    Parts are named relative to ``path``, so that both can be moved together.
    """
    bands = [Band(name, index) for index, name in enumerate(layer_names, start=1)]
    names = {box: relpath(part, path.parent) for box, part in parts.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(vrt(grid, bands, parts=names, relative=True))


def vrt(
    grid: Grid,
    bands: Sequence[Band],
    *,
    tags: Mapping[str, str] = MappingProxyType({}),
    parts: Mapping[Box, str] = MappingProxyType({}),
    relative: bool = False,
) -> bytes:
    """Return the XML of a raster over ``grid`` made of ``parts``; relative: their names start where the file lies."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    ET.SubElement(root, "GeoTransform").text = ",".join(repr(v) for v in grid.transform.to_gdal())
    _metadata(root, {"AREA_OR_POINT": "Area", **tags})
    for index, band in enumerate(bands, start=1):
        element = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(index))
        _describe(element, band, gray=len(bands) == 1)
        for box in sorted(parts):
            _source(element, box, parts[box], band.source, relative=relative)
    return ET.tostring(root, encoding="utf-8")


def tiff_template(
    grid: Grid, bands: Sequence[Band], *, tags: Mapping[str, str] = MappingProxyType({}), overviews_by: str = ""
) -> bytes:
    """Return a GeoTIFF of one empty tile, written by GDAL, that tells all a file of these bands has to tell.

    Its tags do not depend on the size of the grid. overviews_by: GDAL's name of how overviews were made.
    """
    options = {
        "tiled": "YES", "blockxsize": TILE_PX, "blockysize": TILE_PX, "compress": "DEFLATE", "predictor": 2,
        "interleave": "BAND", "sparse_ok": "TRUE", "@overview_resampling": overviews_by,
    }  # fmt: skip
    xml = vrt(Grid(grid.crs, grid.transform, (1, 1)), bands, tags=tags)
    with (
        rasterio.Env(GDAL_PAM_ENABLED=False),
        MemoryFile(xml, ext=".vrt") as source,
        MemoryFile(ext=".tif") as target,
    ):
        rasterio.shutil.copy(source.name, target.name, driver="GTiff", **options)
        return bytes(target.read())


def _metadata(parent: ET.Element, items: Mapping[str, str]) -> None:
    holder = ET.SubElement(parent, "Metadata")
    for key, value in items.items():
        ET.SubElement(holder, "MDI", key=key).text = value


def _describe(element: ET.Element, band: Band, *, gray: bool) -> None:
    ET.SubElement(element, "Description").text = band.name
    _metadata(element, band.metadata)
    ET.SubElement(element, "NoDataValue").text = str(NODATA)
    if band.scaling is not None:
        for key, value in zip(("Scale", "Offset"), band.scaling, strict=True):
            ET.SubElement(element, key).text = repr(value)
    if band.palette is not None:
        ET.SubElement(element, "ColorInterp").text = "Palette"
        _palette(element, band.palette)
    else:
        ET.SubElement(element, "ColorInterp").text = "Gray" if gray else "Undefined"


def _palette(band: ET.Element, classes: ClassMap) -> None:
    """Give the band one colour per value 0..max_id; nodata and values between the classes are transparent."""
    table = ET.SubElement(band, "ColorTable")
    colors = {c.id: (*c.color, 255) for c in classes}
    for value in range(classes.max_id + 1):
        rgba = colors.get(value, (0, 0, 0, 0))
        ET.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(rgba, start=1)})


def _source(band: ET.Element, box: Box, name: str, source_band: int, *, relative: bool) -> None:
    height, width = box.shape
    size = {"xSize": str(width), "ySize": str(height)}
    source = ET.SubElement(band, "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    ET.SubElement(source, "SourceBand").text = str(source_band)
    block = {"BlockXSize": str(TILE_PX), "BlockYSize": str(TILE_PX)}
    raster = {"RasterXSize": str(width), "RasterYSize": str(height), "DataType": "Byte"}
    ET.SubElement(source, "SourceProperties", {**raster, **block})  # with it a part is opened only when it is read
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ET.SubElement(source, "DstRect", {"xOff": str(box.col0), "yOff": str(box.row0), **size})
