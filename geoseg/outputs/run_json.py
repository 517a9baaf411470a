"""run.json for its readers: what it says of the rasters, classes and polygons beside it. ``jobs/record`` writes it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from affine import Affine
from rasterio.crs import CRS

from geoseg.disk.files import refuse_special
from geoseg.disk.places import written_beside
from geoseg.errors import InputError
from geoseg.outputs.ids_table import beside_ids
from geoseg.outputs.pam import pam_path
from geoseg.values.classes import ClassMap
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer, class_layer, probability_layer

RUN_FILE = "run.json"
REPORT, PROJECT, ITEM, SUMS = REPORTED = ("report.html", "run.qgz", "item.json", "SHA256SUMS")  # for people
# What ``RunJson.read`` raises for a damaged file, or one of somebody else; RecursionError: a million brackets.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
KEYS = ("software", "version", "model", "input", "grid", "classes", "outputs")


class NoMapError(ValueError):
    """A run.json of a job that has made no map."""


@dataclass(frozen=True, slots=True)
class RunJson:
    """What the run.json of a finished run says."""

    facts: Mapping[str, Any]
    """All of it."""
    grid: Grid
    """Of the rasters."""
    classes: ClassMap
    """What is mapped."""
    layers: tuple[Layer, ...]
    """What the rasters hold, in the order of their bands."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read run.json in ``folder``; raises OSError, InputError, and a builtin error for what is no run.json."""
        refuse_special(folder / RUN_FILE)
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if "prompts" in facts:
            raise NoMapError("holds objects of geoseg prompt, which are there to be corrected, and no map")
        if "segments" in facts and "classes" not in facts:
            raise NoMapError("holds superpixels of geoseg segment, which are there to be named, and no map")
        if missing := [key for key in KEYS if key not in facts]:
            raise ValueError(f"lacks {', '.join(missing)}")
        classes, grid = ClassMap.from_json(facts["classes"]), facts["grid"]
        height, width = grid["shape"]
        known = facts.get("layers")
        run = cls(
            facts=facts,
            grid=Grid(CRS.from_string(grid["crs"]), Affine(*grid["transform"]), (height, width)),
            classes=classes,
            layers=_older(classes, facts["outputs"]) if known is None else tuple(map(Layer.from_json, known)),
        )
        _refuse_paths([*facts["outputs"], *run.expected])
        return run

    @property
    def files(self) -> dict[str, tuple[Layer, ...]]:
        """The bands of every raster, by its name."""
        names = dict.fromkeys(layer.file for layer in self.layers if layer.file is not None)
        return {name: tuple(layer for layer in self.layers if layer.file == name) for name in names}

    @property
    def first(self) -> Layer:
        """The layer of classes, whose ids were counted; of a model of quantities alone its first layer.

        Raises ValueError where there is none.
        """
        written = [layer for layer in self.layers if layer.file]
        found = [layer for layer in written if layer.classes is not None] or written
        if not found or (found[0].classes is None and len(self.classes)):
            raise ValueError("has no layer of classes")
        return found[0]

    @property
    def class_file(self) -> str:
        """Name of the raster of the classes; raises ValueError where there is none."""
        if self.first.classes is None:
            raise ValueError(f"holds no classes, only {', '.join(self.files)}")
        return str(self.first.file)

    @property
    def polygons(self) -> str | None:
        """Name of the file of polygons, None where there is none."""
        stated = self.facts.get("polygons")
        return None if stated is None else str(stated["file"])

    @property
    def instances(self) -> str | None:
        """Name of the file of objects, None where there is none."""
        stated = self.facts.get("instances")
        return None if stated is None else str(stated["file"])

    @property
    def pixels(self) -> dict[int, int]:
        """Number of pixels by class id."""
        return {row["id"]: row["pixels"] for row in self.facts["classes"]}

    @property
    def expected(self) -> tuple[str, ...]:
        """Names of all outputs that layers and polygons make."""
        drawn = Path(self.polygons or "")
        polygons = (drawn.name, *(path.name for path in written_beside(drawn))) if self.polygons else ()
        table = [pam_path(Path(self.class_file)).name] if len(self.classes) else []
        raster = self.facts["instances"]["raster"] if self.instances else ""
        objects = (self.instances, *beside_ids(raster)) if self.instances else ()
        return (*self.files, *table, *polygons, *objects)

    def band(self, name: str) -> tuple[str, int]:
        """Return the file and the 1-based band of a layer; raises KeyError."""
        places = {layer.name: (file, i) for file, layers in self.files.items() for i, layer in enumerate(layers, 1)}
        return places[name]


def finished_run(folder: Path) -> RunJson:
    """Return what a finished run's folder says of itself; raises InputError."""
    try:
        return RunJson.read(folder)
    except UNREADABLE as error:  # ConfigError is a ValueError
        raise InputError(f"{folder / RUN_FILE}: no finished run ({error}); name its folder, or run it again") from error


def _older(classes: ClassMap, outputs: Iterable[str]) -> tuple[Layer, ...]:
    """Return the layers of a run.json that does not list them, as geoseg wrote until 0.1."""
    every = (
        class_layer("classes", classes, file="classes.tif"),
        *(probability_layer(name, "", file=f"{name}.tif") for name in ("confidence", "entropy")),
        *(probability_layer(f"probability_{c.name}", "", file="probabilities.tif") for c in classes),
    )
    return tuple(layer for layer in every if layer.file in {"classes.tif", *outputs})


def _refuse_paths(names: Iterable[str]) -> None:
    """Raise ValueError for a name that leads out of the folder: GDAL would open it, wherever it is."""
    for name in names:
        if name in ("", ".", "..") or Path(name).name != name:
            raise ValueError(f"{name!r} is no name of a file in the folder")
