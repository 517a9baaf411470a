"""A raster of errors: where a prediction is right, and how it is wrong elsewhere."""

from math import ceil
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from geoseg.disk.files import atomic
from geoseg.jobs.evaluate.judged import Judged
from geoseg.outputs.pam import write_pam
from geoseg.scenes.raster_grid import place_tags
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassInfo, ClassMap

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


def errors_in(judged: Judged, box: Box, *, near_m: float) -> NDArray[np.uint8]:
    """Return ``errors_of`` a box of judged ground, (h, w); what lies around it is seen, too."""
    around = box.grown(ceil(near_m / min(judged.grid.ground_resolution_m())) + 2).clip(judged.grid.box)
    assert around is not None
    part = around.within(judged.grid.box)
    background = next((c.id for c in judged.classes if c.name == "background"), None)
    found = errors_of(
        judged.truth[part], judged.answers[part], background=background, tolerance_m=near_m,
        pixel_size_m=judged.grid.ground_resolution_m(),
    )  # fmt: skip
    return found[box.within(around)]


def write_errors(path: Path, judged: Judged, *, near_m: float) -> None:
    """Write ``errors_of`` the whole ground as a GeoTIFF with names and colours, strip by strip."""
    grid = judged.grid
    counts, area_ha = np.zeros(len(ERRORS) + 1, np.int64), np.zeros(len(ERRORS) + 1)
    row_ha = grid.row_areas_m2() / 1e4
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "compress": "deflate", "tiled": True}
    place = {"crs": grid.written_crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
    with atomic(path) as temporary, rasterio.open(temporary, "w", **profile, **place) as dst:
        dst.write_colormap(1, {c.id: c.color for c in ERRORS})
        dst.update_tags(**place_tags(grid))
        dst.update_tags(1, **{f"CLASS_{c.id}": c.name for c in ERRORS})
        for row in range(0, grid.height, STRIP_ROWS):
            strip = Box(row, 0, min(row + STRIP_ROWS, grid.height), grid.width)
            kind = errors_in(judged, strip, near_m=near_m)
            dst.write(kind, 1, window=Window(0, row, *strip.shape[::-1]))
            for c in ERRORS:
                per_row = (kind == c.id).sum(1)
                counts[c.id] += per_row.sum()
                area_ha[c.id] += per_row @ row_ha[strip.row0 : strip.row1]
    write_pam(path, ERRORS, counts=dict(enumerate(counts.tolist())), area_ha=dict(enumerate(area_ha.tolist())))
