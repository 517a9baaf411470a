"""Open outputs in QGIS and say what a user would see. Run by the system's Python, which has QGIS, not by pytest's.

usage: qgis_probe.py EXPECTED.json; expected: {"gpkg", "layer", "raster", "crs", "classes": {id: [name, "#rrggbb"]},
"polygon_classes", "count", "png"}, and of objects instead of the last {"ids", "names": {id: name}}.
Prints one JSON object {what: [ok, detail]}; exits with 0 also where something is wrong.
"""

import json
import os
import sys
import tempfile

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsDistanceArea,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

AREA_TOLERANCE = 1e-3
ENGINES = (Qgis.GeometryValidationEngine.Geos, Qgis.GeometryValidationEngine.QgisInternal)
findings: dict[str, list] = {}


def note(what: str, ok: bool, detail: object = "") -> None:
    findings[what] = [bool(ok), str(detail)]


def look_at_polygons(expected: dict) -> QgsVectorLayer:
    shown = [s.name() for s in QgsProviderRegistry.instance().querySublayers(expected["gpkg"])]
    name = expected["layer"]
    note("polygons: only the layer is offered", shown == [name], shown)
    layer = QgsVectorLayer(f"{expected['gpkg']}|layername={name}", name, "ogr")
    note("polygons: valid layer", layer.isValid(), layer.error().message())
    note("polygons: CRS", layer.crs().authid() == expected["crs"], layer.crs().authid())
    kind = QgsWkbTypes.displayString(layer.wkbType())
    note("polygons: type", kind == "MultiPolygon", kind)
    note("polygons: spatial index", int(layer.hasSpatialIndex()) == 2)
    note("polygons: title and abstract", layer.metadata().title() and layer.metadata().abstract())
    look_at_features(layer, expected)
    look_at_style(layer, expected)
    return layer


def look_at_features(layer: QgsVectorLayer, expected: dict) -> None:
    measure = QgsDistanceArea()
    measure.setSourceCrs(layer.crs(), QgsProject.instance().transformContext())
    measure.setEllipsoid("EPSG:7030")
    count = invalid = 0
    worst = 0.0
    extent = QgsRectangle()
    extent.setMinimal()
    for feature in layer.getFeatures():
        count += 1
        shape = feature.geometry()
        invalid += any(shape.validateGeometry(engine) for engine in ENGINES)
        true = measure.measureArea(shape)
        worst = max(worst, abs(feature["area_m2"] - true) / true)
        extent.combineExtentWith(shape.boundingBox())
    note("polygons: count", count == layer.featureCount() == expected["count"], f"{count}, {layer.featureCount()}")
    note("polygons: geometries valid", invalid == 0, invalid)
    note("polygons: areas", worst < AREA_TOLERANCE, worst)
    sides = zip(corners(layer.extent()), corners(extent), strict=True)
    note("polygons: extent", count == 0 or all(abs(a - b) < 1e-6 for a, b in sides), layer.extent().toString(2))


def corners(box: QgsRectangle) -> list[float]:
    return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]


def look_at_style(layer: QgsVectorLayer, expected: dict) -> None:
    renderer = layer.renderer()
    categorised = renderer.type() == "categorizedSymbol" and renderer.classAttribute() == "class_id"
    note("polygons: default style applied", categorised, renderer.type())
    categories = renderer.categories() if categorised else []
    seen = {int(c.value()): [c.label(), c.symbol().color().name()] for c in categories}
    note("polygons: legend", seen == {i: expected["classes"][str(i)] for i in expected["polygon_classes"]}, seen)
    field = layer.fields().indexOf("class_id")
    values = set(map(int, layer.uniqueValues(field)))
    note("polygons: every value styled", values <= set(seen), values)
    widget = layer.editorWidgetSetup(field).type()
    note("polygons: class ids shown by name", widget == "ValueMap", widget)
    alias = layer.fields().field("area_m2").alias()
    note("polygons: aliases", alias == "Area [m²]", alias)


def look_at_raster(expected: dict) -> QgsRasterLayer:
    layer = QgsRasterLayer(expected["raster"], "classes", "gdal")
    note("raster: valid layer", layer.isValid(), layer.error().message())
    note("raster: CRS", layer.crs().authid() == expected["crs"], layer.crs().authid())
    provider = layer.dataProvider()
    note("raster: nodata", provider.sourceHasNoDataValue(1) and provider.sourceNoDataValue(1) == 0)
    note("raster: paletted", layer.renderer().type() == "paletted", layer.renderer().type())
    classes = layer.renderer().classes() if layer.renderer().type() == "paletted" else []
    seen = {int(c.value): [c.label, c.color.name()] for c in classes}
    named = {int(i): entry for i, entry in expected["classes"].items()}
    rows = {i: entry for i, entry in seen.items() if i in named}
    note("raster: every class named and coloured", rows == named, seen)
    others = {i: label for i, (label, _) in seen.items() if i not in named}
    note("raster: no junk rows", all(label in ("No data", "(not used)") for label in others.values()), others)
    pyramids = [p for p in provider.buildPyramidList() if (p.getExists() if hasattr(p, "getExists") else p.exists)]
    note("raster: overviews", pyramids, len(pyramids))
    return layer


def look_at_ids(expected: dict) -> None:
    """Look at a raster of objects, which its style file colours: an entry for each, named, in shades of its class."""
    layer = QgsRasterLayer(expected["ids"], "ids", "gdal")
    note("ids: valid layer", layer.isValid(), layer.error().message())
    note("ids: paletted", layer.renderer().type() == "paletted", layer.renderer().type())
    seen = {int(c.value): c.label for c in layer.renderer().classes()}
    note("ids: every value named", seen == {int(i): name for i, name in expected["names"].items()}, seen)
    colors = [c.color.name() for c in layer.renderer().classes()]
    note("ids: shades", len(set(colors)) > len(expected["classes"]), len(set(colors)))


def look_at_map(layers: list, expected: dict) -> None:
    """Draw over magenta: nodata must let it through, and every class must show its own colour."""
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setOutputSize(QSize(1100, 700))
    settings.setBackgroundColor(QColor(255, 0, 255))
    settings.setDestinationCrs(layers[-1].crs())
    settings.setExtent(layers[-1].extent())
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    image.save(expected["png"])
    seen = {image.pixelColor(x, y).name() for x in range(0, 1100, 5) for y in range(0, 700, 5)}
    colors = {color for _, color in expected["classes"].values()}
    note("map: nodata lets the background through", image.pixelColor(20, 20).name() == "#ff00ff")
    note("map: class colours", colors <= seen, sorted(seen)[:8])
    note("map: drawn without errors", not job.errors(), [e.message for e in job.errors()])


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        expected = json.load(file)
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    polygons = look_at_polygons(expected)
    raster = look_at_raster(expected)
    if "ids" in expected:
        look_at_ids(expected)
    elif polygons.isValid() and raster.isValid():
        look_at_map([polygons, raster], expected)
    print(json.dumps(findings, ensure_ascii=False))
    sys.stdout.flush()
    os._exit(0)  # leaving QGIS the usual way crashes on machines without a screen


main()
