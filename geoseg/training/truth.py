"""Rasters of numbers that are the truth of outputs beside the classes, NaN where it is not known.

They come as further bands of an area's pixels, so that windows are cut of both alike.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from geoseg.errors import InputError
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.reading import open_raster
from geoseg.training.data_spec import LabelledScene
from geoseg.training.quantities import LearntOutput
from geoseg.training.targets import UNKNOWN, Raw
from geoseg.values.box import Box
from geoseg.values.grid import Grid

Numbers = NDArray[np.float32]


def open_truth(item: LabelledScene, outputs: Sequence[LearntOutput], grid: Grid) -> Callable[[Box], Numbers]:
    """Return what reads the truth of every channel in a box of ``grid``, (G, h, w); NaN where none is known.

    Between the raster's pixels values are interpolated, of smaller pixels they are averaged. Raises InputError where a
    raster has not a band for each channel.
    """

    def truth(box: Box) -> Numbers:
        return np.concatenate(
            [np.empty((0, *box.shape), np.float32), *(_read(item, one, grid, box) for one in outputs)]
        )

    for one in outputs:
        _read(item, one, grid, Box(0, 0, 1, 1))
    return truth


def _read(item: LabelledScene, output: LearntOutput, grid: Grid, box: Box) -> Numbers:
    count, file = len(output.channels), item.truth.get(output.name)
    if file is None:
        return np.full((count, *box.shape), np.nan, np.float32)
    window = raster_window(box)
    try:
        with open_raster(file) as src:
            if src.count != count:
                raise InputError(f"{file}: {src.count} bands, and {output.name} has {count} channels")
            here = {"crs": grid.crs, "transform": grid.transform, "width": grid.width, "height": grid.height}
            with WarpedVRT(
                src, src_crs=src.crs or grid.crs, **here, dtype="float32", nodata=np.nan, resampling=Resampling.bilinear
            ) as vrt:
                return np.asarray(vrt.read(window=window, masked=True).filled(np.nan), np.float32)
    except RasterioError as error:
        raise InputError(
            f"{file}: cannot be read as a raster of {output.name} ({str(error).splitlines()[0]})"
        ) from error


def known_labels(truth: Callable[[Box], Numbers]) -> Callable[[Box], Raw]:
    """Return raw labels of a training without classes: 0 where any truth is known, else UNKNOWN."""
    return lambda box: np.where(np.isnan(truth(box)).all(0), UNKNOWN, 0).astype(np.int32)
