"""A raster of errors: where a prediction is right, and how it is wrong elsewhere."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from geoseg.disk.files import atomic
from geoseg.errors import OutputError
from geoseg.outputs.pam import write_pam
from geoseg.values.classes import NODATA, ClassInfo, ClassMap
from geoseg.values.grid import Grid

RIGHT, MISSED, INVENTED, MISTAKEN, BAND = range(1, 6)
ERRORS = ClassMap(
    (
        ClassInfo(RIGHT, "right", (235, 235, 235)),
        ClassInfo(MISSED, "missed", (215, 48, 39)),
        ClassInfo(INVENTED, "invented", (69, 117, 180)),
        ClassInfo(MISTAKEN, "another class", (152, 78, 163)),
        ClassInfo(BAND, "boundary band", (253, 184, 99)),
    )
)
STRIP_ROWS = 512


def refuse_existing(path: Path) -> None:
    """Raise OutputError where a file of errors would replace another."""
    if path.exists():
        raise OutputError(f"{path}: exists already; choose another name for --errors")


def errors_of(
    truth: NDArray[np.uint8],
    answer: NDArray[np.uint8],
    *,
    background: int | None,
    tolerance_m: float,
    pixel_size_m: tuple[float, float],
) -> NDArray[np.uint8]:
    """Return ids of ERRORS (H, W), 0 where either side is nodata.

    Missed: background where there is none; invented: the other way round; without a background all are another class.
    Boundary band: wrong pixels within the tolerance of a true pixel beside another class.
    """
    known = (truth != NODATA) & (answer != NODATA)
    kind = np.where(truth == background, INVENTED, np.where(answer == background, MISSED, MISTAKEN))
    kind = np.where(truth == answer, RIGHT, kind)
    cross = ndimage.generate_binary_structure(2, 1)
    highest = ndimage.maximum_filter(truth, footprint=cross)
    lowest = ndimage.minimum_filter(np.where(truth == NODATA, 255, truth), footprint=cross)
    edge = (truth != NODATA) & (highest != lowest)
    if edge.any():
        near = ndimage.distance_transform_edt(~edge, sampling=pixel_size_m) <= tolerance_m * (1 + 1e-9)
        kind = np.where((kind != RIGHT) & near, BAND, kind)
    return np.where(known, kind, NODATA).astype(np.uint8)


def write_errors(
    path: Path,
    truth: NDArray[np.uint8],
    answer: NDArray[np.uint8],
    grid: Grid,
    *,
    background: int | None,
    near_m: float,
) -> None:
    """Write ``errors_of`` the whole ground as a GeoTIFF with names and colours, strip by strip."""
    counts, area_ha = np.zeros(len(ERRORS) + 1, np.int64), np.zeros(len(ERRORS) + 1)
    row_ha = grid.row_areas_m2() / 1e4
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "compress": "deflate", "tiled": True}
    place = {"crs": grid.crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
    with atomic(path) as temporary, rasterio.open(temporary, "w", **profile, **place) as dst:
        dst.write_colormap(1, {c.id: c.color for c in ERRORS})
        dst.update_tags(1, **{f"CLASS_{c.id}": c.name for c in ERRORS})
        for rows, padded, core in _strips(grid, near_m):
            kind = errors_of(
                truth[padded], answer[padded], background=background, tolerance_m=near_m,
                pixel_size_m=grid.ground_resolution_m(),
            )[core]  # fmt: skip
            dst.write(kind, 1, window=Window(0, rows.start, grid.width, rows.stop - rows.start))
            for c in ERRORS:
                per_row = (kind == c.id).sum(1)
                counts[c.id] += per_row.sum()
                area_ha[c.id] += per_row @ row_ha[rows]
    write_pam(path, ERRORS, counts=dict(enumerate(counts.tolist())), area_ha=dict(enumerate(area_ha.tolist())))


def _strips(grid: Grid, near_m: float) -> Iterator[tuple[slice, slice, slice]]:
    """Yield rows, the same with a rim wider than the tolerance, and the rows within these."""
    rim = ceil(near_m / grid.ground_resolution_m()[0]) + 2
    for row in range(0, grid.height, STRIP_ROWS):
        end, first = min(row + STRIP_ROWS, grid.height), max(row - rim, 0)
        yield slice(row, end), slice(first, end + rim), slice(row - first, end - first)
