"""Outlines: polygons as they are drawn from single components, and as they are once none reaches into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.fit import KEPT
from geoseg.polygons.runs import PROBABILITY_STEPS
from geoseg.polygons.settle import KEPT_TOLERANCE_PX, settle


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How each polygon came about; all arrays have shape (N,).

    status: index into fit.STATUS. direction_deg: of the building's walls against the raster's columns, clockwise on the
    image, 0 <= d < 90, NaN without one. deviation_m, rms_m: largest and root of mean square distance from the contour.
    iou_contour: IoU with it.
    """

    status: NDArray[np.int8]
    direction_deg: NDArray[np.float64]
    deviation_m: NDArray[np.float64]
    rms_m: NDArray[np.float64]
    iou_contour: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The components that are drawn, in raster order; all arrays have N rows, int64.

    first_pixel: (N, 2) row, col in the scene. area_px, byte_sum: number of pixels and sum of their bytes.
    """

    first_pixel: NDArray[np.int64]
    area_px: NDArray[np.int64]
    byte_sum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One polygon for each component that is drawn, in raster order of first pixels; all arrays have N rows.

    polygons, contours: drawn polygon and the contour it was made from, in pixel coordinates (col, row) of the scene.
    iou: of the two, or a measure of it. size_m: root of the area of a pixel there. fit: None for polygons that are
    contours by nature.
    """

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    iou: NDArray[np.float64]
    size_m: NDArray[np.float64]
    of: Drawn
    fit: Fit | None

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """Mean p over each component's pixels, (N,): a quotient of whole numbers."""
        return (self.of.byte_sum / self.of.area_px - 1) / PROBABILITY_STEPS

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Outlines":
        """Return the chosen ones."""
        return _map_rows(lambda columns: columns[0][chosen], [self])

    @staticmethod
    def joined(several: Sequence["Outlines"]) -> "Outlines":
        """Return all in one, in raster order; ``several`` holds at least one."""
        all_of_them = _map_rows(np.concatenate, several)
        first = all_of_them.of.first_pixel
        return all_of_them.take(np.lexsort((first[:, 1], first[:, 0])))

    def settled(self, *, firm: NDArray[np.bool_] | None = None) -> "Outlines":
        """Return outlines that are valid and do not overlap; for ``firm`` ones see ``settle``."""
        polygons = self.polygons.copy()
        kept, trimmed = settle(polygons, self.contours, self.iou, firm=firm)
        iou = np.where(kept, 1.0, self.iou)
        for i in np.flatnonzero(trimmed):
            iou[i] = _iou(polygons[i], self.contours[i])
        if self.fit is None:
            return replace(self, polygons=polygons, iou=iou)
        deviation_m = np.where(kept, KEPT_TOLERANCE_PX * self.size_m, self.fit.deviation_m)
        for i in np.flatnonzero(trimmed):
            far = shapely.hausdorff_distance(polygons[i].boundary, self.contours[i].boundary)
            deviation_m[i] = max(deviation_m[i], far * self.size_m[i])
        fit = replace(
            self.fit,
            status=np.where(kept, KEPT, self.fit.status).astype(np.int8),
            direction_deg=np.where(kept, np.nan, self.fit.direction_deg),
            deviation_m=deviation_m,
            rms_m=np.where(kept, 0.0, self.fit.rms_m),
            iou_contour=iou,
        )
        return replace(self, polygons=polygons, iou=iou, fit=fit)


def _map_rows[T](make: Callable[[list[NDArray]], NDArray], several: Sequence[T]) -> T:
    """Return a value whose columns ``make`` has made of those of ``several``, also within the values in them."""
    made = {}
    for field in fields(several[0]):  # type: ignore[arg-type]  # T is one of the classes above
        columns = [getattr(one, field.name) for one in several]
        nested = isinstance(columns[0], Drawn | Fit)
        made[field.name] = None if columns[0] is None else _map_rows(make, columns) if nested else make(columns)
    return type(several[0])(**made)


def _iou(a: shapely.Polygon, b: shapely.Polygon) -> float:
    """IoU of two polygons, computed from the first's corner on: whole pixels of shift change no bit."""
    corner = np.floor(shapely.bounds(a)[:2])
    a, b = (shapely.transform(p, lambda xy: xy - corner) for p in (a, b))
    return shapely.intersection(a, b).area / shapely.union(a, b).area
