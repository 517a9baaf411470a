"""Where a raster that is read as it is lies: a map, a mask, probabilities; of an image without a place as well."""

from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg.errors import InputError
from geoseg.values.box import Box
from geoseg.values.grid import Grid, placeless

PIXEL_TAG, UNKNOWN = "GEOSEG_PIXEL_M", "unknown"  # says of a map without a place how wide its pixels are


def raster_window(box: Box) -> Window:
    """Return a box as rasterio's window.

    >>> raster_window(Box(2, 3, 4, 9))
    Window(col_off=3, row_off=2, width=6, height=2)
    """
    return Window(box.col0, box.row0, box.shape[1], box.shape[0])


def place_tags(grid: Grid) -> dict[str, str]:
    """Return the tags by which ``raster_grid`` knows a map of an image without a place; none of other maps."""
    if grid.has_place:
        return {}
    return {PIXEL_TAG: f"{grid.crs.linear_units_factor[1]!r}" if grid.has_size else UNKNOWN}


def raster_grid(src: DatasetReader, *, beside: Grid | None = None) -> Grid:
    """Return the grid that a raster's CRS and geotransform give; raises InputError where it has none.

    Maps that geoseg made of an image without a place have one in pixel coordinates, and so has a raster without a place
    that is compared with one of those: beside is the grid of that.
    """
    missing = "CRS" if src.crs is None else "geotransform" if src.transform.is_identity else None
    if missing is None:
        return Grid(src.crs, src.transform, src.shape)
    if src.crs is None and src.transform.is_identity:
        if beside is not None and not beside.has_place:
            return Grid(beside.crs, src.transform, src.shape)
        if (side_m := src.tags().get(PIXEL_TAG)) is not None:
            return Grid(placeless(_side_m(side_m, src.name)), src.transform, src.shape)
    raise InputError(f"{src.name}: no {missing}; set it (gdal_edit.py -a_srs -a_ullr)")


def _side_m(text: str, name: str) -> float | None:
    try:
        side_m = None if text == UNKNOWN else float(text)
    except ValueError:
        side_m = -1.0
    if side_m is not None and not 0 < side_m < float("inf"):
        raise InputError(f"{name}: its tag {PIXEL_TAG} says {text!r} of its pixels, which is no length; set it right")
    return side_m
