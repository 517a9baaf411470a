"""Numbers against truth, such as heights: two rasters of one grid, compared strip by strip."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate.scores import rounded
from geoseg.jobs.evaluate.sides import Layer
from geoseg.options.evaluate import EvaluateOptions, NoNodata
from geoseg.outputs.class_raster import known_values
from geoseg.outputs.run_json import finished_run
from geoseg.scenes.labelled import burn
from geoseg.scenes.polygons import split_layer
from geoseg.scenes.raster_grid import raster_grid
from geoseg.scenes.reading import open_raster
from geoseg.scenes.stack import in_words
from geoseg.trust import Differences, differences
from geoseg.values.box import Box
from geoseg.values.grid import Grid

STRIP_ROWS = 512


def evaluate_numbers(prediction: str | Path, truth: str | Path, options: EvaluateOptions) -> Differences:
    """Compare two rasters of numbers of one band on one grid; options: its aoi and nodata.

    prediction: an output folder with one raster of numbers, or a raster. Raises InputError and ConfigError.
    """
    odd = [name for name in ("column", "layer", "values") if getattr(options, name) is not None]
    if odd:
        raise ConfigError(f"--{odd[0]} is for classes; --numbers compares two rasters")
    file = _raster_of_numbers(Path(prediction)) if Path(prediction).is_dir() else split_layer(prediction)[0]
    with open_raster(str(file)) as said, open_raster(str(truth)) as right:
        grid = _grid(said)
        if not grid.same_as(true := _grid(right, grid)):
            raise InputError(
                f"{truth}: its grid ({in_words(true)}) differs from that of the prediction ({in_words(grid)}); "
                f"bring both to one grid (gdalwarp -te -tr)"
            )
        area = None if options.aoi is None else shapely.make_valid(Layer(options.aoi).read(grid).geometry.values)
        total = Differences()
        for row in range(0, grid.height, STRIP_ROWS):
            box = Box(row, 0, min(row + STRIP_ROWS, grid.height), grid.width)
            known = _numbers(right, box, options.nodata)
            if area is not None:
                known[burn(area, [1] * len(area), grid.crop(box)) == 0] = np.nan
            total += differences(known, _numbers(said, box, options.nodata))
    if not total.pixels:
        raise InputError(f"{truth}: nothing to judge; truth, prediction and aoi share no ground")
    return total


def numbers_json(found: Differences) -> dict[str, Any]:
    """Return the scores as JSON values; what has no value is null."""
    scores = {name: rounded(getattr(found, name)) for name in ("rmse", "mae", "bias", "r2")}
    return {"pixels": found.pixels, **scores}


def _raster_of_numbers(folder: Path) -> Path:
    layers = [layer for layer in finished_run(folder).layers if layer.kind == "number" and layer.file]
    if len(layers) != 1:
        found = ", ".join(str(layer.file) for layer in layers) or "none"
        raise ConfigError(f"{folder}: --numbers needs one raster of numbers, and there are {found}; name the file")
    return folder / str(layers[0].file)


def _grid(src: DatasetReader, beside: Grid | None = None) -> Grid:
    if src.count != 1:
        raise InputError(f"{src.name}: {src.count} bands; numbers are compared band by band (gdal_translate -b 1)")
    return raster_grid(src, beside=beside)


def _numbers(src: DatasetReader, box: Box, nodata: float | NoNodata | None) -> NDArray[np.float64]:
    """Return the numbers of a box, in the unit that scale and offset of the file give, NaN where nothing is known."""
    lost = src.nodata if nodata is None else None if nodata == "none" else nodata
    values, known = known_values(src, box, lost)
    return np.where(known, values.astype(np.float64) * src.scales[0] + src.offsets[0], np.nan)
