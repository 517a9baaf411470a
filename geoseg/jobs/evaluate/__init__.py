"""Scores of a prediction against truth: reads both onto one grid, then leaves the counting to ``geoseg.trust``."""

from collections.abc import Mapping
from math import ceil
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.jobs.evaluate.errors import refuse_existing, write_errors
from geoseg.jobs.evaluate.ground import Ground
from geoseg.jobs.evaluate.meaning import predicted_ids, true_ids
from geoseg.jobs.evaluate.scores import Evaluation
from geoseg.jobs.evaluate.shapes import objects_on, polygonal, score_in_metres
from geoseg.jobs.evaluate.sides import BUILDINGS, Prediction, Truth, class_table
from geoseg.options.evaluate import EvaluateOptions, NoNodata
from geoseg.trust import BoundaryMatch, Confusion, match_boundaries, match_objects
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid

__all__ = ["Evaluation", "Prediction", "Truth", "class_table", "evaluate"]

STRIP_ROWS = 512
REACH_PX = 64  # distances of boundaries are measured so far


def evaluate(
    prediction: str | Path,
    truth: str | Path,
    *,
    aoi: str | Path | None = None,
    column: str | None = None,
    layer: str | None = None,
    values: Mapping[str, str] | None = None,
    nodata: float | NoNodata | None = None,
    tolerance_m: float = 1.0,
    errors: str | Path | None = None,
) -> Evaluation:
    """Score a prediction against truth, on the ground of ``aoi`` where given, else wherever both say something.

    prediction: an output folder, a class raster, or polygons of buildings; truth: a class raster on the same grid, or
    polygons. Polygons without a class (see ``column``) are buildings, and all other ground is background. layer: of
    the truth's file. values: name or id of the class, or nodata, by value of the truth's raster or column. nodata: of
    rasters that geoseg did not write, instead of what they say. errors: a GeoTIFF to write of what is right, missed and
    invented. Raises InputError, ConfigError and OutputError.
    """
    if errors is not None:
        refuse_existing(Path(errors))
    EvaluateOptions(tolerance_m=tolerance_m)  # refuses what is none
    found = Prediction.find(prediction, nodata=nodata)
    right = Truth.find(truth, layer=layer, column=column, values=values or {}, nodata=nodata)
    ground = Ground.of(found, right, aoi=aoi, tolerance_m=tolerance_m)
    labels, classes = true_ids(right, ground, found.classes)
    answers = predicted_ids(found, ground, binary=classes is not found.classes)
    judged = ground.mask & (labels != NODATA) & (answers != NODATA)
    labels, answers = np.where(judged, labels, NODATA), np.where(judged, answers, NODATA)
    if not judged.any():
        raise InputError(f"{truth}: nothing to judge; truth, prediction and aoi share no ground")
    objects, polygons = None, None
    if found.polygons is not None and right.polygons is not None and classes == BUILDINGS:
        true_ones, answered = (objects_on(p, ground, judged) for p in (right.polygons, found.polygons))
        objects = match_objects(*(polygonal(shapely.make_valid(o.geometry.values)) for o in (true_ones, answered)))
        polygons = score_in_metres(true_ones, answered, tolerance_m)
    confusion, boundaries = _count(labels, answers, classes, ground.grid, tolerance_m)
    if errors is not None:
        background = next((c.id for c in classes if c.name == "background"), None)
        write_errors(Path(errors), labels, answers, ground.grid, background=background, near_m=tolerance_m)
    return Evaluation(classes, confusion, boundaries, objects, polygons, tolerance_m)


def _count(
    labels: NDArray[np.uint8], answers: NDArray[np.uint8], classes: ClassMap, grid: Grid, tolerance_m: float
) -> tuple[Confusion, dict[int, BoundaryMatch]]:
    """Count pixels and boundaries strip by strip: distances take 40 bytes a pixel, which a whole scene has not."""
    confusion, boundaries = Confusion.empty(classes.max_id), {c.id: BoundaryMatch() for c in classes}
    pixel_size_m = grid.ground_resolution_m()
    reach_m = max(tolerance_m, REACH_PX * min(pixel_size_m))
    rim = ceil(reach_m / pixel_size_m[0]) + 2
    for row in range(0, grid.height, STRIP_ROWS):
        first, end = max(row - rim, 0), min(row + STRIP_ROWS, grid.height)
        truth, answer = labels[first : end + rim], answers[first : end + rim]
        core = slice(row - first, end - first), slice(None)
        confusion = confusion.add(truth[core], answer[core])
        for c in classes:
            boundaries[c.id] += match_boundaries(
                truth == c.id,
                answer == c.id,
                tolerance_m=tolerance_m,
                pixel_size_m=pixel_size_m,
                reach_m=reach_m,
                valid=truth != NODATA,
                counted=core,
            )
    return confusion, boundaries
