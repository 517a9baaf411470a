"""What lies beside a raster of object ids: a table of its values, and a style, so that QGIS shows classes and objects.

A GeoTIFF of uint32 has no palette.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.disk.files import atomic
from geoseg.outputs.pam import INTEGER, REAL, STRING, attribute_table, pam_path, write_xml
from geoseg.values.layers import FIRST_OBJECT

INSTANCES = "instances.gpkg"  # of a row for each object
MOST_ROWS = 65_536  # of objects: QGIS takes long for more; all of them stand in the GeoPackage
GOLDEN = 0.618034  # shades this far apart stay distinct
LIGHTEST, DARKEST = 0.35, 0.25  # shares of white and black in the shades of a class
COLUMNS = (
    ("Value", INTEGER, "5"),
    ("Count", REAL, "1"),
    ("Class", STRING, "2"),
    ("R", INTEGER, "6"),
    ("G", INTEGER, "7"),
    ("B", INTEGER, "8"),
    ("A", INTEGER, "9"),
)
QML = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


@dataclass(frozen=True, slots=True)
class IdRow:
    """A value of the raster."""

    value: int
    """The id."""
    pixels: int
    """How many have it."""
    name: str
    """Its class."""
    color: tuple[int, int, int]
    """Red, green and blue."""


def shade(color: tuple[int, int, int], number: int) -> tuple[int, int, int]:
    """Return the colour of one object of a class: lighter or darker than the class, so that neighbours differ.

    >>> shade((100, 100, 100), 0), shade((100, 100, 100), 1)
    ((75, 75, 75), (119, 119, 119))
    """
    tone = (LIGHTEST + DARKEST) * (number * GOLDEN % 1) - DARKEST
    red, green, blue = (round(c * (1 + tone) if tone < 0 else c + (255 - c) * tone) for c in color)
    return red, green, blue


def style_path(raster: Path) -> Path:
    """Return where QGIS looks for the style of ``raster``."""
    return raster.with_suffix(".qml")


def beside_ids(raster: str) -> tuple[str, str]:
    """Return the names of what ``write_ids_table`` writes beside a raster.

    >>> beside_ids("panoptic.tif")
    ('panoptic.tif.aux.xml', 'panoptic.qml')
    """
    return pam_path(Path(raster)).name, style_path(Path(raster)).name


def write_ids_table(raster: Path, rows: Sequence[IdRow]) -> None:
    """Write the attribute table and the style of ``raster``; at most MOST_ROWS rows are of use to QGIS."""
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    attribute_table(band, COLUMNS, ((r.value, r.pixels, r.name, *r.color, 255) for r in rows))
    write_xml(pam_path(raster), root)
    with atomic(style_path(raster)) as temporary:
        temporary.write_text(_qml(rows), encoding="utf-8")


def _qml(rows: Iterable[IdRow]) -> str:
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology")
    renderer = ET.SubElement(
        ET.SubElement(root, "pipe"), "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ET.SubElement(renderer, "colorPalette")
    for r in rows:
        color = "#{:02x}{:02x}{:02x}".format(*r.color)
        label = r.name if r.value < FIRST_OBJECT else f"{r.name} {r.value}"
        ET.SubElement(palette, "paletteEntry", value=str(r.value), color=color, label=label, alpha="255")
    return QML + ET.tostring(root, encoding="unicode")
