"""Outlines: polygons as they are drawn from single components, and as they are once none reaches into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.polygons.fit import KEPT
from geoseg.polygons.runs import PROBABILITY_STEPS
from geoseg.polygons.settle import KEPT_TOLERANCE_PX, settle
from geoseg.polygons.split import Split, distances, split_block


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

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The components that are drawn, in raster order; all arrays have N rows, int64 but for ``hemmed``.

    first_pixel: (N, 2) row, col in the scene. area_px, byte_sum: number of pixels and sum of their bytes. hemmed:
    whether only the contour stays clear of what is beside.
    """

    first_pixel: NDArray[np.int64]
    area_px: NDArray[np.int64]
    byte_sum: NDArray[np.int64]
    hemmed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.area_px)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One polygon for each component that is drawn, in raster order of first pixels; all arrays have N rows.

    polygons, contours: drawn polygon and the contour it was made from, in pixel coordinates (col, row) of the scene.
    iou: of the two, or a measure of it. size_m: root of the area of a pixel there. fit: None for polygons that are
    contours by nature. blocks: a Block where several buildings touch in the component and None elsewhere, once settled
    only where they could not be parted; None instead of the array where there are no blocks.
    """

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    iou: NDArray[np.float64]
    size_m: NDArray[np.float64]
    of: Drawn
    fit: Fit | None
    blocks: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """Mean p over each component's pixels, (N,): a quotient of whole numbers."""
        return (self.of.byte_sum / self.of.area_px - 1) / PROBABILITY_STEPS

    @property
    def merged(self) -> int:
        """Number of polygons that hold several buildings."""
        return 0 if self.blocks is None else sum(block is not None for block in self.blocks)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Outlines":
        """Return the chosen ones."""
        return _map_rows(lambda columns: columns[0][chosen], [self])

    @staticmethod
    def joined(several: Sequence["Outlines"]) -> "Outlines":
        """Return all in one, in raster order; ``several`` holds at least one."""
        all_of_them = _map_rows(np.concatenate, several)
        first = all_of_them.of.first_pixel
        return all_of_them.take(np.lexsort((first[:, 1], first[:, 0])))

    def settled(self) -> "Outlines":
        """Return outlines that are valid and do not overlap, blocks split; those hemmed in are firm in ``settle``."""
        polygons = self.polygons.copy()
        kept, trimmed = settle(polygons, self.contours, self.iou, firm=self.of.hemmed)
        iou = np.where(kept, 1.0, self.iou)
        for i in np.flatnonzero(trimmed):
            iou[i] = iou_of(polygons[i], self.contours[i])
        if self.fit is None:
            return replace(self, polygons=polygons, iou=iou)._split()
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
        return replace(self, polygons=polygons, iou=iou, fit=fit)._split()

    def _split(self) -> "Outlines":
        """Return one row for each building of the blocks."""
        if self.blocks is None:
            return self
        split = {}
        for i, block in enumerate(self.blocks):
            if block is None:
                continue
            parts = split_block(self.polygons[i], self.contours[i], block.borders, block.anchors)
            if parts is not None:
                split[i] = parts
        whole = np.setdiff1d(np.arange(len(self)), list(split))
        return Outlines.joined([self.take(whole), *(self._parts(i, parts) for i, parts in split.items())])

    def _parts(self, i: int, parts: Split) -> "Outlines":
        """Return the buildings of row i; they keep the first pixel of their block, so that they stay together."""
        assert self.blocks is not None
        one = self.take(np.full(len(parts.polygons), i))
        iou = np.array([iou_of(p, c) for p, c in zip(parts.polygons, parts.contours, strict=True)])
        fit = None
        if one.fit is not None:
            far_px, rms_px = distances(parts.polygons, parts.contours).T
            fit = replace(
                one.fit,
                status=np.full(len(one), KEPT, np.int8) if parts.kept else one.fit.status,
                direction_deg=np.full(len(one), np.nan) if parts.kept else one.fit.direction_deg,
                deviation_m=far_px * one.size_m,
                rms_m=rms_px * one.size_m,
                iou_contour=iou,
            )
        of = replace(one.of, area_px=self.blocks[i].area_px, byte_sum=self.blocks[i].byte_sum)
        return replace(one, polygons=parts.polygons, contours=parts.contours, iou=iou, of=of, fit=fit, blocks=None)


def _map_rows[T: Outlines | Drawn | Fit](make: Callable[[list[NDArray]], NDArray], several: Sequence[T]) -> T:
    """Return a value whose columns ``make`` has made of those of ``several``, also within the values in them."""
    made: dict[str, Any] = {}
    for field in fields(several[0]):
        columns = [getattr(one, field.name) for one in several]
        if all(column is None for column in columns):
            made[field.name] = None
        elif isinstance(columns[0], Drawn | Fit):
            made[field.name] = _map_rows(make, columns)
        else:  # only blocks may be missing in some
            full = zip(several, columns, strict=True)
            made[field.name] = make([np.full(len(one), None) if c is None else c for one, c in full])
    return type(several[0])(**made)


def iou_of(a: shapely.Polygon, b: shapely.Polygon) -> float:
    """IoU of two polygons, computed from the first's corner on: whole pixels of shift change no bit."""
    corner = np.floor(shapely.bounds(a)[:2])
    a, b = (shapely.transform(p, lambda xy: xy - corner) for p in (a, b))
    return shapely.intersection(a, b).area / shapely.union(a, b).area
