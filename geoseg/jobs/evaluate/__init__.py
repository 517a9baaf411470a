"""Scores of a prediction against truth: reads both onto one grid, then leaves the counting to ``geoseg.trust``."""

from collections.abc import Mapping
from pathlib import Path

from geoseg.jobs.evaluate.files import Files, evaluate_files, files_behind
from geoseg.jobs.evaluate.judged import Judged, judge
from geoseg.jobs.evaluate.scores import Evaluation
from geoseg.jobs.evaluate.sides import Prediction, Truth, class_table
from geoseg.options.evaluate import EvaluateOptions, NoNodata

__all__ = [
    "Evaluation",
    "Files",
    "Judged",
    "Prediction",
    "Truth",
    "class_table",
    "evaluate",
    "evaluate_files",
    "files_behind",
    "judge",
]


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

    prediction: an output folder, a class raster, or polygons; truth: a class raster on the same grid, or polygons.
    Polygons without a class (see ``column``) are buildings, and all other ground is background; polygons of both sides
    that have the column are judged class by class. layer: of the truth's file. values: name or id of the class, or
    nodata, by value of the truth's raster or column. nodata: of rasters that geoseg did not write, instead of what they
    say. errors: a GeoTIFF to write of what is right, missed and invented. Raises InputError, ConfigError and
    OutputError.
    """
    options = EvaluateOptions(
        aoi=None if aoi is None else str(aoi),
        column=column,
        layer=layer,
        values=values,
        nodata=nodata,
        tolerance_m=tolerance_m,
    )
    return evaluate_files(
        prediction, truth, options, files=Files(errors=None if errors is None else Path(errors))
    ).scores
