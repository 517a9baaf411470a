"""Styles: how a polygon layer coloured by a column looks, for QGIS (QML) and for everything else (SLD 1.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

FILL_OPACITY = 0.55  # the image below stays readable
OUTLINE_MM = 0.3
_QML_HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_SE, _OGC = "http://www.opengis.net/se", "http://www.opengis.net/ogc"


type Color = tuple[int, int, int]  # red, green, blue in 0..255


@dataclass(frozen=True, slots=True)
class Category:
    """What stands in the column, what the legend says of it, and its colour."""

    value: int | str
    label: str
    color: Color


@dataclass(frozen=True, slots=True)
class Style:
    """A colour for each category of the column ``attribute``."""

    attribute: str
    categories: tuple[Category, ...]


def polygon_qml(style: Style, aliases: Mapping[str, str]) -> str:
    """Return a style for QGIS 3.22 to 3.40; aliases: column name -> what people read."""
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology|Fields")
    names = ET.SubElement(root, "aliases")
    for index, (field, alias) in enumerate(aliases.items(), start=1):
        ET.SubElement(names, "alias", index=str(index), field=field, name=alias)
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=style.attribute, symbollevels="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, c in enumerate(style.categories):
        kind = "string" if isinstance(c.value, str) else "long"
        entry = {"symbol": str(index), "value": str(c.value), "label": c.label, "type": kind, "render": "true"}
        ET.SubElement(categories, "category", entry)
        symbol = ET.SubElement(symbols, "symbol", name=str(index), type="fill", alpha="1", clip_to_extent="1")
        _fill(symbol, c.color)
    return _QML_HEAD + ET.tostring(root, encoding="unicode")


def _fill(symbol: ET.Element, color: Color) -> None:
    """Add the fill of a category twice: QGIS reads <Option> since 3.22 and <prop> before."""
    alpha = round(255 * FILL_OPACITY)
    properties = {
        "color": ",".join(map(str, (*color, alpha))),
        "style": "solid",
        "outline_color": ",".join(map(str, (*_darker(color), 255))),
        "outline_style": "solid",
        "outline_width": str(OUTLINE_MM),
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    for name, value in properties.items():
        ET.SubElement(options, "Option", name=name, type="QString", value=value)
        ET.SubElement(layer, "prop", k=name, v=value)


def polygon_sld(style: Style, *, layer: str) -> str:
    """Return the same style as an OGC Styled Layer Descriptor 1.1."""
    root = ET.Element(
        "StyledLayerDescriptor",
        {"version": "1.1.0", "xmlns": "http://www.opengis.net/sld", "xmlns:se": _SE, "xmlns:ogc": _OGC},
    )
    named = ET.SubElement(root, "NamedLayer")
    ET.SubElement(named, "se:Name").text = layer
    drawn = ET.SubElement(ET.SubElement(named, "UserStyle"), "se:FeatureTypeStyle")
    for c in style.categories:
        rule = ET.SubElement(drawn, "se:Rule")
        ET.SubElement(rule, "se:Name").text = c.label
        equal = ET.SubElement(ET.SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        ET.SubElement(equal, "ogc:PropertyName").text = style.attribute
        ET.SubElement(equal, "ogc:Literal").text = str(c.value)
        symbol = ET.SubElement(rule, "se:PolygonSymbolizer")
        _parameters(symbol, "se:Fill", {"fill": _hex(c.color), "fill-opacity": str(FILL_OPACITY)})
        _parameters(symbol, "se:Stroke", {"stroke": _hex(_darker(c.color)), "stroke-width": "1"})
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _parameters(parent: ET.Element, tag: str, values: Mapping[str, str]) -> None:
    holder = ET.SubElement(parent, tag)
    for name, value in values.items():
        ET.SubElement(holder, "se:SvgParameter", name=name).text = value


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _darker(color: Color) -> Color:
    """Return the outline colour of a fill: 60 % of it, so that it shows on both bright and dark ground."""
    red, green, blue = (c * 6 // 10 for c in color)
    return red, green, blue
