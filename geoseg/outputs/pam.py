"""PAM: the .aux.xml beside a class raster that gives QGIS its class names, colours, counts and areas.

A GeoTIFF palette always has 256 entries and no names, so QGIS would show 256 unnamed rows. A colour table with exactly
the classes' entries plus category names gives a clean legend before QGIS 3.30, the attribute table gives it since then.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.disk.files import atomic
from geoseg.values.classes import NODATA, ClassMap

INTEGER, REAL, STRING = "0", "1", "2"  # GDALRATFieldType
_COLUMNS = (  # name, type, GDALRATFieldUsage: min-max 5, pixel count 1, name 2, red..alpha 6..9, generic 0
    ("Value", INTEGER, "5"),
    ("Count", REAL, "1"),  # GDAL's integer is 32 bits wide: a class of a 50,000 x 50,000 scene would not fit
    ("Class", STRING, "2"),
    ("R", INTEGER, "6"),
    ("G", INTEGER, "7"),
    ("B", INTEGER, "8"),
    ("A", INTEGER, "9"),
    ("Area_ha", REAL, "0"),
    ("Percent", REAL, "0"),
)


def pam_path(raster: Path) -> Path:
    """Return where GDAL looks for the names of ``raster``."""
    return raster.with_name(raster.name + ".aux.xml")


def write_pam(raster: Path, classes: ClassMap, *, counts: Mapping[int, int], area_ha: Mapping[int, float]) -> Path:
    """Write the names beside ``raster``; counts: pixels, and area_ha: true hectares, per class id. Returns the path."""
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    ET.SubElement(band, "ColorInterp").text = "Palette"
    by_id = {c.id: c for c in classes}
    table, names = ET.SubElement(band, "ColorTable"), ET.SubElement(band, "CategoryNames")
    for value in range(classes.max_id + 1):
        info = by_id.get(value)
        rgba = (*info.color, 255) if info else (0, 0, 0, 0)
        ET.SubElement(table, "Entry", {f"c{i}": str(v) for i, v in enumerate(rgba, start=1)})
        ET.SubElement(names, "Category").text = info.name if info else "No data" if value == NODATA else "(not used)"
    total = sum(counts[c.id] for c in classes)
    shares = {c.id: 100 * counts[c.id] / total if total else 0.0 for c in classes}
    rows = ((c.id, counts[c.id], c.name, *c.color, 255, f"{area_ha[c.id]:.6f}", f"{shares[c.id]:.4f}") for c in classes)
    attribute_table(band, _COLUMNS, rows)
    return write_xml(pam_path(raster), root)


def attribute_table(
    band: ET.Element, columns: Iterable[tuple[str, str, str]], rows: Iterable[tuple[object, ...]]
) -> None:
    """Add an attribute table to a band; columns: name, GDALRATFieldType and GDALRATFieldUsage."""
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(columns):
        field = ET.SubElement(table, "FieldDefn", index=str(index))
        for tag, text in (("Name", name), ("Type", kind), ("Usage", usage)):
            ET.SubElement(field, tag).text = text
    for index, values in enumerate(rows):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in values:
            ET.SubElement(row, "F").text = str(value)


def write_xml(path: Path, root: ET.Element) -> Path:
    """Write what GDAL reads beside a raster; returns its path."""
    ET.indent(root)
    with atomic(path) as temporary:
        temporary.write_bytes(ET.tostring(root, encoding="utf-8") + b"\n")
    return path
