"""run.qgz: a run's folder as a QGIS project, written without QGIS; relative paths, so the folder may move."""

import re
import sqlite3
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.disk.files import atomic
from geoseg.disk.places import STYLE
from geoseg.outputs.run_json import PROJECT, RunJson
from geoseg.values.classes import ClassInfo
from geoseg.values.grid import pyproj_crs
from geoseg.values.layers import Layer

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
SETTINGS = (  # of the project: relative paths, and that its CRS counts
    ("Paths", "Absolute", "bool", "false"),
    ("SpatialRefSys", "ProjectionsEnabled", "int", "1"),
)
NOT_IN_QGIS = ".parquet"  # Debian's QGIS cannot read it


def write_project(folder: Path, run: RunJson) -> Path:
    """Write the project of a run's folder: polygons and classes in one group, all other rasters in another."""
    rasters = [_raster(name, layers[0], run) for name, layers in run.files.items()]
    first = [node for node in rasters if node.get("name") == run.class_file]
    result = [*([_polygons(folder, run)] if run.polygons and not run.polygons.endswith(NOT_IN_QGIS) else []), *first]
    groups = {"Result": result, "Confidence and more": [node for node in rasters if node not in first]}
    root = ET.Element("qgis", version="3.22.0", projectname=folder.resolve().name)
    ET.SubElement(root, "homePath", path="")
    ET.SubElement(root, "title").text = f"{folder.resolve().name}: {', '.join(run.facts['input'])}"
    ET.SubElement(root, "projectCrs").append(_crs(run))
    tree = ET.SubElement(root, "layer-tree-group")
    for name, layers in groups.items():
        shown = "Qt::Checked" if layers is result else "Qt::Unchecked"
        group = ET.SubElement(tree, "layer-tree-group", name=name, checked=shown, expanded="1")
        for node in layers:
            source, provider = node.findtext("datasource") or "", node.findtext("provider") or ""
            about = {"id": node.findtext("id") or "", "name": node.get("name") or "", "source": source}
            ET.SubElement(group, "layer-tree-layer", about | {"providerKey": provider, "checked": shown})
    root.append(_view(run))
    every = ET.SubElement(root, "projectlayers")
    for node in (node for layers in groups.values() for node in layers):
        node.attrib.pop("name")
        every.append(node)
    properties = ET.SubElement(root, "properties")
    for holder, name, kind, value in SETTINGS:
        ET.SubElement(ET.SubElement(properties, holder), name, type=kind).text = value
    text = HEAD + ET.tostring(root, encoding="unicode")
    with atomic(folder / PROJECT) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("run.qgs", FIXED_TIME), text, zipfile.ZIP_DEFLATED)
    return folder / PROJECT


def read_project(path: Path) -> ET.Element:
    """Return the XML of a project; raises OSError, KeyError, zipfile.BadZipFile or ET.ParseError."""
    with zipfile.ZipFile(path) as file:
        return ET.fromstring(file.read("run.qgs"))


def _layer(kind: str, name: str, source: str, provider: str, run: RunJson) -> ET.Element:
    node = ET.Element("maplayer", type=kind, autoRefreshMode="Disabled", name=name)
    ET.SubElement(node, "id").text = re.sub(r"\W", "_", name)
    ET.SubElement(node, "datasource").text = source
    ET.SubElement(node, "layername").text = name
    ET.SubElement(node, "provider", encoding="UTF-8").text = provider
    ET.SubElement(node, "srs").append(_crs(run))
    return node


def _polygons(folder: Path, run: RunJson) -> ET.Element:
    """Return the layer of polygons, in the style that lies in their file or beside it."""
    path = folder / str(run.polygons)
    node = _layer("vector", path.name, f"./{path.name}", "ogr", run)
    node.set("geometry", "Polygon")
    if path.suffix == ".gpkg":
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            name, style = db.execute("SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault").fetchone()
        node.find("datasource").text += f"|layername={name}"  # type: ignore[operator, union-attr]
    else:
        style = path.with_suffix(STYLE).read_text(encoding="utf-8")
    node.extend(ET.fromstring(style))
    return node


def _raster(name: str, layer: Layer, run: RunJson) -> ET.Element:
    node = _layer("raster", name, f"./{name}", "gdal", run)
    pipe = ET.SubElement(node, "pipe")
    pipe.append(_gray(layer) if layer.classes is None else paletted(layer.classes.classes))
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return node


def paletted(classes: Sequence[ClassInfo]) -> ET.Element:
    """Return how QGIS draws a raster of classes."""
    look = ET.Element("rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor="")
    ET.SubElement(look, "rasterTransparency")
    palette = ET.SubElement(look, "colorPalette")
    for c in classes:
        ET.SubElement(palette, "paletteEntry", value=str(c.id), color=c.hex, alpha="255", label=c.name)
    return look


def _gray(layer: Layer) -> ET.Element:
    """Return how QGIS draws numbers: probabilities from black, 0, to white, 1, others as it likes."""
    look = ET.Element("rasterrenderer", type="singlebandgray", grayBand="1", opacity="1", alphaBand="-1")
    ET.SubElement(look, "rasterTransparency")
    if layer.kind == "probability":
        stretch = ET.SubElement(look, "contrastEnhancement")
        for tag, text in (("minValue", "0"), ("maxValue", "1"), ("algorithm", "StretchToMinimumMaximum")):
            ET.SubElement(stretch, tag).text = text
    return look


def _crs(run: RunJson) -> ET.Element:
    node = ET.Element("spatialrefsys")
    authority = pyproj_crs(run.grid.crs).to_authority(min_confidence=100)
    ET.SubElement(node, "wkt").text = run.grid.crs.to_wkt(version="WKT2_2019")
    ET.SubElement(node, "authid").text = ":".join(authority) if authority else ""
    return node


def _view(run: RunJson) -> ET.Element:
    canvas = ET.Element("mapcanvas", name="theMapCanvas")
    extent = ET.SubElement(canvas, "extent")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), run.grid.bounds, strict=True):
        ET.SubElement(extent, tag).text = repr(float(value))
    ET.SubElement(canvas, "destinationsrs").append(_crs(run))
    return canvas
