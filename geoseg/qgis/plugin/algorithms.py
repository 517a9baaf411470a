"""geoseg's verbs as Processing algorithms: a table of them, and what runs one."""

import json
import shlex
from collections import namedtuple
from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingOutputHtml,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
    QgsProject,
    QgsVectorLayer,
)

from .command import executable, run

KEPT = []  # QGIS keeps no reference to what is made in Python
FORMATS = ["gpkg", "fgb", "geojson", "shp"]  # of layers, that geoseg reads as they are
# A parameter: its name, what is shown, its kind, its flag (None: it stands alone), its default or choices, optional.
Parameter = namedtuple("Parameter", "name label kind flag given optional", defaults=(None, None, False))
Spec = namedtuple("Spec", "verb label help parameters flags", defaults=(("--overwrite",),))  # the dialog asks before
RUN = ("--overwrite", "--report")

SCENE = Parameter("INPUT", "Scene", "raster")
MODEL = Parameter("MODEL", "Model: a name that geoseg models lists, or a folder", "text", "--model", "", True)
AOI = Parameter("AOI", "Area of interest", "vector", "--aoi", None, True)
MIN_AREA = Parameter("MIN_AREA", "Least area [m²]", "number", "--min-area-m2", None, True)
TOLERANCE = Parameter("TOLERANCE", "How far a wall may stray [m]", "number", "--tolerance-m", None, True)
DETAIL = Parameter("DETAIL", "Detail", "choice", "--detail", ("normal", "plain", "fine"), True)
FOLDER = Parameter("OUTPUT", "Folder of the outputs", "folder", "--output")
POLYGONS = Parameter("OUTPUT", "Polygons", "polygons", "--output")

VERBS = (
    Spec(
        "predict",
        "Map classes",
        "Maps the classes of a scene: class map and confidence, styled.",
        (SCENE, MODEL, AOI, FOLDER),
        RUN,
    ),
    Spec(
        "buildings",
        "Map buildings",
        "Maps the buildings of a scene: class map, confidence, and regularised polygons, styled.",
        (SCENE, MODEL, AOI, MIN_AREA, TOLERANCE, DETAIL, FOLDER),
        RUN,
    ),
    Spec(
        "prompt",
        "Segment what is pointed at",
        "Answers points, boxes and outlines with the objects that SAM sees. Columns: object; label, 1 in, 0 out.",
        (
            SCENE,
            Parameter("PROMPTS", "Points, boxes and outlines", "features"),
            Parameter("MODEL", "Promptable model: a folder that geoseg import made", "model", "--model"),
            FOLDER,
        ),
    ),
    Spec(
        "vectorize",
        "Draw polygons of a raster",
        "Draws polygons of probabilities or classes: buildings with straight walls, or all classes as a coverage.",
        (
            Parameter("INPUT", "Raster of probabilities or classes", "raster"),
            Parameter("KIND", "Kind", "choice", "--kind", ("buildings", "coverage")),
            Parameter("BAND", "Band number or name", "text", "--band", "", True),
            Parameter("CLASS", "Class to draw", "text", "--class-id", "", True),
            MIN_AREA, TOLERANCE, POLYGONS,
        ),
    ),
    Spec(
        "regularize",
        "Regularise footprints",
        "Gives building footprints from elsewhere straight walls and right corners; their attributes stay.",
        (Parameter("INPUT", "Footprints", "vector"), MIN_AREA, TOLERANCE, POLYGONS),
    ),
    Spec(
        "evaluate",
        "Score against a truth",
        "Scores a run or a class raster against a truth: IoU, F1, confusion, boundaries, objects.",
        (
            Parameter("INPUT", "Folder of a run, or a raster or vector file", "file"),
            Parameter("TRUTH", "Truth: polygons, or a raster of classes", "file", "--truth"),
            AOI,
            Parameter("OUTPUT", "Scores", "json", "--json"),
        ),
        (),
    ),
    Spec(
        "check-labels",
        "Check the labels of a training",
        "Looks for what is wrong with labels: CRS, polygons, classes, splits, shifts, duplicates; writes report.html.",
        (
            Parameter("INPUT", "Config of the training (YAML)", "file"),
            Parameter("DATA", "Folder where its data paths start", "text", "--data", "", True),
            FOLDER,
        ),
    ),
)  # fmt: skip


