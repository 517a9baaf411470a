"""Placement: where the pixels of a file lie, by a geotransform, by ground control points or by RPCs and heights.

The place of every pixel is computed by itself, without GDAL's approximation, so that no byte depends on the box that is
asked for. Rows and cols count pixels from the outer corner of the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer

from geoseg.scenes.reading import open_raster, read_band
from geoseg.values.box import Box
from geoseg.values.resampling import Rule

Places = NDArray[np.float64]
Flags = NDArray[np.bool_]
LARGEST_PX = 2**24  # of heights that are read at once
STEPS, STEP_DEG = 12, 1e-6  # of Newton's method, and by which its slopes are measured


class Way(Protocol):
    """What leads from a file's pixels to its CRS and back; a frozen value whose ``repr`` says all of it."""

    @property
    def files(self) -> tuple[str, ...]:
        """What it reads."""

    def to_crs(self, rows: Places, cols: Places) -> tuple[Places, Places]:
        """Return x and y of places in pixels."""

    def to_pixels(self, x: Places, y: Places) -> tuple[Places, Places]:
        """Return rows and cols of places in the CRS, which are finite."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pixels of a file lie."""

    crs: CRS
    shape: tuple[int, int]
    way: Way

    @property
    def transform(self) -> Affine | None:
        """The geotransform, None where something else places the pixels."""
        return self.way.transform if isinstance(self.way, ByTransform) else None

    def to_pixels(self, x: Places, y: Places) -> tuple[Places, Places]:
        """Return rows and cols of places in the CRS, (-1, -1) where there are none."""
        found = np.isfinite(x) & np.isfinite(y)
        rows, cols = self.way.to_pixels(np.where(found, x, 0), np.where(found, y, 0))
        return np.where(found, rows, -1), np.where(found, cols, -1)


@dataclass(frozen=True, slots=True)
class ByTransform:
    """Pixels that a geotransform places."""

    transform: Affine
    turn: float | None  # units of a CRS of longitudes that lead once around the Earth: the antimeridian may lie inside

    @property
    def files(self) -> tuple[str, ...]:
        """See ``Way``."""
        return ()

    def to_crs(self, rows: Places, cols: Places) -> tuple[Places, Places]:
        """See ``Way``."""
        return applied(self.transform, cols, rows)

    def to_pixels(self, x: Places, y: Places) -> tuple[Places, Places]:
        """See ``Way``."""
        cols, rows = applied(~self.transform, x, y)
        if self.turn is not None:
            cols = np.mod(cols, self.turn / hypot(self.transform.a, self.transform.d))
        return rows, cols


@dataclass(frozen=True, slots=True)
class ByPoints:
    """Pixels that ground control points (row, col, x, y) place: by a polynomial of the order that they allow."""

    points: tuple[tuple[float, float, float, float], ...]

    def __str__(self) -> str:
        """Return it in words."""
        return f"{len(self.points)} ground control points"

    @property
    def files(self) -> tuple[str, ...]:
        """See ``Way``."""
        return ()

    def to_crs(self, rows: Places, cols: Places) -> tuple[Places, Places]:
        """See ``Way``."""
        x, y = _by_points(self.points).xy(rows.ravel(), cols.ravel(), offset="ul")
        return np.reshape(x, rows.shape), np.reshape(y, rows.shape)

    def to_pixels(self, x: Places, y: Places) -> tuple[Places, Places]:
        """See ``Way``."""
        rows, cols = _by_points(self.points).rowcol(x.ravel(), y.ravel(), op=np.positive)  # as they are
        return np.reshape(rows, x.shape), np.reshape(cols, x.shape)


@dataclass(frozen=True, slots=True)
class Heights:
    """Height of the ground in metres: one for all, or those of a raster, as they are."""

    metres: float = 0.0
    dem: str | None = None

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.metres:g} m" if self.dem is None else self.dem

    def at(self, lon: Places, lat: Places) -> Places:
        """Return heights of places in degrees, NaN where the raster has none."""
        if self.dem is None:
            return np.full(lon.shape, self.metres)
        with open_raster(self.dem) as src:
            to_dem, (height, width), transform = _to_crs_of(src.crs.to_wkt()), src.shape, src.transform
        cols, rows = applied(~transform, *(np.asarray(p) for p in to_dem.transform(lon.ravel(), lat.ravel())))
        heights = np.full(rows.shape, np.nan)
        inside = np.flatnonzero((rows >= 0) & (rows <= height) & (cols >= 0) & (cols <= width))
        for some in _near(rows, cols, inside):
            (r0, r1), (c0, c1) = span(rows[some], height), span(cols[some], width)
            box = Box(r0, c0, r1, c1)
            data, known = read_band(self.dem, box)
            values, found = taken((data[None], known[None]), box, (rows[some], cols[some]), (height, width), "bilinear")
            heights[some] = np.where(found[0], values[0], np.nan)
        return heights.reshape(lon.shape)


