"""True areas and perimeters of polygons on the ellipsoid."""

from math import atan2, cos, pi, sin, sqrt

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.values.grid import lonlat, pyproj_crs

# Great circles on the authalic sphere, which keeps all areas of the ellipsoid, stand for geodesics so short: areas come
# out within 3e-8, lengths within 3e-9; small areas closer than by pyproj (10 m triangles: 6e-10 against 1e-6). Rings
# with longer edges are measured by pyproj, one by one.
SHORT_EDGE_M = 10_000.0


def geodesic_area_m2(geometries: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Return the area in m² of each Polygon or MultiPolygon, shape (N,); see ``geodesic_measures``."""
    return geodesic_measures(geometries, crs)[0]


def geodesic_measures(geometries: NDArray[np.object_], crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return area in m² and perimeter in m of each Polygon or MultiPolygon, each (N,), on the ellipsoid of ``crs``.

    Holes are taken out of the area, and their edges are part of the perimeter; see ``ring_measures``. Empty geometries
    have area 0. Raises InputError where a vertex has no place on Earth.
    """
    polygons, owner = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    rings, polygon_of_ring = shapely.get_rings(polygons, return_index=True)
    xy = shapely.get_coordinates(rings)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(shapely.get_num_coordinates(rings))])
    area, perimeter = ring_measures(xy, ends, crs)
    area[np.diff(polygon_of_ring, prepend=-1) == 0] *= -1  # the first ring of a polygon is its shell
    of_ring, n = owner[polygon_of_ring], len(geometries)
    return np.bincount(of_ring, weights=area, minlength=n), np.bincount(of_ring, weights=perimeter, minlength=n)


