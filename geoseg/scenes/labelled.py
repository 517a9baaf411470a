"""Polygons with a class each: what their class column says, and the pixels that they cover."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError

if TYPE_CHECKING:
    import geopandas as gpd

    from geoseg.values.grid import Grid


def class_texts(frame: "gpd.GeoDataFrame", column: str, *, source: str) -> list[str]:
    """Return what ``column`` says of every polygon, as text; whole numbers without a fraction, true or false, no rims.

    Raises ConfigError where there is no such column, InputError where a polygon has no value in it.
    """
    if column not in frame.columns:
        raise ConfigError(f"{source}: no column {column!r}; there are {', '.join(map(str, frame.columns))}")
    empty = int(frame[column].isna().sum())
    if empty:
        raise InputError(
            f"{source}: {empty} of {len(frame)} polygons have no {column} (NULL); fill them in, "
            f"or leave them out (ogr2ogr -where '\"{column}\" IS NOT NULL')"
        )
    return [class_text(value) for value in frame[column].tolist()]


def class_text(value: object) -> str:
    """Return a class value as text, the same for the types that formats may keep it in.

    >>> [class_text(v) for v in (2, 2.0, "2", " wood ", True, "TRUE", 1.5)]
    ['2', '2', '2', 'wood', 'true', 'true', '1.5']
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return text.lower() if text.lower() in ("true", "false") or text.startswith("#") else text


def burn(geometries: Sequence[object] | NDArray[np.object_], values: Sequence[int], grid: "Grid") -> NDArray[np.int32]:
    """Return the values of the polygons whose inside a pixel's centre lies in, (H, W), 0 elsewhere; the last one wins.

    Invalid polygons fill by the even-odd rule, as drawn.
    """
    from rasterio.features import rasterize

    shapes = list(zip(geometries, values, strict=True))
    if not shapes:
        return np.zeros(grid.shape, np.int32)
    return rasterize(shapes, out_shape=grid.shape, transform=grid.transform, dtype="int32", fill=0)
