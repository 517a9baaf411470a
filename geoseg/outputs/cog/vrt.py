"""VRT: parts shown by GDAL as one raster, and the TIFF tags in which GDAL keeps names, palette and place."""

from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from geoseg.disk.files import atomic
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.values.box import Box
from geoseg.values.classes import ClassMap
from geoseg.values.grid import Grid
from geoseg.values.layers import PREDICTOR, Layer

_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32", "int16": "Int16", "float32": "Float32"}


def write_parts_vrt(path: Path, parts: Mapping[Box, Path], grid: Grid, layers: Sequence[Layer]) -> None:
    """Write a raster over ``grid`` that shows all ``parts`` so far, nodata elsewhere; band i is the i-th layer.

    Parts are named relative to ``path``, so that both can be moved together. layers: those that GDAL sees in the parts
    (``shown``).
    """
    names = {box: relpath(part, path.parent) for box, part in parts.items()}
    with atomic(path, lasting=False) as temporary:  # it is made anew whenever it is wanted
        temporary.write_bytes(vrt(grid, [bare(layer) for layer in layers], parts=names, relative=True))


def shown(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that GDAL sees in parts: those of the first one's dtype, since a TIFF's bands share theirs."""
    return tuple(layer for layer in layers if layer.dtype == layers[0].dtype)


def bare(layer: Layer) -> Layer:
    """Return a layer as parts describe it: by name, dtype and nodata alone."""
    return Layer(layer.name, layer.kind, dtype=layer.dtype, nodata=layer.nodata)


def vrt(
    grid: Grid,
    layers: Sequence[Layer],
    *,
    tags: Mapping[str, str] = MappingProxyType({}),
    parts: Mapping[Box, str] = MappingProxyType({}),
    relative: bool = False,
) -> bytes:
    """Return the XML of a raster over ``grid``; relative: the names of ``parts`` start where the file lies."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.has_place:
        ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    ET.SubElement(root, "GeoTransform").text = ",".join(repr(v) for v in grid.transform.to_gdal())
    _metadata(root, {"AREA_OR_POINT": "Area", **tags})
    for index, layer in enumerate(layers, start=1):
        kind = _GDAL_TYPES[layer.dtype]
        element = ET.SubElement(root, "VRTRasterBand", dataType=kind, band=str(index))
        _describe(element, layer, gray=len(layers) == 1)
        for box in sorted(parts):
            _source(element, box, parts[box], index, kind=kind, relative=relative)
    return ET.tostring(root, encoding="utf-8")


def tiff_template(
    grid: Grid, layers: Sequence[Layer], *, tags: Mapping[str, str] = MappingProxyType({}), overviews_by: str = ""
) -> bytes:
    """Return a GeoTIFF of one empty tile, written by GDAL, that holds all tags of a file of these layers.

    Its tags do not depend on the size of the grid. overviews_by: GDAL's name of how overviews were made.
    """
    options = {
        "tiled": "YES", "blockxsize": TILE_PX, "blockysize": TILE_PX, "compress": "DEFLATE",
        "predictor": PREDICTOR[layers[0].dtype], "interleave": "BAND", "sparse_ok": "TRUE",
        "@overview_resampling": overviews_by,
    }  # fmt: skip
    xml = vrt(Grid(grid.crs, grid.transform, (1, 1)), layers, tags=tags)
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


def _describe(element: ET.Element, layer: Layer, *, gray: bool) -> None:
    ET.SubElement(element, "Description").text = layer.name
    described = {"DESCRIPTION": layer.description} if layer.description else {}
    _metadata(element, described | {f"CLASS_{c.id}": c.name for c in layer.classes or ()})
    ET.SubElement(element, "NoDataValue").text = _text(layer.nodata)
    if layer.unit:
        ET.SubElement(element, "UnitType").text = layer.unit
    if (layer.scale, layer.offset) != (1, 0):
        for key, value in (("Scale", layer.scale), ("Offset", layer.offset)):
            ET.SubElement(element, key).text = repr(value)
    if layer.classes is not None:
        ET.SubElement(element, "ColorInterp").text = "Palette"
        _palette(element, layer.classes)
    else:
        ET.SubElement(element, "ColorInterp").text = "Gray" if gray else "Undefined"


def _text(number: float) -> str:
    """Return a number in full, whole ones without a point."""
    return str(int(number)) if float(number).is_integer() else repr(number)


def _palette(band: ET.Element, classes: ClassMap) -> None:
    """Give the band one colour per value 0..max_id; nodata and values between the classes are transparent."""
    table = ET.SubElement(band, "ColorTable")
    colors = {c.id: (*c.color, 255) for c in classes}
    for value in range(classes.max_id + 1):
        rgba = colors.get(value, (0, 0, 0, 0))
        ET.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(rgba, start=1)})


def _source(band: ET.Element, box: Box, name: str, source_band: int, *, kind: str, relative: bool) -> None:
    height, width = box.shape
    size = {"xSize": str(width), "ySize": str(height)}
    source = ET.SubElement(band, "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT=str(int(relative))).text = name
    ET.SubElement(source, "SourceBand").text = str(source_band)
    block = {"BlockXSize": str(TILE_PX), "BlockYSize": str(TILE_PX)}
    raster = {"RasterXSize": str(width), "RasterYSize": str(height), "DataType": kind}
    ET.SubElement(source, "SourceProperties", {**raster, **block})  # with it a part is opened only when it is read
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ET.SubElement(source, "DstRect", {"xOff": str(box.col0), "yOff": str(box.row0), **size})
