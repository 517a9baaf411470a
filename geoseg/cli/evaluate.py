"""geoseg evaluate: scores of a prediction against truth."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from geoseg.cli.options import spread
from geoseg.cli.table import table
from geoseg.options.evaluate import EvaluateOptions


@spread
def evaluate(
    prediction: Annotated[
        str, typer.Argument(metavar="PREDICTION", help="An output folder, a class raster, or building polygons.")
    ],
    *,
    truth: Annotated[
        str,
        typer.Option(
            metavar="FILE[:LAYER]", help="Polygons, or a class raster on the prediction's grid.", show_default=False
        ),
    ],
    options: EvaluateOptions,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores as JSON to this file; - is stdout, without a table.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Write a GeoTIFF of what is right, missed, invented, and within the tolerance.")
    ] = None,
) -> None:
    """Score a prediction: IoU, F1, confusion, kappa, boundaries; objects and their shapes where both are polygons."""
    from geoseg.jobs.evaluate import evaluate as score

    scores = score(
        prediction,
        truth,
        aoi=options.aoi,
        column=options.column,
        layer=options.layer,
        values=options.values,
        nodata=options.nodata,
        tolerance_m=options.tolerance_m,
        errors=errors,
    ).as_json()
    text = json.dumps({"prediction": prediction, "truth": truth, "aoi": options.aoi, **scores}, indent=1)
    if json_file == Path("-"):
        print(text)
        return
    print(as_text(scores))
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")


def as_text(scores: dict[str, Any]) -> str:
    """Return the scores as tables."""
    classes = scores["classes"]
    keys = ("iou", "f1", "precision", "recall", "boundary_f1", "boundary_iou", "hd95_m")
    near = f"({scores['boundary_tolerance_m']:g} m)"
    head = ["class", "IoU", "F1", "precision", "recall", f"boundary F1 {near}", f"boundary IoU {near}", "HD95 [m]"]
    parts = [table([[c["name"], *(_number(c[k]) for k in keys)] for c in classes], head=head)]
    parts.append(
        f"mIoU {_number(scores['mean_iou'])}, overall accuracy {_number(scores['overall_accuracy'])}, "
        f"kappa {_number(scores['kappa'])}, {scores['pixels']} pixels judged"
    )
    counts = scores["confusion"]["truth_by_prediction"]
    rows = [[c["name"], *row] for c, row in zip(classes, counts, strict=True)]
    parts.append(table(rows, head=["truth \\ predicted", *(c["name"] for c in classes)]))
    if scores["objects"] is not None:
        o = scores["objects"]
        parts.append(
            f"objects at IoU {o['min_iou']}: F1 {_number(o['f1'])}, precision {_number(o['precision'])}, "
            f"recall {_number(o['recall'])}, PQ {_number(o['panoptic_quality'])}, SQ {_number(o['mean_iou'])} "
            f"({o['found']} found, {o['invented']} invented, {o['missed']} missed)"
        )
    if scores["polygons"] is not None:
        parts.append(table(polygon_rows(scores["polygons"], scores["boundary_tolerance_m"]), head=["polygons", ""]))
    base = scores["baseline"]
    parts.append(f"baseline, always {base['always']}: IoU {_number(base['iou'])}, F1 {_number(base['f1'])}")
    return "\n\n".join(parts)


def polygon_rows(scores: dict[str, Any], tolerance_m: float) -> list[list[str]]:
    """Return the scores of polygons with their names, those without a value left out."""
    names = {
        "f1_50": "F1 at IoU 0.5",
        "f1_75": "F1 at IoU 0.75",
        "f1_90": "F1 at IoU 0.9",
        "ap": "AP (COCO, by confidence)",
        "iou": "IoU of those found",
        "c_iou": "C-IoU",
        "n_ratio": "vertices against truth's",
        "polis_m": "PoLiS [m]",
        "hausdorff_m": "Hausdorff [m]",
        "boundary_f1": f"boundary F1 ({tolerance_m:g} m)",
        "right_angle_share": "right angles",
        "valid_share": "valid",
        "overlap_m2": "overlap [m²]",
    }
    return [[name, _number(scores[key])] for key, name in names.items() if scores[key] is not None]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
