"""What is found about labels: polygons that are invalid, doubled or in conflict, and the shares of classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import GeosegError
from geoseg.training.areas import LabelledArea
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import Features, is_raster, open_features, open_labels
from geoseg.training.samples import Samples
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BuildingTarget, ClassTarget
from geoseg.training.weights import label_counts

DOUBLED = 0.95  # IoU of polygons that are one drawn twice
CONFLICT = 0.2  # share of the smaller polygon that another one covers
Level = Literal["fault", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the labels, and where it holds."""

    level: Level
    where: str
    text: str


def of_data(spec: TrainSpec) -> tuple[list[Finding], list[LabelledScene]]:
    """Return what is wrong with each entry of the data, and the entries that can be read."""
    found: list[Finding] = []
    sound: list[LabelledScene] = []
    for item in spec.data:
        try:
            found += of_entry(item, spec)
            sound.append(item)
        except GeosegError as error:
            found.append(Finding("fault", Path(item.name).name, str(error)))
    return found, sound


def of_entry(item: LabelledScene, spec: TrainSpec) -> list[Finding]:
    """Return what is wrong with the polygons of an entry; raises what reading its labels does."""
    grid = open_labelled(item).grid
    open_labels(item, spec.target, grid)
    found: list[Finding] = []
    for layer in item.layers:
        if not is_raster(layer.file):
            features = open_features(layer, item, spec.target, grid)
            found += of_polygons(features, Path(layer.file).name, spec.target)
    return found


def of_polygons(features: Features, where: str, target: BuildingTarget | ClassTarget) -> Iterator[Finding]:
    """Yield what is wrong with polygons: rings that cross, polygons drawn twice, classes that lie over each other."""
    n = len(features.geometries)
    invalid = int((~shapely.is_valid(features.geometries)).sum())
    if invalid:
        reason = shapely.is_valid_reason(features.geometries[~shapely.is_valid(features.geometries)])[0]
        yield Finding("fault", where, f"{invalid} of {n} polygons are invalid ({reason}); mend them (ST_MakeValid)")
    doubled, conflicts, overlaps = _pairs(features, target)
    if doubled:
        yield Finding("fault", where, f"{doubled} polygons are drawn twice; remove one of each")
    if conflicts:
        yield Finding("fault", where, f"{conflicts} pairs of polygons of two classes lie over each other; cut one")
    if overlaps:
        yield Finding("warning", where, f"{overlaps} pairs of polygons cover more than a fifth of each other")


def _pairs(features: Features, target: BuildingTarget | ClassTarget) -> tuple[int, int, int]:
    """Return how many pairs are one polygon twice, of different classes over each other, and otherwise overlapping."""
    shapes = shapely.make_valid(features.geometries)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = (side[one < other] for side in (one, other))
    common = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    areas = shapely.area(shapes)
    iou = common / np.maximum(areas[one] + areas[other] - common, 1e-12)
    over = common / np.maximum(np.minimum(areas[one], areas[other]), 1e-12) > CONFLICT
    classes = len(target.class_table) if isinstance(target, ClassTarget) else 1  # all footprints are of one
    channel = np.where(features.raw < 0, -1, features.raw % classes)
    known = (channel[one] >= 0) & (channel[other] >= 0)
    differs, twice = known & (channel[one] != channel[other]), iou > DOUBLED
    return int((twice & ~differs).sum()), int((over & differs).sum()), int((over & ~differs & ~twice & known).sum())


def shares(samples: Samples, target: BuildingTarget | ClassTarget) -> dict[str, NDArray[np.int64]]:
    """Return how many pixels of each class every role has, (K,) by the class table."""
    roles = {"train": samples.train, "validation": samples.validation, "test": samples.test}
    ids = [c.id for c in target.class_table]
    at = [ids.index(c.class_id or 0) for c in target.channels]
    return {
        role: np.bincount(at, weights=label_counts(areas, target), minlength=len(ids)).astype(np.int64)
        for role, areas in roles.items()
        if areas
    }


def of_shares(counts: dict[str, NDArray[np.int64]], target: BuildingTarget | ClassTarget) -> Iterator[Finding]:
    """Yield classes that a role lacks."""
    names = [c.name for c in target.class_table]
    for role, of_role in counts.items():
        lacking = [name for name, n in zip(names, of_role, strict=False) if not n]
        if lacking:
            level: Level = "fault" if role == "train" else "warning"
            yield Finding(level, role, f"holds no label of {', '.join(lacking)}")
        if len(names) - len(lacking) < 2:
            yield Finding("fault", role, "holds one class alone: a network that always says it would be right")


def of_void(scenes: Sequence[LabelledArea], target: BuildingTarget | ClassTarget) -> Iterator[Finding]:
    """Yield how much of the scenes is void."""
    total = sum(area.shape[0] * area.shape[1] for area in scenes)
    known = sum(int(area.cells(target).sum()) for area in scenes)
    if total:
        level: Level = "note" if known else "fault"
        yield Finding(level, "all", f"{1 - known / total:.0%} of the pixels are void, nodata or not labelled")
