"""What the classes of any class raster are called and how they look, from where files keep it."""

from collections.abc import Iterable, Mapping
from colorsys import hsv_to_rgb
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

from rasterio.io import DatasetReader

from geoseg.outputs.pam import pam_path
from geoseg.values.classes import ClassInfo

GOLDEN = 0.618034  # hues this far apart on the circle stay distinct however many there are
NAME_USAGE, VALUE_USAGE, COLOR_USAGES = "2", "5", ("6", "7", "8")  # GDALRATFieldUsage

Color = tuple[int, int, int]


def read_classes(raster: DatasetReader, band: int, present: Iterable[int]) -> tuple[ClassInfo, ...]:
    """Return the classes of a band, ascending: those ``present`` in it, and those its CLASS_n tags speak of.

    Names: CLASS_n tags as geoseg writes them, else the categories or attribute table in the file's .aux.xml, else the
    number. Colours: the palette, else the attribute table, else a colour made from the number.
    """
    tags = tagged_names(raster, band)
    names, colors = _from_pam(Path(raster.name), band)
    try:
        palette: Mapping[int, tuple[int, ...]] = raster.colormap(band)
    except ValueError:  # it has none
        palette = {}
    names |= tags
    colors |= {value: (red, green, blue) for value, (red, green, blue, *_) in palette.items()}
    return tuple(
        ClassInfo(value, names.get(value, "").strip() or f"class {value}", colors.get(value) or made_up_color(value))
        for value in sorted({*present, *tags})
    )


def tagged_names(raster: DatasetReader, band: int) -> dict[int, str]:
    """Return the names by class that geoseg writes as CLASS_n tags; empty for other files."""
    return {int(k[6:]): v for k, v in raster.tags(band).items() if k.startswith("CLASS_") and k[6:].isdecimal()}


def made_up_color(value: int) -> Color:
    """Return the colour of a class that has none: hues as far apart as can be."""
    red, green, blue = (round(255 * part) for part in hsv_to_rgb(value * GOLDEN % 1, 0.5, 0.85))
    return red, green, blue


def _from_pam(raster: Path, band: int) -> tuple[dict[int, str], dict[int, Color]]:
    """Return the names and colours that lie beside ``raster``; empty where there are none."""
    try:
        root = ET.fromstring(pam_path(raster).read_bytes())
    except (OSError, ET.ParseError):  # GDAL reads a raster without its .aux.xml as well
        return {}, {}
    holder = root.find(f"PAMRasterBand[@band='{band}']")
    if holder is None:
        return {}, {}
    names = {i: category.text or "" for i, category in enumerate(holder.findall("CategoryNames/Category"))}
    colors: dict[int, Color] = {}
    columns = {field.findtext("Usage"): i for i, field in enumerate(holder.findall("*/FieldDefn"))}
    if VALUE_USAGE in columns:
        for row in holder.findall("GDALRasterAttributeTable/Row"):
            cells = [cell.text or "" for cell in row.findall("F")]
            with suppress(ValueError, IndexError, OverflowError):  # a row that is cut off, or of text, names nothing
                value = round(float(cells[columns[VALUE_USAGE]]))
                if NAME_USAGE in columns:
                    names[value] = cells[columns[NAME_USAGE]]
                if all(usage in columns for usage in COLOR_USAGES):
                    red, green, blue = (int(cells[columns[usage]]) for usage in COLOR_USAGES)
                    if all(0 <= part <= 255 for part in (red, green, blue)):
                        colors[value] = red, green, blue
    return names, colors
