"""Prompts: points, boxes and polygons of a vector file, brought to the pixels of a grid and grouped by object.

Places are rounded to 1/16 px, and all that follows from an outline is found from the rounded one: the way through
another CRS changes no bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.scenes.polygons import read_layer
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import geopandas as gpd

STEPS = 16  # parts of a pixel
MOST_POINTS = 8  # of an object
CORNERS = 4  # a polygon of so many is a box
INSIDE, OUTSIDE = 1, 0  # what the column ``label`` says of a point
OBJECT, LABEL = "object", "label"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked for one object, in pixels (x, y) of a grid from its corner."""

    name: str
    """The object's."""
    points: tuple[tuple[float, float, int], ...] = ()
    """x, y, and INSIDE or OUTSIDE."""
    box: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1."""

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) that a window must hold."""
        corners = () if self.box is None else (self.box[:2], self.box[2:])
        x, y = zip(*(p[:2] for p in (*self.points, *corners)), strict=True)
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a file."""

    source: str
    """Its name."""
    good: tuple[Prompt, ...]
    """In the order of their names."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why others cannot be answered, by the object's name."""


def read_prompts(source: str, grid: Grid) -> Prompts:
    """Read the prompts of a vector file; raises InputError where it cannot be read, has no CRS or holds nothing."""
    return prompts_of(read_layer(source, areal=False, bare=True), grid, source=source)


def prompts_of(frame: "gpd.GeoDataFrame", grid: Grid, *, source: str) -> Prompts:
    """Return the prompts of a table of geometries with a CRS.

    Columns: ``object``, the name of what is asked for, else each row is an object of its own; ``label`` of points: 1
    inside of it, 0 outside. A polygon of four corners is a box; another one is the box around it and the point
    deepest inside. Raises InputError where there is none.
    """
    if not len(frame):
        raise InputError(f"{source}: holds no prompts; draw points or polygons")
    if frame.crs is None:
        raise InputError(f"{source}: has no CRS; prompts lie on a map")
    placed = np.asarray(frame.geometry.to_crs(grid.crs.to_wkt()), object)
    names = [_name(value, i) for i, value in enumerate(frame[OBJECT] if OBJECT in frame else [nan] * len(frame))]
    labels = [_label(value) for value in (frame[LABEL] if LABEL in frame else [INSIDE] * len(frame))]
    rows: dict[str, list[tuple[shapely.Geometry | None, int | None]]] = {}
    for name, shape, label in zip(names, shapely.transform(placed, _to_pixels(grid)), labels, strict=True):
        rows.setdefault(name, []).append((shape, label))
    good, faults = [], {}
    for name, own in sorted(rows.items()):
        try:
            good.append(_prompt(name, own))
        except ValueError as error:
            faults[name] = str(error)
    return Prompts(source, tuple(good), faults)


def _name(value: Any, row: int) -> str:
    if _is_missing(value):
        return str(row + 1)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _label(value: Any) -> int | None:
    return INSIDE if _is_missing(value) else int(value) if value in (INSIDE, OUTSIDE) else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _to_pixels(grid: Grid) -> Any:
    t = ~grid.transform

    def rounded(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T  # term by term: a matrix product rounds by the number of points
        return np.rint(np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1) * STEPS) / STEPS

    return rounded


def _prompt(name: str, rows: list[tuple[shapely.Geometry | None, int | None]]) -> Prompt:
    """Return the prompt of an object; raises ValueError with what is wrong."""
    points: list[tuple[float, float, int]] = []
    boxes = []
    for shape, label in rows:
        if shape is None or shape.is_empty:
            raise ValueError("has a row without a geometry; draw it, or remove the row")
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise ValueError("has no place in the scene's CRS")
        if shape.geom_type in ("Point", "MultiPoint"):
            if label is None:
                raise ValueError(f"has a point whose {LABEL} is neither {INSIDE} (inside) nor {OUTSIDE} (outside)")
            points += [(float(p.x), float(p.y), label) for p in shapely.get_parts(shape)]
        elif shape.geom_type in ("Polygon", "MultiPolygon"):
            boxes.append(tuple(float(v) for v in shape.bounds))
            points += _deepest(shape)
        else:
            raise ValueError(f"is a {shape.geom_type}; prompts are points and polygons")
    if len(boxes) > 1:
        raise ValueError(f"has {len(boxes)} boxes or polygons; an object has one")
    if len(points) > MOST_POINTS:
        raise ValueError(f"has {len(points)} points; {MOST_POINTS} are taken, the box of a polygon aside")
    if not boxes and all(label == OUTSIDE for *_, label in points):
        raise ValueError("has background points alone; add a point inside of it, or a box")
    box = boxes[0] if boxes else None
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError("is a polygon without an area")
    return Prompt(name, tuple(sorted(points)), box)  # type: ignore[arg-type]


def _deepest(shape: shapely.Geometry) -> Iterator[tuple[float, float, int]]:
    """Yield the point deepest inside of a polygon, none of a box; its rings may begin anywhere and turn either way."""
    if shape.geom_type == "MultiPolygon" and len(shapely.get_parts(shape)) == 1:
        (shape,) = shapely.get_parts(shape)
    if shape.geom_type == "Polygon" and not shape.interiors and len(shape.exterior.coords) == CORNERS + 1:
        return
    circle = shapely.maximum_inscribed_circle(shapely.normalize(shapely.make_valid(shape)), tolerance=1 / STEPS)
    x, y = np.rint(np.array(circle.coords[0]) * STEPS) / STEPS
    yield float(x), float(y), INSIDE
