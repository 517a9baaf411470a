"""Styles: how a polygon layer coloured by class looks, for QGIS (QML) and for everything else (SLD 1.1)."""

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from geoseg.classes import ClassInfo

FILL_OPACITY = 0.55  # the image below stays readable
OUTLINE_MM = 0.3
_QML_HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_SE, _OGC = "http://www.opengis.net/se", "http://www.opengis.net/ogc"


def polygon_qml(classes: Iterable[ClassInfo], *, attribute: str, aliases: Mapping[str, str]) -> str:
    """Return a QGIS style (3.22 to 3.40) with one category per class of the integer column ``attribute``.

    aliases: column name -> what people read.
    """
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology|Fields")
    names = ET.SubElement(root, "aliases")
    for index, (field, alias) in enumerate(aliases.items(), start=1):
        ET.SubElement(names, "alias", index=str(index), field=field, name=alias)
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=attribute, symbollevels="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, c in enumerate(classes):
        entry = {"symbol": str(index), "value": str(c.id), "label": c.name, "type": "long", "render": "true"}
        ET.SubElement(categories, "category", entry)
        symbol = ET.SubElement(symbols, "symbol", name=str(index), type="fill", alpha="1", clip_to_extent="1")
        _fill(symbol, c)
    return _QML_HEAD + ET.tostring(root, encoding="unicode")


def _fill(symbol: ET.Element, c: ClassInfo) -> None:
    """Add the fill of a class twice: QGIS reads <Option> since 3.22 and <prop> before."""
    alpha = round(255 * FILL_OPACITY)
    properties = {
        "color": ",".join(map(str, (*c.color, alpha))),
        "style": "solid",
        "outline_color": ",".join(map(str, (*_darker(c.color), 255))),
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


def polygon_sld(classes: Iterable[ClassInfo], *, layer: str, attribute: str) -> str:
    """Return the same style as an OGC Styled Layer Descriptor 1.1."""
    root = ET.Element(
        "StyledLayerDescriptor",
        {"version": "1.1.0", "xmlns": "http://www.opengis.net/sld", "xmlns:se": _SE, "xmlns:ogc": _OGC},
    )
    named = ET.SubElement(root, "NamedLayer")
    ET.SubElement(named, "se:Name").text = layer
    style = ET.SubElement(ET.SubElement(named, "UserStyle"), "se:FeatureTypeStyle")
    for c in classes:
        rule = ET.SubElement(style, "se:Rule")
        ET.SubElement(rule, "se:Name").text = c.name
        equal = ET.SubElement(ET.SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        ET.SubElement(equal, "ogc:PropertyName").text = attribute
        ET.SubElement(equal, "ogc:Literal").text = str(c.id)
        symbol = ET.SubElement(rule, "se:PolygonSymbolizer")
        red, green, blue = _darker(c.color)
        _parameters(symbol, "se:Fill", {"fill": c.hex, "fill-opacity": str(FILL_OPACITY)})
        _parameters(symbol, "se:Stroke", {"stroke": f"#{red:02x}{green:02x}{blue:02x}", "stroke-width": "1"})
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _parameters(parent: ET.Element, tag: str, values: Mapping[str, str]) -> None:
    holder = ET.SubElement(parent, tag)
    for name, value in values.items():
        ET.SubElement(holder, "se:SvgParameter", name=name).text = value


def _darker(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the outline colour of a fill: 60 % of it, so that it shows on both bright and dark ground."""
    red, green, blue = (c * 6 // 10 for c in color)
    return red, green, blue
