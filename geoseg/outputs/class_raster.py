"""Class rasters of any origin: what values they hold, which pixels say nothing, and what the classes are called."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from geoseg.errors import InputError
from geoseg.options.evaluate import NoNodata
from geoseg.outputs.class_table import read_classes, tagged_names
from geoseg.scenes.raster_grid import raster_grid, raster_window
from geoseg.scenes.reading import open_raster
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassInfo
from geoseg.values.grid import Grid

STRIP_ROWS = 512
MAX_CLASSES = 254
MASKS = ({0, 1}, {0, 255})  # the values of masks, 0 where the thing is not


@dataclass(frozen=True, slots=True, eq=False)
class ClassRaster:
    """A raster of one band of classes.

    nodata: the value that says nothing, None where every value is a class; present: the other values in it, ascending;
    names: by class id, of the tags that geoseg writes, else empty; classes: ``present`` and ``names``, described.
    """

    path: Path
    grid: Grid
    nodata: float | None
    present: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    classes: tuple[ClassInfo, ...] = ()

    @classmethod
    def open(cls, path: Path, *, nodata: float | NoNodata | None = None, beside: Grid | None = None) -> "ClassRaster":
        """Open a raster and look at all its values; nodata: instead of what the file says of it.

        beside: see ``raster_grid``. In a map that geoseg wrote, 0 is nodata. Raises InputError where it cannot be read,
        has no place, holds several bands, or a value that is no integer.
        """
        with open_raster(str(path)) as src:
            _refuse_what_holds_no_classes(src, path)
            grid = raster_grid(src, beside=beside)
            names = tagged_names(src, 1)
            own = NODATA if names else src.nodata if nodata is None else None if nodata == "none" else nodata
            present: set[int] = set()
            for row in range(0, src.height, STRIP_ROWS):
                values, known = known_values(src, Box(row, 0, min(row + STRIP_ROWS, src.height), src.width), own)
                present |= _integers(values[known], path)
                if len(present) > MAX_CLASSES:
                    raise InputError(f"{path}: more than {MAX_CLASSES} different values; it is no class raster")
            shown = () if names else [value for value in present if 1 <= value <= MAX_CLASSES]
            classes = read_classes(src, 1, shown)
            return cls(path, grid, own, tuple(sorted(present)), names, classes)

    @property
    def is_mask(self) -> bool:
        """Whether it holds 0 and 1, or 0 and 255, or 0 alone: where a thing is and where it is not."""
        return 0 in self.present and any(mask >= {*self.present} for mask in MASKS)

    def read(self, box: Box, ids: Mapping[int, int]) -> NDArray[np.uint8]:
        """Return the pixels of ``box`` as class ids, (h, w), 0 where they say nothing; ids: by value present."""
        out = np.zeros(box.shape, np.uint8)
        values_of = np.array(self.present)
        ids_of = np.array([ids[value] for value in self.present], np.uint8)
        with open_raster(str(self.path)) as src:
            for strip in _strips(box):
                values, known = known_values(src, strip, self.nodata)
                out[strip.within(box)][known] = ids_of[np.searchsorted(values_of, values[known])]
        return out


def _refuse_what_holds_no_classes(src: DatasetReader, path: Path) -> None:
    bands = src.count - sum(c is ColorInterp.alpha for c in src.colorinterp)
    if bands != 1:
        raise InputError(f"{path}: {bands} bands; a class raster has one (gdal_translate -b 1)")
    if np.dtype(src.dtypes[0].replace("complex_", "complex")).kind not in "iuf":
        raise InputError(f"{path}: {src.dtypes[0]} values; a class raster holds integers")


def _strips(box: Box) -> Iterator[Box]:
    for row in range(box.row0, box.row1, STRIP_ROWS):
        yield Box(row, box.col0, min(row + STRIP_ROWS, box.row1), box.col1)


def known_values(
    src: DatasetReader, box: Box, nodata: float | None
) -> tuple[NDArray[np.integer | np.floating], NDArray[np.bool_]]:
    """Return the values of ``box`` and which of them say something: no nodata, no NaN, not masked, not transparent."""
    window = raster_window(box)
    try:
        values = src.read(1, window=window)
        masked = MaskFlags.per_dataset in src.mask_flag_enums[0]
        known = src.read_masks(1, window=window) > 0 if masked else np.ones(values.shape, np.bool_)
    except RasterioError as error:
        raise InputError(
            f"{src.name}: rows {box.row0}..{box.row1} cannot be read ({str(error).splitlines()[0]}); "
            f"the file is damaged or cut off, fetch it again"
        ) from error
    if nodata is not None:
        known &= values != nodata
    if values.dtype.kind == "f":
        known &= ~np.isnan(values)
    return values, known


def _integers(values: NDArray[np.integer | np.floating], path: Path) -> set[int]:
    """Return the different values; raises InputError where one is no integer."""
    found = np.unique(values)
    if found.dtype.kind == "f":
        odd = found[~np.isfinite(found) | (found != np.round(found))]
        if len(odd):
            raise InputError(
                f"{path}: holds {odd[0]:g}; classes are integers (is it a probability or a measurement? numbers are "
                f"judged with --numbers)"
            )
    return {int(value) for value in found}
