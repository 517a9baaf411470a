"""Outlines: the polygons of components, as fitted one by one and once their overlaps are resolved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.vector.adjacent.overlaps import resolve_overlaps
from geoseg.vector.adjacent.repair import Tolerance
from geoseg.vector.adjacent.split import Split, cut_along
from geoseg.vector.adjacent.tolerance import Closeness, ious
from geoseg.vector.fit.fit import FREE, LEAST_IOU, ORTHO, UNCHANGED
from geoseg.vector.pixels.runs import PROBABILITY_STEPS


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How N polygons were fitted, and how near each is to its contour."""

    status: NDArray[np.int8]
    """Index into fit.STATUS, (N,)."""
    direction_deg: NDArray[np.float64]
    """Direction of the building's walls against the raster's columns, clockwise on the image, (N,).

    0 <= d < 90, NaN where there is none.
    """
    deviation_m: NDArray[np.float64]
    """Largest distance from the contour, (N,) metres."""
    rms_m: NDArray[np.float64]
    """Root mean square distance from the contour, (N,) metres."""
    iou_contour: NDArray[np.float64]
    """IoU with the contour, (N,)."""

    def __len__(self) -> int:
        return len(self.status)

    @staticmethod
    def of_contours(count: int) -> "Fit":
        """Return the rows of ``count`` polygons that are their own contours."""
        status, nowhere = np.full(count, UNCHANGED, np.int8), np.full(count, np.nan)
        return Fit(status, nowhere, np.zeros(count), np.zeros(count), np.ones(count))

    @staticmethod
    def joined(several: Sequence["Fit"]) -> "Fit":
        """Join the rows of one or more."""
        return _map_rows(np.concatenate, several)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Fit":
        """Return a copy of the chosen rows."""
        return _map_rows(lambda columns: columns[0][chosen], [self])

    def where(self, chosen: NDArray[np.bool_], others: "Fit") -> "Fit":
        """Return the rows of ``others`` where ``chosen``, (N,), and its own elsewhere."""
        return _map_rows(lambda columns: np.where(chosen, columns[1], columns[0]), [self, others])

    def put(self, rows: NDArray[np.intp], others: "Fit") -> None:
        """Overwrite rows in place with all of ``others``."""
        for column in fields(self):
            getattr(self, column.name)[rows] = getattr(others, column.name)

    def measured(self, closeness: Closeness) -> "Fit":
        """Return the same fits at other distances from their contours."""
        return replace(self, deviation_m=closeness.deviation_m, rms_m=closeness.rms_m, iou_contour=closeness.iou)

    def of_shared(self, direction_deg: NDArray[np.float64]) -> "Fit":
        """Return the fits once they share walls, in whose directions (N,), NaN where these are not square."""
        status = np.where(np.isnan(direction_deg), FREE, ORTHO).astype(np.int8)
        return replace(self, status=status, direction_deg=direction_deg)

    def marked(self, unchanged: NDArray[np.bool_]) -> "Fit":
        """Return the fits with those ``unchanged``, (N,), marked as contours, which have no direction."""
        status = np.where(unchanged, UNCHANGED, self.status).astype(np.int8)
        return replace(self, status=status, direction_deg=np.where(unchanged, np.nan, self.direction_deg))


