"""The verbs: a list of them needs this table alone, and of their modules only that of the verb that runs is loaded."""

import re
from importlib import import_module
from keyword import iskeyword
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Verb: its module in geoseg.cli, and the first sentence of its docstring.
VERBS = {
    "demo": ("demo", "Map a scene that comes with geoseg: its buildings, scored against the truth, or its land cover."),
    "info": (
        "info",
        "Print a scene's bands, grid, resolution, nodata, masks and overviews, or the card of a model.",
    ),
    "plan": ("predict", "Print what a run would do and hold, as JSON: windows, chunks, resolution, memory, disk."),
    "predict": (
        "predict",
        "Map the classes of a scene: classes.tif and confidence.tif, georeferenced, with names and colours.",
    ),
    "buildings": (
        "predict",
        "Map the buildings of a scene: classes.tif, confidence.tif, and buildings.gpkg with their polygons.",
    ),
    "batch": (
        "batch",
        "Run the scenes of a glob, a CSV table or STAC items; skip what is complete, log and sum up the rest.",
    ),
    "finish": (
        "finish",
        "Write the outputs of a job whose parts are all done; exit code 7 where some are missing.",
    ),
    "vectorize": (
        "vectorize",
        "Draw the polygons of a raster and write them, styled: buildings, or all classes as a coverage.",
    ),
    "regularize": (
        "regularize",
        "Regularise building footprints that come from elsewhere; their attributes stay, and columns say what was "
        "done.",
    ),
    "refine": (
        "refine",
        "Draw polygons that come from elsewhere to what a scene shows; attributes stay, and columns say what was done.",
    ),
    "advise": (
        "advise",
        "Say which task, network, loss, split and how many labels a need asks for, and what not to do.",
    ),
    "autoconfig": (
        "autoconfig",
        "Look at scenes and labels, and write a training config with the reason of each choice.",
    ),
    "labels": ("labels", "Make a label raster of a scene."),
    "labels export": (
        "labels_exchange",
        "Write a scene as tiles and its polygons as labels that CVAT or Label Studio read.",
    ),
    "labels import": (
        "labels_exchange",
        "Bring what was drawn in CVAT or Label Studio back to the map, as polygons to train with.",
    ),
    "train": ("train", "Train a model on labelled scenes and write it as a bundle."),
    "fit": (
        "fit",
        "Fit a method without training to a scene and write it as a model: Otsu's threshold, or clusters of k-means.",
    ),
    "calibrate": (
        "calibrate",
        "Fit a model's probabilities and thresholds to labelled ground, without training, and write it as a bundle.",
    ),
    "prompt": (
        "prompt",
        "Answer prompts, points, boxes and polygons, with the objects that a promptable model sees there.",
    ),
    "segment": (
        "segment",
        "Cut a scene into superpixels: polygons with the mean of every band, ready to be labelled by a click.",
    ),
    "check-labels": (
        "check_labels",
        "Check the labels of a training: CRS, polygons, classes, splits, shifts, duplicates; exit code 8 at a fault.",
    ),
    "evaluate": (
        "evaluate",
        "Score a prediction: IoU, F1, confusion, kappa, boundaries, objects; compare it with another; report it.",
    ),
    "fetch-tiles": (
        "fetch_tiles",
        "Fetch the tiles of an area from a map service, XYZ in Web Mercator or WMTS, once, into a COG: a scene.",
    ),
    "report": (
        "report",
        "Write report.html, run.qgz (a QGIS project), item.json (STAC) and SHA256SUMS beside the outputs of a run.",
    ),
    "annotations": (
        "annotations",
        "Write the objects of a run as COCO files: instances.json, panoptic.json with panoptic.png, georeference.json.",
    ),
    "clean": (
        "clean",
        "Take thin parts, gaps and small patches out of a class map, the same for any tiling.",
    ),
    "review": (
        "review",
        "Write the windows of a map that are least sure, spread over classes and ground, as polygons to be corrected.",
    ),
    "monitor": (
        "monitor",
        "Compare the values and classes of runs over time with a model's training, or with other runs, as a page.",
    ),
    "areas": (
        "areas",
        "Write the hectares and share of every class in each zone, and how many polygons lie in it.",
    ),
    "change": (
        "change",
        "Compare two class maps of one grid: what became what, as a raster, polygons and hectares.",
    ),
    "models": ("models", "List the models that are here: task, bands, resolution, ground, scores, licence."),
    "import": (
        "import_",
        "Make a bundle of a network from elsewhere: an ONNX file, a checkpoint, or a STAC item with its file.",
    ),
    "export": (
        "export",
        "Write a bundle's network for ONNX Runtime, OpenVINO, Deepness in QGIS or STAC catalogues.",
    ),
    "check": (
        "check",
        "Re-read the outputs of a run and say whether they are sound; exit code 8 where one is not.",
    ),
    "verify": (
        "verify",
        "Run probes and a model over a crop in several ways, and compare bytes, memory and chunks; exit code 8 at a "
        "fault.",
    ),
    "qgis": (
        "qgis",
        "Install the plugin for QGIS, with algorithms for the Processing toolbox and a dock for review, or write its "
        "zip.",
    ),
    "run": (
        "run",
        "Run a config: its job decides what. A finished run's run.json runs again, with -o to another folder.",
    ),
}
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Verbs(TyperGroup):
    """A group that lists the table, and loads a verb when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=summary) for name, (_, summary) in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return a verb's name, which may be of two words, its command and the arguments that are left."""
        if (two := " ".join(args[:2])) in VERBS:
            args = [two, *args[2:]]
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if listed is None else command(args[0]), rest


def command(verb: str) -> Any:
    """Return the command of a verb, with its flags."""
    own = typer.Typer(add_completion=False)
    function = f"{verb}_" if iskeyword(verb) else re.sub("[- ]", "_", verb)
    own.command(verb, context_settings=SETTINGS)(getattr(import_module(f"geoseg.cli.{VERBS[verb][0]}"), function))
    return typer.main.get_command(own)
