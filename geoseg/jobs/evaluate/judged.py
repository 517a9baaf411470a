"""What truth and prediction say of the ground that both know: scores, maps and reports are made of it alone."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate.ground import Ground
from geoseg.jobs.evaluate.meaning import class_column, ids_of_names, predicted_ids, true_ids
from geoseg.jobs.evaluate.scores import Evaluation
from geoseg.jobs.evaluate.shapes import Objects, match_class, score_in_metres
from geoseg.jobs.evaluate.sides import BUILDING, BUILDINGS, Layer, Prediction, Truth, listed
from geoseg.options.evaluate import EvaluateOptions
from geoseg.trust import BoundaryMatch, Confusion, match_boundaries, match_objects
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid

STRIP_ROWS = 512
REACH_PX = 64  # distances of boundaries are measured so far


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Two class rasters of one grid, and the objects of both sides where both are polygons."""

    grid: Grid
    classes: ClassMap
    truth: NDArray[np.uint8]
    """Class ids (H, W), 0 where a side is unknown."""
    answers: NDArray[np.uint8]
    objects: tuple[Objects, Objects] | None
    """Of the truth and of the prediction."""
    things: tuple[int, ...] = ()
    """Classes whose objects these are, in a panoptic map."""
    zones: NDArray[np.object_] | None = None
    """Polygons in each of which objects are counted."""
    true_polygons: int | None = None
    """How many polygons of the truth the judged pixels lie in, where these have classes."""

    def scores(self, tolerance_m: float) -> Evaluation:
        """Count all; boundaries agree within ``tolerance_m``."""
        confusion, boundaries = self._counts(tolerance_m)
        objects, polygons, instances = None, None, None
        if self.objects is not None and self.classes == BUILDINGS and not self.things:
            objects = match_objects(*(side.of_class(BUILDING)[0] for side in self.objects))
            polygons = score_in_metres(self.objects[0].frame, self.objects[1].frame, tolerance_m)
        elif self.objects is not None:
            of = self.things or tuple(c.id for c in self.classes.classes[1:])
            instances = {class_id: match_class(*self.objects, class_id, tolerance_m) for class_id in of}
        zones = None
        if self.zones is not None and self.objects is not None:
            of = self.things or tuple(c.id for c in self.classes.classes[1:])
            zones = np.stack([side.counts(self.zones, of) for side in self.objects])
        return Evaluation(
            self.classes, confusion, boundaries, objects, polygons, instances, tolerance_m, self.things, zones,
            self.true_polygons,
        )  # fmt: skip

    def _counts(self, tolerance_m: float) -> tuple[Confusion, dict[int, BoundaryMatch]]:
        """Count pixels and boundaries strip by strip: distances take 40 bytes a pixel, which a whole scene has not."""
        confusion, boundaries = Confusion.empty(self.classes.max_id), {c.id: BoundaryMatch() for c in self.classes}
        pixel_size_m = self.grid.ground_resolution_m()
        reach_m = max(tolerance_m, REACH_PX * min(pixel_size_m))
        rim = ceil(reach_m / pixel_size_m[0]) + 2
        for row in range(0, self.grid.height, STRIP_ROWS):
            first, end = max(row - rim, 0), min(row + STRIP_ROWS, self.grid.height)
            truth, answer = self.truth[first : end + rim], self.answers[first : end + rim]
            core = slice(row - first, end - first), slice(None)
            confusion = confusion.add(truth[core], answer[core])
            for c in self.classes:
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

    def beside(self, other: "Judged") -> tuple["Judged", "Judged"]:
        """Return two predictions on the ground that all know; raises InputError where grids or classes differ."""
        if not self.grid.same_as(other.grid):
            raise InputError("the two predictions lie on grids that differ; bring both to one grid (gdalwarp -te -tr)")
        if [(c.id, c.name) for c in self.classes] != [(c.id, c.name) for c in other.classes]:
            raise InputError(
                f"the two predictions have other classes: {listed(self.classes)}, and {listed(other.classes)}"
            )
        known = (self.answers != NODATA) & (other.answers != NODATA)
        if not known.any():
            raise InputError("the two predictions share no ground that the truth knows")
        one, two = (
            replace(side, truth=np.where(known, side.truth, NODATA), answers=np.where(known, side.answers, NODATA))
            for side in (self, other)
        )
        return one, two


def judge(prediction: str | Path, truth: str | Path, options: EvaluateOptions) -> Judged:
    """Read a prediction and its truth onto one grid; raises InputError and ConfigError."""
    judged = Prediction.find(prediction, nodata=options.nodata)
    right = Truth.find(
        truth,
        layer=options.layer,
        column=options.column,
        values=options.values or {},
        nodata=options.nodata,
        beside=None if judged.raster is None else judged.raster.grid,
    )
    found = judged.by_class(right)
    ground = Ground.of(found, right, aoi=options.aoi, tolerance_m=options.tolerance_m)
    labels, classes, drawn = true_ids(right, ground, found.classes, fill=found.column is not None)
    answers = predicted_ids(found, ground, binary=classes is not found.classes)
    known = ground.mask & (labels != NODATA) & (answers != NODATA)
    if not known.any():
        raise InputError(f"{truth}: nothing to judge; truth, prediction and aoi share no ground")
    objects = None
    if found.polygons is not None and right.polygons is not None and (classes == BUILDINGS or found.column):
        ids = ids_of_names(right, classes)
        column, whole = found.column, bool(found.things)
        if whole:
            column = class_column(right, ground.polygons(right.polygons), classes)
        of_truth = Objects.on(right.polygons, ground, known, column=column, ids=ids, whole=whole)
        said = Objects.on(found.polygons, ground, known, column=found.column, ids=ids, whole=whole)
        least_m2 = options.min_area_m2
        objects = of_truth.from_area(least_m2, ground.grid), said.from_area(least_m2, ground.grid)
    elif options.min_area_m2:
        raise ConfigError("min-area-m2: it is of objects, and one side has no polygons of them; leave it out")
    zones = None
    if options.zones is not None:
        if objects is None:
            raise ConfigError("zones: objects are counted where prediction and truth are polygons; leave --zones out")
        zones = np.asarray(Layer(options.zones).read(ground.grid).geometry.values, object)
    labels, answers = (np.where(known, side, NODATA) for side in (labels, answers))
    count = None if drawn is None else ground.count_on(known, drawn)
    return Judged(ground.grid, classes, labels, answers, objects, found.things, zones, count)