@dataclass(frozen=True, slots=True, eq=False)
class ComponentTable:
    """The N components that polygons are drawn of, in raster order of first pixels."""

    first_pixel: NDArray[np.int64]
    """Row and column in the scene, (N, 2)."""
    area_px: NDArray[np.int64]
    """Number of pixels, (N,)."""
    byte_sum: NDArray[np.int64]
    """Sum of the probability bytes, (N,)."""
    blocked_by_oversized: NDArray[np.bool_]
    """Whether an oversized component lies so near that only the contour stays clear of it, (N,)."""

    def __len__(self) -> int:
        return len(self.area_px)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One polygon for each of N components, in raster order of first pixels."""

    polygons: NDArray[np.object_]
    """Drawn polygons in pixel coordinates (col, row) of the scene, (N,)."""
    contours: NDArray[np.object_]
    """The contours that they were fitted to, (N,)."""
    iou: NDArray[np.float64]
    """IoU of polygon and contour, or a measure of it, (N,)."""
    pixel_m: NDArray[np.float64]
    """Width and height of a pixel there, (N, 2) metres."""
    bound_m: NDArray[np.float64]
    """Largest distance allowed between polygon and contour, (N,) metres."""
    components: ComponentTable
    """The components, N rows."""
    fit: Fit | None
    """How the polygons were fitted, N rows; None for exact contours, which have no tolerance."""
    blocks: NDArray[np.object_] | None = None
    """A Block where a component holds several buildings, else None, (N,); None for all where there are no blocks.

    Once overlaps are resolved, only the blocks that could not be split are left.
    """

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """Mean probability over each component's pixels, (N,), from integer sums."""
        return (self.components.byte_sum / self.components.area_px - 1) / PROBABILITY_STEPS

    @property
    def merged(self) -> int:
        """Number of polygons that hold several buildings."""
        return 0 if self.blocks is None else sum(block is not None for block in self.blocks)

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Outlines":
        """Return the chosen ones."""
        return _map_rows(lambda columns: columns[0][chosen], [self])

    @staticmethod
    def joined(several: Sequence["Outlines"]) -> "Outlines":
        """Join one or more into one, in raster order."""
        all_of_them = _map_rows(np.concatenate, several)
        first = all_of_them.components.first_pixel
        return all_of_them.take(np.lexsort((first[:, 1], first[:, 0])))

    def tolerance(self, i: int) -> Tolerance | None:
        """The tolerance of row i and its buildings, None for exact contours."""
        return None if self.fit is None else Tolerance(self.pixel_m[i], float(self.bound_m[i]))

    @property
    def out_of_tolerance(self) -> NDArray[np.bool_]:
        """Which polygons are out of tolerance, (N,)."""
        if self.fit is None:
            return np.zeros(len(self), np.bool_)
        return (self.fit.iou_contour < LEAST_IOU) | (self.fit.deviation_m > self.bound_m)

    def resolved(self) -> "Outlines":
        """Return outlines that are valid, within tolerance and without overlap, with blocks split into buildings.

        Contours replace the polygons next to oversized components, and those that would be out of tolerance, or whose
        buildings could not be separated, after the overlaps are resolved; then the overlaps are resolved anew.
        """
        locked = self.components.blocked_by_oversized
        while True:
            polygons = self.polygons.copy()
            unchanged, trimmed = resolve_overlaps(polygons, self.contours, self.iou, locked=locked)
            after = self.redrawn(polygons, unchanged, unchanged | trimmed)
            splits, failed = after._splits(unchanged, trimmed)
            alone = ~np.isin(np.arange(len(self)), list(splits))  # the buildings of the others are measured one by one
            failed |= (unchanged | trimmed) & after.out_of_tolerance & alone
            if not (failed & ~locked).any():
                return after._split(splits)
            locked = locked | failed

    def redrawn(
        self, polygons: NDArray[np.object_], unchanged: NDArray[np.bool_], changed: NDArray[np.bool_]
    ) -> "Outlines":
        """Return other polygons, measured anew where ``changed``; ``unchanged`` ones are contours now."""
        if self.fit is None:
            iou = self.iou.copy()
            iou[changed] = ious(polygons[changed], self.contours[changed])
            return replace(self, polygons=polygons, iou=iou)
        measured = Closeness.of(polygons[changed], self.contours[changed], self.pixel_m[changed])
        fit = self.fit.take(np.arange(len(self))).marked(unchanged)
        fit.put(np.flatnonzero(changed), fit.take(changed).measured(measured))
        return replace(self, polygons=polygons, iou=fit.iou_contour, fit=fit)

    def of_rectangles(self, rows: NDArray[np.intp], direction_deg: NDArray[np.float64]) -> "Outlines":
        """Return the same outlines with these rows marked as rectangles along ``direction_deg``."""
        assert self.fit is not None
        fit = self.fit.take(np.arange(len(self)))
        fit.status[rows], fit.direction_deg[rows] = ORTHO, direction_deg
        return replace(self, fit=fit)

    def _splits(
        self, unchanged: NDArray[np.bool_], trimmed: NDArray[np.bool_]
    ) -> tuple[dict[int, Split], NDArray[np.bool_]]:
        """Split blocks that are ``unchanged`` or ``trimmed`` anew; return all splits, and which blocks failed, (N,)."""
        splits, failed = {}, np.zeros(len(self), np.bool_)
        for i, block in enumerate([] if self.blocks is None else self.blocks):
            if block is None or block.split is None:
                continue
            split, parts = block.split, None
            if self.polygons[i] is self.contours[i]:
                parts = split.contours
            elif unchanged[i] or trimmed[i]:
                parts = cut_along(self.polygons[i], block.traced if unchanged[i] else split.walls, block.anchors)
                failed[i] = parts is None
            if parts is not None:
                closeness = None
                if (tolerance := self.tolerance(i)) is not None:
                    closeness = tolerance.measured(parts, split.contours)
                    failed[i] = not closeness.within(tolerance.deviation_m).all()
                split = split.redrawn(parts, closeness, unchanged=bool(unchanged[i]))
            splits[i] = split
        return splits, failed

    def _split(self, splits: dict[int, Split]) -> "Outlines":
        """Replace each block by one row for each of its buildings."""
        whole = np.setdiff1d(np.arange(len(self)), list(splits))
        return Outlines.joined([self.take(whole), *(self._parts(i, split) for i, split in splits.items())])

    def _parts(self, i: int, split: Split) -> "Outlines":
        """Return the buildings of row i; they keep the first pixel of their block, which keeps them together."""
        assert self.blocks is not None
        block = self.blocks[i]
        one = self.take(np.full(len(split.polygons), i))
        fit, iou = None, one.iou
        if one.fit is not None:
            assert split.closeness is not None
            iou = split.closeness.iou
            fit = one.fit.of_shared(split.direction_deg).measured(split.closeness).marked(split.unchanged)
        components = replace(one.components, area_px=block.area_px, byte_sum=block.byte_sum)
        return replace(
            one, polygons=split.polygons, contours=split.contours, iou=iou, components=components, fit=fit, blocks=None
        )


def _map_rows[T: Outlines | ComponentTable | Fit](make: Callable[[list[NDArray]], NDArray], several: Sequence[T]) -> T:
    """Apply ``make`` to each column of ``several`` values, and to the columns of the values within them."""
    made: dict[str, Any] = {}
    for field in fields(several[0]):
        columns = [getattr(one, field.name) for one in several]
        if all(column is None for column in columns):
            made[field.name] = None
        elif isinstance(columns[0], ComponentTable | Fit):
            made[field.name] = _map_rows(make, columns)
        else:  # only blocks may be missing in some
            full = zip(several, columns, strict=True)
            made[field.name] = make([np.full(len(one), None) if c is None else c for one, c in full])
    return type(several[0])(**made)