def ring_measures(
    xy: NDArray[np.float64], ends: NDArray[np.int64], crs: CRS, *, longest_edge: float = np.inf
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each closed ring xy[ends[k]:ends[k + 1]] encloses in m², and its length in m, each (R,).

    Edges count as geodesics between their vertices (Karney 2013), as in QGIS; for buildings the difference to straight
    edges of the projection is below 1e-8. longest_edge: in units of the CRS; longer ones are cut into pieces first, and
    so follow the projection. About 0.3 us per vertex. Raises InputError where one has no place on Earth.
    """
    xy, ends = _cut_edges(xy, ends, longest_edge)
    lon, lat = lonlat(crs, xy[:, 0], xy[:, 1])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError(f"polygons leave the area where {crs.to_string()} is defined; areas cannot be measured there")
    geod = pyproj_crs(crs).get_geod()
    area, perimeter, longest = _measure(lon, lat, ends, geod.a, geod.es, *_authalic(geod.es))
    for k in np.flatnonzero(longest > SHORT_EDGE_M):
        part = slice(ends[k], ends[k + 1])
        area[k], perimeter[k] = geod.polygon_area_perimeter(lon[part], lat[part])
    return np.abs(area), perimeter


def _cut_edges(
    xy: NDArray[np.float64], ends: NDArray[np.int64], longest: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cut the edges of rings into equal pieces of at most ``longest``."""
    edge = np.diff(xy, axis=0, append=xy[-1:])
    edge[ends[1:] - 1] = 0  # from ring to ring
    pieces = np.maximum(np.ceil(np.hypot(*edge.T) / longest), 1).astype(np.int64)
    if (pieces == 1).all():
        return xy, ends
    after = np.concatenate([np.zeros(1, np.int64), np.cumsum(pieces)])
    share = (np.arange(after[-1]) - np.repeat(after[:-1], pieces)) / np.repeat(pieces, pieces)
    return np.repeat(xy, pieces, axis=0) + share[:, None] * np.repeat(edge, pieces, axis=0), after[ends]


def _authalic(es: float) -> tuple[NDArray[np.float64], float]:
    """Return the series from geographic to authalic latitude, and the authalic sphere's share of the equatorial radius.

    The coefficients, of sin 2 k lat, are by powers of the third flattening (Karney 2022, "On auxiliary latitudes").
    """
    e = sqrt(es)
    n = (1 - sqrt(1 - es)) / (1 + sqrt(1 - es))
    series = np.array(
        [
            n * (-4 / 3 + n * (-4 / 45 + n * (88 / 315 + n * 538 / 4725))),
            n**2 * (34 / 45 + n * (8 / 105 - n * 2482 / 14175)),
            n**3 * (-1532 / 2835 - n * 898 / 14175),
            n**4 * 6007 / 14175,
        ]
    )
    return series, sqrt((1 + (1 - es) * (np.arctanh(e) / e if e else 1.0)) / 2)


@njit(cache=True, nogil=True)
def _measure(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    ends: NDArray[np.int64],
    equator: float,
    es: float,
    series: NDArray[np.float64],
    authalic: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return signed area, length, and longest edge of each ring.

    The area is a fan of spherical triangles from the ring's first vertex (Eriksson 1990), on the authalic sphere; so
    poles and the antimeridian are places like any other. Lengths are those of chords through the ellipsoid, bent.
    """
    area, perimeter, longest = np.zeros(len(ends) - 1), np.zeros(len(ends) - 1), np.zeros(len(ends) - 1)
    first, before, here = np.zeros(6), np.zeros(6), np.zeros(6)
    for ring in range(len(ends) - 1):
        for i in range(ends[ring], ends[ring + 1]):
            _place(lon[i] * pi / 180, lat[i] * pi / 180, es, series, here)
            if i == ends[ring]:
                first = here.copy()
            else:
                chord2 = (here[3] - before[3]) ** 2 + (here[4] - before[4]) ** 2 + (here[5] - before[5]) ** 2
                area[ring] += _triangle(first, before, here) + _beside(before, here, es) * chord2
                length = sqrt(chord2) * (1 + chord2 / 24)
                perimeter[ring] += length
                longest[ring] = max(longest[ring], length)
            before, here = here, before
        area[ring] *= (authalic * equator) ** 2
        perimeter[ring] *= equator
        longest[ring] *= equator
    return area, perimeter, longest


@njit(cache=True, nogil=True)
def _beside(a: NDArray[np.float64], b: NDArray[np.float64], es: float) -> float:
    """Signed area between a geodesic and its great circle, by the square of their length.

    A geodesic of azimuth A comes to lie on the authalic sphere with the curvature -es sin(lat) cos(lat) sin(A), to
    first order in es, and a twelfth of curvature times length cubed lies between an arc and its chord.
    """
    return -es / 24 * (a[2] + b[2]) * (a[0] * b[1] - a[1] * b[0])


@njit(cache=True, nogil=True)
def _place(lon: float, lat: float, es: float, series: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the place (x, y, z) on the authalic sphere of radius 1, and that on the ellipsoid of equator 1."""
    east, north, up, out_of_axis = cos(lon), sin(lon), sin(lat), cos(lat)
    sin2, cos2 = 2 * up * out_of_axis, 1 - 2 * up * up
    later, sooner = 0.0, 0.0  # Clenshaw's summation
    for k in range(len(series) - 1, -1, -1):
        later, sooner = sooner, series[k] + 2 * cos2 * sooner - later
    xi = lat + sin2 * sooner
    out[0], out[1], out[2] = cos(xi) * east, cos(xi) * north, sin(xi)
    normal = 1 / sqrt(1 - es * up * up)
    out[3], out[4], out[5] = normal * out_of_axis * east, normal * out_of_axis * north, normal * (1 - es) * up


@njit(cache=True, nogil=True)
def _triangle(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    """Signed area of a triangle on the sphere of radius 1; from differences, so that small ones keep their digits."""
    bx, by, bz, cx, cy, cz = b[0] - a[0], b[1] - a[1], b[2] - a[2], c[0] - a[0], c[1] - a[1], c[2] - a[2]
    volume = a[0] * (by * cz - bz * cy) + a[1] * (bz * cx - bx * cz) + a[2] * (bx * cy - by * cx)
    cosines = 0.0
    for k in range(3):
        cosines += a[k] * b[k] + b[k] * c[k] + c[k] * a[k]
    return 2 * atan2(volume, 1 + cosines)