class IntoGroup(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer that was loaded its own style, and moves it into a group: polygons to the top, rasters below."""

    def __init__(self, group):
        super().__init__()
        self.group = group

    def postProcessLayer(self, layer, _context, _feedback):  # noqa: N802
        """Style it, which Processing does not, and move it."""
        layer.loadDefaultStyle()
        root = QgsProject.instance().layerTreeRoot()
        node = root.findLayer(layer.id())
        if node is None:
            return
        group = root.findGroup(self.group) or root.insertGroup(0, self.group)
        group.insertChildNode(0 if isinstance(layer, QgsVectorLayer) else -1, node.clone())
        node.parent().removeChildNode(node)


class Verb(QgsProcessingAlgorithm):
    """A verb of geoseg's command line."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec

    def createInstance(self):  # noqa: N802
        """Return another one."""
        return Verb(self.spec)

    def name(self):
        """Return the second part of its name."""
        return self.spec.verb.replace("-", "")

    def displayName(self):  # noqa: N802
        """Return what the toolbox shows."""
        return self.spec.label

    def shortHelpString(self):  # noqa: N802
        """Return what it does."""
        return f"{self.spec.help}\n\nRuns geoseg {self.spec.verb} in an environment of its own."

    def initAlgorithm(self, _config=None):  # noqa: N802
        """Declare what it asks for."""
        for parameter in self.spec.parameters:
            self.addParameter(_definition(parameter))
        more = QgsProcessingParameterString("FLAGS", f"More flags, as of geoseg {self.spec.verb} --help", optional=True)
        more.setFlags(more.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(more)
        if self.spec.parameters[-1].kind == "folder":
            self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))  # which QGIS shows among its results

    def processAlgorithm(self, parameters, context, feedback):  # noqa: N802
        """Run it, and load what it has made."""
        command = [executable(), self.spec.verb]
        for parameter in self.spec.parameters:
            value = self._value(parameter, parameters, context, feedback)
            if value not in ("", None):
                command += [value] if parameter.flag is None else [parameter.flag, value]
        command += [*shlex.split(self.parameterAsString(parameters, "FLAGS", context)), *self.spec.flags]
        run([*command, "--progress", "json"], feedback)
        if feedback.isCanceled():
            return {}
        output = self._value(self.spec.parameters[-1], parameters, context, feedback)
        for path, name in made_layers(Path(output), self.spec):
            details = QgsProcessingContext.LayerDetails(name, context.project(), name)
            KEPT.append(IntoGroup(Path(output).stem))
            details.setPostProcessor(KEPT[-1])
            context.addLayerToLoadOnCompletion(path, details)
        report = Path(output) / "report.html"
        return {"OUTPUT": output, **({"REPORT": str(report)} if report.is_file() else {})}

    def _value(self, parameter, parameters, context, feedback):
        """Return a parameter as a word of the command line."""
        name, kind = parameter.name, parameter.kind
        if parameters.get(name) is None and parameter.optional:
            return ""
        if kind in ("vector", "features"):
            asked = (parameters, name, context, FORMATS, "gpkg", feedback)
            path, layer = self.parameterAsCompatibleSourceLayerPathAndLayerName(*asked)
            return f"{path}|layername={layer}" if layer else path
        read = {
            "raster": lambda: self.parameterAsRasterLayer(parameters, name, context).source(),
            "choice": lambda: parameter.given[self.parameterAsEnum(parameters, name, context)],
            "number": lambda: repr(self.parameterAsDouble(parameters, name, context)),
            "polygons": lambda: self.parameterAsOutputLayer(parameters, name, context),
        }
        return read.get(kind, lambda: self.parameterAsString(parameters, name, context))()


def _definition(parameter):
    """Return the Processing parameter of one in the table."""
    name, label, kind, _, given, optional = parameter
    polygons, double = QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessingParameterNumber.Type.Double
    shapes = [QgsProcessing.SourceType.TypeVectorAnyGeometry]
    made = {
        "raster": lambda: QgsProcessingParameterRasterLayer(name, label, optional=optional),
        "vector": lambda: QgsProcessingParameterVectorLayer(name, label, [polygons], optional=optional),
        "features": lambda: QgsProcessingParameterFeatureSource(name, label, shapes, optional=optional),
        "choice": lambda: QgsProcessingParameterEnum(name, label, list(given), defaultValue=0),
        "number": lambda: QgsProcessingParameterNumber(name, label, double, optional=optional, minValue=0),
        "folder": lambda: QgsProcessingParameterFolderDestination(name, label),
        "polygons": lambda: QgsProcessingParameterVectorDestination(name, label, polygons),
        "json": lambda: QgsProcessingParameterFileDestination(name, label, "JSON (*.json)"),
        "file": lambda: QgsProcessingParameterFile(name, label, optional=optional),
        "model": lambda: QgsProcessingParameterFile(name, label, QgsProcessingParameterFile.Behavior.Folder),
        "text": lambda: QgsProcessingParameterString(name, label, defaultValue=given, optional=optional),
    }
    return made[kind]()


def made_layers(output, spec):
    """Return the layers to load, and their names; QGIS loads them by their paths' order."""
    kind = spec.parameters[-1].kind
    if kind == "polygons":
        return [(str(output), spec.label)]
    run_file = output / "run.json"
    if kind != "folder" or not run_file.is_file():
        return []
    made = json.loads(run_file.read_text(encoding="utf-8"))["outputs"]
    names = [name for name in made if name.endswith((".tif", ".gpkg"))]
    return [(str(output / name), f"{output.name}: {name}") for name in names]
