"""geoseg evaluate: scores of a prediction against truth, alone or beside those of another, and a report of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.cli.options import Overwrite, spread
from geoseg.cli.table import print_json, table
from geoseg.disk.files import write_json
from geoseg.errors import ConfigError
from geoseg.options.evaluate import CompareOptions, EvaluateOptions

if TYPE_CHECKING:
    from geoseg.jobs.evaluate.tables import Table


@spread
def evaluate(
    prediction: Annotated[
        str, typer.Argument(metavar="PREDICTION", help="An output folder, a class raster, or polygons.")
    ],
    *,
    truth: Annotated[
        str,
        typer.Option(
            metavar="FILE[:LAYER]", help="Polygons, or a class raster on the prediction's grid.", show_default=False
        ),
    ],
    options: EvaluateOptions,
    compare: CompareOptions,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Both are rasters of numbers: RMSE, MAE, bias and R², in their unit.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores as JSON to this file; - is stdout, without a table.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Write a GeoTIFF of what is right, missed, invented, and within the tolerance.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with scores, confusion and maps of the worst places (.html).")
    ] = None,
    blind: Annotated[
        Path | None,
        typer.Option(help="With --against: write a page that shows both as A or B (.html), and its key beside it."),
    ] = None,
    scene: Annotated[
        str | None, typer.Option(help="Imagery for --report and --blind (default: the scene of the run's folder).")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Score a prediction: IoU, F1, confusion, kappa, boundaries, objects; compare it with another; report it."""
    from geoseg.jobs.evaluate import Files, evaluate_files, files_behind, tables

    target = None if json_file == Path("-") else json_file
    files = Files(errors=errors, report=report, blind=blind, scene=scene, json=target)
    head = {"prediction": prediction, "truth": truth, "aoi": options.aoi}
    if numbers:
        from geoseg.jobs.evaluate.numbers import evaluate_numbers, numbers_json

        if compare != CompareOptions() or files != Files(json=target):
            raise ConfigError("--numbers prints scores alone; --against, --errors, --report and --blind are of classes")
        files.refuse(files_behind(prediction, truth, options.aoi, options.zones), overwrite=overwrite)
        found = numbers_json(evaluate_numbers(prediction, truth, options))
        _say(json_file, {**head, **found}, tables.of_numbers(found))
        return
    done = evaluate_files(prediction, truth, options, compare=compare, files=files, overwrite=overwrite)
    scores, changed = done.scores.as_json(), None if done.comparison is None else done.comparison.as_json()
    against = {} if changed is None else {"against": compare.against, "comparison": changed}
    parts = [*tables.of_classes(scores), *(() if changed is None else tables.of_changes(changed))]
    _say(json_file, {**head, **scores, **against}, parts)
    if done.comparison is not None and compare.not_worse is not None:
        done.comparison.refuse_worse(compare.not_worse)


def _say(json_file: Path | None, scores: dict[str, Any], parts: "Iterable[Table | str]") -> None:
    """Print scores as tables, or as JSON where stdout was named, and write them as JSON to a file that was."""
    if json_file == Path("-"):
        print_json(scores)
        return
    print("\n\n".join(part if isinstance(part, str) else table(part.rows, head=part.head) for part in parts))
    if json_file is not None:
        write_json(json_file, scores)
