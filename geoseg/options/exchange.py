"""What a network from elsewhere does not say of itself, as its user says it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite
from typing import Annotated, Any, Literal

from geoseg.errors import ConfigError
from geoseg.options.option import Checked, Option, Text, at_least, span
from geoseg.untrusted.text import parse_json
from geoseg.values.classes import ClassInfo, parse_color

Layout = Literal["nchw", "nhwc"]
Answers = Literal["logits", "softmax", "sigmoid"]
DETECTORS = ("mask2former", "rf-detr-seg", "mask-rcnn", "yolo-seg")  # families that list objects
# Of classes whose colour is not given, in order; after ten they begin anew, darker.
PALETTE = (
    (233, 229, 220), (200, 66, 46), (56, 118, 60), (52, 110, 190), (226, 172, 57), (130, 90, 160), (140, 200, 120),
    (150, 110, 80), (90, 190, 190), (120, 120, 125),
)  # fmt: skip


def parse_classes(text: str) -> tuple[ClassInfo, ...]:
    """Return the classes of a list of names, numbered from 1; raises ConfigError.

    >>> [(c.id, c.name, c.hex) for c in parse_classes("background, building=#c8422e")]
    [(1, 'background', '#e9e5dc'), (2, 'building', '#c8422e')]
    """
    classes = []
    for i, part in enumerate(text.split(",")):
        name, _, color = (piece.strip() for piece in part.partition("="))
        if not name:
            raise ConfigError(f"{text}: write {CLASSES.form}")
        own = tuple(value // (1 + i // len(PALETTE)) for value in PALETTE[i % len(PALETTE)])
        classes.append(ClassInfo(i + 1, name, parse_color(color) if color else (own[0], own[1], own[2])))
    return tuple(classes)


def parse_numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of a list with commas; raises ConfigError.

    >>> parse_numbers("123.7, 116.3,103.5")
    (123.7, 116.3, 103.5)
    """
    return tuple(_finite(part, text, NUMBERS) for part in text.split(","))


def _finite(part: str, text: str, form: Text) -> float:
    """Return the number that ``part`` of a text is; raises ConfigError."""
    try:
        value = float(part)
    except ValueError:
        value = inf
    if not isfinite(value):
        raise ConfigError(f"{text}: write {form.form}")
    return value


