"""Outlines: polygons as they are drawn from single components, and as they are once none reaches into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.adjacent.overlaps import settle
from geoseg.vector.adjacent.repair import Bound
from geoseg.vector.adjacent.split import Split, cut_along
from geoseg.vector.adjacent.tolerance import Closeness, ious
from geoseg.vector.fit.fit import FREE, KEPT, LEAST_IOU
from geoseg.vector.pixels.runs import PROBABILITY_STEPS


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
    iou: of the two, or a measure of it. pixel_m: (N, 2) width and height of a pixel there. bound_m: how far the polygon
    may be from the contour. fit: None for polygons that are contours by nature, which no bounds hold. blocks: a Block
    where several buildings touch in the component and None elsewhere, once settled only where they could not be parted;
    None instead of the array where there are no blocks.
    """

    polygons: NDArray[np.object_]
    contours: NDArray[np.object_]
    iou: NDArray[np.float64]
    pixel_m: NDArray[np.float64]
    bound_m: NDArray[np.float64]
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

    def bound(self, i: int) -> Bound | None:
        """What holds of row i and its buildings, None for contours by nature."""
        return None if self.fit is None else Bound(self.pixel_m[i], float(self.bound_m[i]))

    @property
    def astray(self) -> NDArray[np.bool_]:
        """Which polygons are out of their bounds, (N,)."""
        if self.fit is None:
            return np.zeros(len(self), np.bool_)
        return (self.fit.iou_contour < LEAST_IOU) | (self.fit.deviation_m > self.bound_m)

    def settled(self) -> "Outlines":
        """Return outlines that are valid, do not overlap and are within their bounds, blocks split.

        Those hemmed in are firm in ``settle``, and so is what would be out of bounds otherwise, or whose buildings
        could not be told apart.
        """
        firm = self.of.hemmed
        while True:
            polygons = self.polygons.copy()
            kept, trimmed = settle(polygons, self.contours, self.iou, firm=firm)
            after = self.redrawn(polygons, kept, kept | trimmed)
            splits, failed = after._splits(kept, trimmed)
            failed |= (kept | trimmed) & after.astray
            if not (failed & ~firm).any():
                return after._split(splits)
            firm = firm | failed

    def redrawn(self, polygons: NDArray[np.object_], kept: NDArray[np.bool_], changed: NDArray[np.bool_]) -> "Outlines":
        """Return the outlines with other polygons, and what follows for those that ``changed``, or are ``kept`` now."""
        if self.fit is None:
            iou = self.iou.copy()
            iou[changed] = ious(polygons[changed], self.contours[changed])
            return replace(self, polygons=polygons, iou=iou)
        measured = Closeness.of(polygons[changed], self.contours[changed], self.pixel_m[changed])
        iou, deviation_m, rms_m = self.iou.copy(), self.fit.deviation_m.copy(), self.fit.rms_m.copy()
        iou[changed], deviation_m[changed], rms_m[changed] = measured.iou, measured.deviation_m, measured.rms_m
        fit = Fit(
            status=np.where(kept, KEPT, self.fit.status).astype(np.int8),
            direction_deg=np.where(kept, np.nan, self.fit.direction_deg),
            deviation_m=deviation_m,
            rms_m=rms_m,
            iou_contour=iou,
        )
        return replace(self, polygons=polygons, iou=iou, fit=fit)

    def _splits(
        self, kept: NDArray[np.bool_], trimmed: NDArray[np.bool_]
    ) -> tuple[dict[int, Split], NDArray[np.bool_]]:
        """Return the blocks' buildings once the blocks are ``kept`` or ``trimmed``, and where there is no way."""
        splits, failed = {}, np.zeros(len(self), np.bool_)
        for i, block in enumerate([] if self.blocks is None else self.blocks):
            if block is None or block.split is None:
                continue
            split, parts = block.split, None
            if self.polygons[i] is self.contours[i]:
                parts = split.contours
            elif kept[i] or trimmed[i]:
                parts = cut_along(self.polygons[i], block.traced if kept[i] else split.walls, block.anchors)
                failed[i] = parts is None
            if parts is not None:
                closeness = None
                if (bound := self.bound(i)) is not None:
                    closeness = bound.measured(parts, split.contours)
                    failed[i] = not closeness.within(bound.far_m).all()
                split = split.redrawn(parts, closeness, kept=bool(kept[i]))
            splits[i] = split
        return splits, failed

    def _split(self, splits: dict[int, Split]) -> "Outlines":
        """Return one row for each building of the blocks."""
        whole = np.setdiff1d(np.arange(len(self)), list(splits))
        return Outlines.joined([self.take(whole), *(self._parts(i, split) for i, split in splits.items())])

    def _parts(self, i: int, split: Split) -> "Outlines":
        """Return the buildings of row i; they keep the first pixel of their block, so that they stay together."""
        assert self.blocks is not None
        one = self.take(np.full(len(split.polygons), i))
        fit, iou = None, one.iou
        if one.fit is not None:
            assert split.closeness is not None
            iou = split.closeness.iou
            status = np.where(split.beside, FREE, one.fit.status)
            fit = Fit(
                status=np.where(split.kept, KEPT, status).astype(np.int8),
                direction_deg=np.where(split.kept, np.nan, one.fit.direction_deg),
                deviation_m=split.closeness.deviation_m,
                rms_m=split.closeness.rms_m,
                iou_contour=iou,
            )
        of = replace(one.of, area_px=self.blocks[i].area_px, byte_sum=self.blocks[i].byte_sum)
        return replace(one, polygons=split.polygons, contours=split.contours, iou=iou, of=of, fit=fit, blocks=None)


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
