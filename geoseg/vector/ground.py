"""The ground under a raster or a layer: true metres for pixels, metres about a place, areas and lengths by pyproj.

pixels (col, row) --GroundFrame.to_crs--> CRS (x, y) --lonlat--> (longitude, latitude) on the CRS's own datum
|-- ring_areas_m2: equal-area plane of its cell
`-- lengths: geodesics
"""

from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.values.grid import Grid, lonlat, pyproj_crs

SIZE_STEPS = 1024  # per octave: sizes are rounded to 0.07 %, so that neighbours are fitted in one call and frame
SHORT_EDGE_M, NEAR_M = 500.0, 150_000.0  # longest edge, farthest corner of rings that the plane of a cell measures


@dataclass(frozen=True, slots=True, eq=False)
class GroundFrame:
    """How the pixels of a scene lie in its CRS and on the ground.

    transform: (col, row) -> CRS (x, y). grid: where the ground is measured, None where the CRS is in true metres.
    Places are (N, 2) (row, col) pixel coordinates, 0 at the outer corner of the scene's first pixel; what is measured
    at a place depends on where on Earth it is and not on where the raster was cut.
    """

    transform: Affine
    grid: Grid | None = None

    @classmethod
    def of_grid(cls, grid: Grid) -> "GroundFrame":
        """Measure on the ellipsoid of the grid's CRS; right for degrees, feet and Web Mercator."""
        grid.ground_resolution_m()  # refuses a scene that has no place on Earth
        return cls(grid.transform, grid)

    @classmethod
    def of_metric(cls, transform: Affine) -> "GroundFrame":
        """Take the units of ``transform`` as metres that are true everywhere.

        >>> GroundFrame.of_metric(Affine(0.25, 0, 0, 0, -0.5, 0)).pixel_sizes_m(np.zeros((1, 2)))
        array([[0.5 , 0.25]])
        """
        if not abs(transform.determinant) > 0:
            raise InputError(f"the transform {tuple(transform)[:6]} does not map pixels to an area")
        return cls(transform)

    def to_crs(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) pixel coordinates (col, row) to CRS (x, y)."""
        t, (col, row) = self.transform, pixels.T  # term by term: a matrix product rounds by the number of points
        return np.stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f], axis=1)

    def placed(self, polygons: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return polygons in pixel coordinates (col, row) in the CRS, shells counter-clockwise as GeoPackages have."""
        return np.asarray(shapely.orient_polygons(shapely.transform(polygons, self.to_crs)))

    def areas_m2(self, polygons: NDArray[np.object_]) -> NDArray[np.float64]:
        """Return the true areas of polygons in pixel coordinates (col, row), (N,)."""
        placed = self.placed(polygons)
        return np.asarray(shapely.area(placed)) if self.grid is None else geodesic_area_m2(placed, self.grid.crs)

    def pixel_sizes_m(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true ground (height, width) of a pixel at each of ``places``, (N, 2), rounded to SIZE_STEPS.

        The ratio of the two is rounded first, so that square pixels stay square.
        """
        t = self.transform
        if self.grid is None or len(places) == 0:
            return np.tile((hypot(t.b, t.e), hypot(t.a, t.d)), (len(places), 1))
        size = self.grid.pixel_sizes_m(places[:, 0], places[:, 1])
        size = np.where(np.isfinite(size), size, self.grid.ground_resolution_m())
        ratio = _rounded(size[:, 0] / size[:, 1])
        root = _rounded(np.sqrt(size[:, 0] * size[:, 1]))
        return np.stack([root * np.sqrt(ratio), root / np.sqrt(ratio)], axis=1)

    def pixel_areas_m2(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true area of a pixel at each of ``places``, (N,)."""
        if self.grid is None or len(places) == 0:  # pyproj does not take none
            return np.full(len(places), abs(self.transform.determinant))
        return self.grid.pixel_areas_m2(places[:, 0], places[:, 1])


def _rounded(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to SIZE_STEPS; powers one by one, since those of an array may differ with its length in the last bit."""
    steps, which = np.unique(np.rint(np.log2(sizes) * SIZE_STEPS), return_inverse=True)
    return np.array([2.0 ** (step / SIZE_STEPS) for step in steps])[which] if len(sizes) else sizes


@dataclass(frozen=True, slots=True, eq=False)
class LocalMetres:
    """Coordinates of ``crs`` as metres about (longitude, latitude), east and north, and back.

    A transverse Mercator projection on the CRS's own datum: it keeps angles, and within 60 km of its meridian lengths
    to 5e-5.
    """

    to_metres: Any
    to_crs: Any

    @classmethod
    def about(cls, crs: CRS, lon: float, lat: float) -> "LocalMetres":
        """Take (lon, lat) in degrees, on the CRS's datum and prime meridian, as the middle.

        >>> local = LocalMetres.about(CRS.from_epsg(4326), 25.5, 60.5)
        >>> local.forward(np.array([[25.5, 60.5], [25.501, 60.5]])).round(3)
        array([[ 0.   ,  0.   ],
               [54.956,  0.   ]])
        """
        from pyproj import Transformer
        from pyproj.crs import ProjectedCRS
        from pyproj.crs.coordinate_operation import TransverseMercatorConversion

        source = pyproj_crs(crs)
        conversion = TransverseMercatorConversion(
            latitude_natural_origin=lat, longitude_natural_origin=lon, scale_factor_natural_origin=1.0
        )
        metres = ProjectedCRS(conversion, geodetic_crs=source.geodetic_crs)
        return cls(
            Transformer.from_crs(source, metres, always_xy=True), Transformer.from_crs(metres, source, always_xy=True)
        )

    def forward(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) coordinates of the CRS in metres."""
        return np.column_stack(self.to_metres.transform(xy[:, 0], xy[:, 1]))

    def back(self, metres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) metres in coordinates of the CRS."""
        return np.column_stack(self.to_crs.transform(metres[:, 0], metres[:, 1]))


def geodesic_area_m2(geometries: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Return the area in m² of each Polygon or MultiPolygon on the ellipsoid of ``crs``, (N,); see ``ring_areas_m2``.

    Holes are taken out; empty geometries have area 0. Raises InputError where a vertex has no place on Earth.
    """
    xy, ends, owner, sign = _rings(geometries)
    return np.bincount(owner, weights=sign * ring_areas_m2(xy, ends, crs), minlength=len(geometries))


def geodesic_measures(geometries: NDArray[np.object_], crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return area in m² and perimeter in m of each Polygon or MultiPolygon, each (N,); edges of holes count as well.

    Edges are geodesics between their vertices (Karney 2013), as in QGIS. Raises InputError as ``geodesic_area_m2``.
    """
    xy, ends, owner, sign = _rings(geometries)
    lon, lat = _on_earth(xy, crs)
    geod = pyproj_crs(crs).get_geod()
    area = _areas_m2(lon, lat, ends, geod)
    last = np.zeros(len(xy), np.bool_)
    last[ends[1:] - 1] = True  # of a ring, from which no edge leaves
    here = np.flatnonzero(~last)
    _, _, edge = geod.inv(lon[here], lat[here], lon[here + 1], lat[here + 1])
    of_edge = np.repeat(owner, np.diff(ends))[here]
    count = len(geometries)
    return (
        np.bincount(owner, weights=sign * area, minlength=count),
        np.bincount(of_edge, weights=edge, minlength=count),
    )


def _rings(
    geometries: NDArray[np.object_],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Return rings as of ``ring_areas_m2``, and of each its geometry's index and 1 for a shell, -1 for a hole, (R,)."""
    polygons, owner = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(shapely.get_num_coordinates(rings))])
    sign = np.where(np.diff(polygon, prepend=-1) == 0, -1, 1)  # the first ring of a polygon is its shell
    return shapely.get_coordinates(rings), ends, owner[polygon], sign


def ring_areas_m2(
    xy: NDArray[np.float64], ends: NDArray[np.int64], crs: CRS, *, longest_edge: float = np.inf
) -> NDArray[np.float64]:
    """Return what each closed ring xy[ends[k]:ends[k + 1]] encloses in m², (R,).

    Measured in the Lambert azimuthal equal-area plane about the middle of the whole degrees that the ring's first
    vertex lies in, whatever stands beside it; areas of buildings come out within 1e-8. Rings with edges over
    SHORT_EDGE_M or farther away than NEAR_M are measured along geodesics. longest_edge: in units of the CRS; longer
    ones are cut into pieces first, and so follow the projection. Raises InputError where a vertex has no place on
    Earth.
    """
    xy, ends = _cut_edges(xy, ends, longest_edge)
    return _areas_m2(*_on_earth(xy, crs), ends, pyproj_crs(crs).get_geod())


def _areas_m2(
    lon: NDArray[np.float64], lat: NDArray[np.float64], ends: NDArray[np.int64], geod: Any
) -> NDArray[np.float64]:
    area, near = _plane_areas(_flat(lon, lat, ends, geod), ends)
    for k in np.flatnonzero(~near):
        part = slice(ends[k], ends[k + 1])
        area[k] = geod.polygon_area_perimeter(lon[part], lat[part])[0]
    return np.abs(area)


def _flat(
    lon: NDArray[np.float64], lat: NDArray[np.float64], ends: NDArray[np.int64], geod: Any
) -> NDArray[np.float64]:
    """Return the vertices, (M, 2), in metres in the equal-area plane of their ring's cell of a degree."""
    corner = np.floor(np.stack([lat[ends[:-1]], lon[ends[:-1]]], axis=1))
    cells, cell_of_ring = np.unique(np.minimum(corner, (89, np.inf)), axis=0, return_inverse=True)
    cell_of_vertex = np.repeat(cell_of_ring.ravel(), np.diff(ends))
    order = np.argsort(cell_of_vertex, kind="stable")
    behind = np.cumsum(np.bincount(cell_of_vertex, minlength=len(cells)))
    xy = np.empty((len(lon), 2))
    for cell, begin, end in zip(cells + 0.5, behind - np.diff(behind, prepend=0), behind, strict=True):
        part = order[begin:end]
        xy[part, 0], xy[part, 1] = _equal_area(geod, *cell)(lon[part], lat[part])
    return xy


def _equal_area(geod: Any, lat: float, lon: float) -> Any:
    from pyproj import Proj

    return Proj(proj="laea", lat_0=lat, lon_0=lon, a=geod.a, b=geod.b)


def _plane_areas(xy: NDArray[np.float64], ends: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the signed area of each closed ring in the plane, and whether it is near and its edges are short, (R,)."""
    ring = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    with np.errstate(invalid="ignore"):  # the other side of the Earth is infinitely far
        far = ~(np.hypot(*xy.T) <= NEAR_M)
        edge = np.diff(xy, axis=0, append=xy[-1:])
        edge[ends[1:] - 1] = 0  # from ring to ring
        far |= ~(np.hypot(*edge.T) <= SHORT_EDGE_M)
        x, y = (xy - xy[ends[ring]]).T  # from the first vertex, so that small rings keep their digits
        twice = np.bincount(ring, weights=x * edge[:, 1] - y * edge[:, 0], minlength=len(ends) - 1)
    return twice / 2, np.bincount(ring[far], minlength=len(ends) - 1) == 0


def _on_earth(xy: NDArray[np.float64], crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lon, lat = lonlat(crs, xy[:, 0], xy[:, 1])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise InputError(f"polygons leave the area where {crs.to_string()} is defined; areas cannot be measured there")
    return lon, lat


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