def parse_metres(text: str) -> float | Literal["any"]:
    """Return a resolution, or that any will do; raises ConfigError."""
    return "any" if text == "any" else _finite(text, text, METRES)


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object; raises ConfigError."""
    try:
        value = parse_json(text.encode())
    except ValueError as error:
        raise ConfigError(f"{text}: {error}; write {JSON.form}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{text}: write {JSON.form}")
    return value


JSON = Text("JSON", 'a JSON object, e.g. {"key": 1}', parse_object)
CLASSES = Text("NAME[=#rrggbb],…", "names with commas between them, a colour after = where wanted", parse_classes)
NUMBERS = Text("N,…", "a number, or one for each band with commas between them", parse_numbers)
METRES = Text("METRES|any", "a resolution in metres, or any", parse_metres)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions(Checked):
    """What a network's file does not say; None: as the file says, the bundle that it is like, or a run of it."""

    TOPIC = "Model"

    classes: Annotated[
        tuple[ClassInfo, ...] | None, Option("Its classes, in the order of its channels.", text=CLASSES)
    ] = None
    bands: Annotated[str | None, Option("Its bands in order, e.g. red,green,blue or B02,B03,B04.")] = None
    sensor: Annotated[str | None, Option("Sensor that gives the bands wavelengths, e.g. sentinel-2.")] = None
    gsd_m: Annotated[
        float | Literal["any"] | None, Option("Ground resolution that it was trained at.", text=METRES)
    ] = None
    mean: Annotated[
        tuple[float, ...] | None,
        Option("What is subtracted from the scene's physical values, of all bands or of each.", text=NUMBERS),
    ] = None
    std: Annotated[tuple[float, ...] | None, Option("What they are divided by then.", text=NUMBERS)] = None
    normalises: Annotated[bool, Option("The network takes physical values: it normalises them itself.")] = False
    quantity: Annotated[Literal["reflectance"] | None, Option("What the bands hold, where it is reflectance.")] = None
    polygon_class: Annotated[str | None, Option("Class that polygons are drawn of.")] = None
    model_name: Annotated[str | None, Option("Its name.", unset="that of the bundle's folder")] = None
    licence: Annotated[str | None, Option("Licence of the weights.")] = None
    attribution: Annotated[str | None, Option("Who made it.")] = None
    window_px: Annotated[
        int | None, Option("Side of its windows.", unset="the file's, else 512", limit=at_least(1))
    ] = None
    margin_px: Annotated[
        int | None,
        Option("Margin of a window that counts nothing.", unset="as calibrated, else an eighth", limit=at_least(0)),
    ] = None
    ramp_px: Annotated[
        int | None, Option("Ramp over which windows blend.", unset="as the margin", limit=at_least(0))
    ] = None
    multiple_px: Annotated[
        int | None, Option("Windows are multiples of it.", unset="found by probing", limit=at_least(1))
    ] = None
    layout: Annotated[Layout | None, Option("Order of the axes of its input.", unset="found by probing")] = None
    answers: Annotated[Answers | None, Option("What it answers.", unset="found by probing")] = None
    network: Annotated[
        str | None, Option("Which of geoseg's networks a checkpoint is of.", unset="as it says", metavar="NAME")
    ] = None
    network_options: Annotated[
        dict[str, Any] | None, Option('The network\'s options, e.g. {"encoder_name": "resnet18"}.', text=JSON)
    ] = None
    output: Annotated[str | None, Option("Which of its outputs, where it has several.", metavar="NAME")] = None

    family: Annotated[
        Literal[
            "sam", "sam2", "sam2-video", "sam3", "grounding-dino", "mask2former", "rf-detr-seg", "mask-rcnn", "yolo-seg"
        ]
        | None,
        Option(
            "A folder of transformers with SAM, SAM 2 or 2.1 (sam2-video: for several dates), SAM 3, Grounding DINO, a "
            "Mask2Former or an RF-DETR-seg; mask-rcnn: torchvision's file; yolo-seg: a YOLO of masks as ONNX file.",
            unset="none of these",
        ),
    ] = None
    accept_licence: Annotated[
        bool, Option("You accept the licence of weights whose licence binds those who use them: SAM 3.")
    ] = False

    least_score: Annotated[
        float | None, Option("Least score of an object, of a detector.", unset="0.5, of YOLO 0.25", limit=span(0, 1))
    ] = None
    per_window: Annotated[
        int | None, Option("Most objects of a window, of a detector.", unset="100, of YOLO 300", limit=span(1, 2000))
    ] = None

    def _faults(self) -> Iterator[str]:
        if self.family not in DETECTORS and (self.least_score, self.per_window) != (None, None):
            yield f"least-score and per-window: are of detectors; give --family {', '.join(DETECTORS)}"
        if self.network_options is not None and self.family not in (None, "mask-rcnn"):
            yield f"network-options: what is given with --family {self.family} says them itself; leave them out"
        if self.normalises and (self.mean or self.std):
            yield "normalises: goes without mean and std"
        if (self.mean is None) != (self.std is None):
            yield "mean and std: give both"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions(Checked):
    """For whom a bundle's network is written."""

    TOPIC = "Export"

    to: Annotated[
        Literal["onnx", "openvino", "deepness", "mlm"],
        Option("onnx: a file; openvino: two; deepness: a file for the QGIS plugin; mlm: a STAC item and its files."),
    ] = "onnx"
    int8: Annotated[bool, Option("Compute in 8 bits, with ranges from half of the calibration windows.")] = False
    physical: Annotated[bool, Option("Put the normalisation inside: the network takes physical values.")] = False

    def _faults(self) -> Iterator[str]:
        if self.physical and self.to in ("deepness", "mlm"):
            yield f"physical: goes with onnx and openvino; {self.to} says itself what it is fed"
