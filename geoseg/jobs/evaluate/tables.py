"""Scores in words and tables, the same on the command line and in a report."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts below a head; shares: of each cell but the first in its row, where that is worth to be shown."""

    head: list[str]
    rows: list[list[str]]
    shares: list[list[float]] | None = None


def of_classes(scores: dict[str, Any]) -> Iterator[Table | str]:
    """Yield what ``Evaluation.as_json`` holds: classes, confusion, objects and polygons, baseline."""
    classes = scores["classes"]
    keys = ("iou", "f1", "precision", "recall", "boundary_f1", "boundary_iou", "hd95_m")
    near = f"({scores['boundary_tolerance_m']:g} m)"
    head = ["class", "IoU", "F1", "precision", "recall", f"boundary F1 {near}", f"boundary IoU {near}", "HD95 [m]"]
    yield Table(head, [[c["name"], *(number(c[k]) for k in keys)] for c in classes])
    yield (
        f"mIoU {number(scores['mean_iou'])}, overall accuracy {number(scores['overall_accuracy'])}, "
        f"kappa {number(scores['kappa'])}, {scores['pixels']} pixels judged{_in_polygons(scores)}"
    )
    counts = scores["confusion"]["truth_by_prediction"]
    yield Table(
        ["truth \\ predicted", *(c["name"] for c in classes)],
        [[c["name"], *map(str, row)] for c, row in zip(classes, counts, strict=True)],
        [[cell / max(sum(row), 1) for cell in row] for row in counts],
    )
    if scores["objects"] is not None:
        o = scores["objects"]
        yield (
            f"objects at IoU {o['min_iou']}: F1 {number(o['f1'])}, precision {number(o['precision'])}, "
            f"recall {number(o['recall'])}, PQ {number(o['panoptic_quality'])}, SQ {number(o['mean_iou'])} "
            f"({o['found']} found, {o['invented']} invented, {o['missed']} missed)"
        )
    if scores["polygons"] is not None:
        yield Table(["polygons", ""], polygon_rows(scores["polygons"], scores["boundary_tolerance_m"]))
    if scores["instances"] is not None:
        yield from _of_instances(scores["instances"])
    if scores["panoptic"] is not None:
        p = scores["panoptic"]
        yield f"PQ {number(p['pq'])}: things {number(p['pq_things'])}, stuff {number(p['pq_stuff'])}"
    if scores["zones"] is not None:
        z = scores["zones"]
        yield (
            f"{z['zones']} zones: {z['predicted']} objects, {z['true']} true; error of a zone "
            f"{number(z['mean_error'])}, absolute {number(z['mean_absolute_error'])}"
        )
    base = scores["baseline"]
    yield f"baseline, always {base['always']}: IoU {number(base['iou'])}, F1 {number(base['f1'])}"


def _of_instances(instances: dict[str, Any]) -> Iterator[Table | str]:
    keys = ("f1", "precision", "recall", "panoptic_quality", "mean_iou", "boundary_iou", "ap", "ap_50")
    counts = ("found", "invented", "missed", "count_error")
    head = [
        "objects at IoU 0.5",
        "F1",
        "precision",
        "recall",
        "PQ",
        "SQ",
        "boundary IoU",
        "AP",
        "AP at 0.5",
        *counts[:3],
        "count error",
    ]
    rows = [[c["name"], *(number(c[k]) for k in keys), *(str(c[k]) for k in counts)] for c in instances["classes"]]
    yield Table(head, rows)
    yield (
        f"mAP {number(instances['map'])}, at IoU 0.5 {number(instances['map_50'])}, "
        f"PQ {number(instances['panoptic_quality'])}: means over the classes"
    )


def of_changes(comparison: dict[str, Any]) -> Iterator[Table | str]:
    """Yield what ``Comparison.as_json`` holds."""
    rows = [
        [c["name"], number(c["before"]), number(c["after"]), _signed(c["difference"]), _interval(c)]
        for c in (*comparison["classes"], comparison["mean"])
    ]
    yield Table(["IoU", "before", "after", "difference", "95 % interval"], rows)
    if all(row[-1] == "–" for row in rows):
        yield f"{comparison['blocks']} blocks of ground: too few for intervals; see --block-m"
    else:
        yield f"intervals from {comparison['blocks']} blocks of {comparison['block_m']:.4g} m"


def of_numbers(scores: dict[str, Any]) -> Iterator[Table | str]:
    """Yield what ``numbers_json`` holds."""
    names = {"rmse": "RMSE", "mae": "MAE", "bias": "bias (prediction - truth)", "r2": "R²"}
    yield Table(["numbers", ""], [[name, number(scores[key])] for key, name in names.items()])
    yield f"{scores['pixels']} pixels judged"


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
    return [[name, number(scores[key])] for key, name in names.items() if scores[key] is not None]


def _in_polygons(scores: dict[str, Any]) -> str:
    count = scores["true_polygons"]
    return "" if count is None else f", in {count} polygon{'s' * (count != 1)} of the truth"


def number(value: float | None) -> str:
    """Return a score as text."""
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _interval(change: dict[str, Any]) -> str:
    return "–" if change["low"] is None else f"{change['low']:+.4f} to {change['high']:+.4f}"