@dataclass(frozen=True, slots=True)
class ByRational:
    """Pixels that rational polynomials (RPC00B) of longitude, latitude and height place, in degrees of WGS 84."""

    line: tuple[float, ...]  # offset, scale, 20 coefficients of the numerator, 20 of the denominator
    sample: tuple[float, ...]
    ground: tuple[float, ...]  # offset and scale of longitude, of latitude, of height
    heights: Heights

    @classmethod
    def of(cls, rpc: RPC, heights: Heights) -> "ByRational":
        """Return the same as rasterio's value."""
        return cls(
            (rpc.line_off, rpc.line_scale, *rpc.line_num_coeff, *rpc.line_den_coeff),
            (rpc.samp_off, rpc.samp_scale, *rpc.samp_num_coeff, *rpc.samp_den_coeff),
            (rpc.long_off, rpc.long_scale, rpc.lat_off, rpc.lat_scale, rpc.height_off, rpc.height_scale),
            heights,
        )

    def __str__(self) -> str:
        """Return it in words."""
        return f"RPCs at heights of {self.heights}"

    @property
    def files(self) -> tuple[str, ...]:
        """See ``Way``."""
        return () if self.heights.dem is None else (self.heights.dem,)

    def to_crs(self, rows: Places, cols: Places) -> tuple[Places, Places]:
        """See ``Way``; by Newton's method, the heights those of the place that was found last."""
        x, y = np.full(rows.shape, self.ground[0]), np.full(rows.shape, self.ground[2])
        for _ in range(STEPS):
            z = self.heights.at(x, y)
            row, col = self._at(x, y, z)
            (row_x, col_x), (row_y, col_y) = self._at(x + STEP_DEG, y, z), self._at(x, y + STEP_DEG, z)
            a, b, c, d = ((p - q) / STEP_DEG for p, q in ((row_x, row), (row_y, row), (col_x, col), (col_y, col)))
            off_row, off_col, det = rows - row, cols - col, a * d - b * c
            x, y = x + (d * off_row - b * off_col) / det, y + (a * off_col - c * off_row) / det
        return x, y

    def to_pixels(self, x: Places, y: Places) -> tuple[Places, Places]:
        """See ``Way``."""
        return self._at(x, y, self.heights.at(x, y))

    def _at(self, lon: Places, lat: Places, height: Places) -> tuple[Places, Places]:
        values = zip((lon, lat, height), self.ground[::2], self.ground[1::2], strict=True)
        x, y, z = ((value - offset) / scale for value, offset, scale in values)
        terms = (
            1.0, x, y, z, x * y, x * z, y * z, x * x, y * y, z * z,
            x * y * z, x * x * x, x * y * y, x * z * z, x * x * y, y * y * y, y * z * z, x * x * z, y * y * z,
            z * z * z,
        )  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            rows, cols = (
                offset + scale * _sum(coefficients[:20], terms) / _sum(coefficients[20:], terms) + 0.5  # from centres
                for offset, scale, *coefficients in (self.line, self.sample)
            )
        return rows, cols


def applied(t: Affine, x: Places, y: Places) -> tuple[Places, Places]:
    """Return where a transform brings places."""
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def span(places: Places, length: int) -> tuple[int, int]:
    """Return [first, last) of the pixels around places, (0, 1) for none."""
    if not places.size:
        return 0, 1
    return max(int(places.min() - 0.5), 0), min(int(places.max() + 0.5) + 1, length)


def taken(
    fetched: tuple[NDArray[np.generic], Flags],
    box: Box,
    places: tuple[Places, Places],
    shape: tuple[int, int],
    rule: Rule,
) -> tuple[Places, Flags]:
    """Return what places (rows, cols) inside a file of ``shape`` take of its pixels, and whether of any that are known.

    Each is the same whatever the others. fetched: (C, h, w) pixels of ``box``, which reaches around the places, and
    which of them are known.
    """
    (data, known), (height, width), (rows, cols) = fetched, shape, places
    total, sums = np.zeros((len(data), *rows.shape)), np.zeros((len(data), *rows.shape))
    for row, row_weight in _taps(rows, height, rule):
        for col, col_weight in _taps(cols, width, rule):
            at = np.clip(row - box.row0, 0, box.shape[0] - 1), np.clip(col - box.col0, 0, box.shape[1] - 1)
            weight = row_weight * col_weight * known[:, *at]
            total += weight
            sums += weight * np.where(weight > 0, data[:, *at], 0)
    return np.divide(sums, total, out=sums, where=total > 0), total > 0


def _taps(places: Places, length: int, rule: Rule) -> Iterator[tuple[NDArray[np.int64], Places | int]]:
    """Yield the pixels that count for places, and how much; each is the same whatever the others."""
    if rule == "nearest":
        yield np.minimum(places.astype(np.int64), length - 1), 1
        return
    centre = np.clip(places - 0.5, 0, length - 1)
    left = np.minimum(centre.astype(np.int64), max(length - 2, 0))
    yield left, 1 - (centre - left)
    yield np.minimum(left + 1, length - 1), centre - left


def _near(rows: Places, cols: Places, some: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield groups of places that lie so near to each other that the pixels around them may be read at once."""
    if not some.size:
        return
    if some.size == 1 or (np.ptp(rows[some]) + 2) * (np.ptp(cols[some]) + 2) <= LARGEST_PX:
        yield some
        return
    longer = rows if np.ptp(rows[some]) > np.ptp(cols[some]) else cols
    ordered = some[np.argsort(longer[some], kind="stable")]
    for half in np.array_split(ordered, 2):
        yield from _near(rows, cols, half)


def _sum(coefficients: list[float], terms: tuple[Any, ...]) -> Any:
    total = coefficients[0] * terms[0]
    for coefficient, term in zip(coefficients[1:], terms[1:], strict=True):
        total = total + coefficient * term
    return total


@lru_cache(maxsize=8)
def _to_crs_of(wkt: str) -> Any:  # pyproj's Transformer, imported late
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:4326", wkt, always_xy=True)


@lru_cache(maxsize=8)
def _by_points(points: tuple[tuple[float, float, float, float], ...]) -> GCPTransformer:
    """Return GDAL's polynomial through points, of the order that their number allows, as gdalwarp takes it."""
    return GCPTransformer([GroundControlPoint(*point) for point in points])
