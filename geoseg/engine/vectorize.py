"""vectorize: building polygons from a raster that is there already."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.enums import ColorInterp

from geoseg import __version__
from geoseg.classes import ClassInfo, ClassMap
from geoseg.engine.buildings import Drawing, draw_polygons, projected_polygon_bytes
from geoseg.engine.engines import Engine, Room
from geoseg.engine.open import open_engine
from geoseg.engine.options import EngineOptions, PolygonOptions
from geoseg.engine.run import Stop
from geoseg.errors import InputError, MemoryBudgetError, OutputError, TryAgainError
from geoseg.grid import Grid
from geoseg.io.probabilities import ProbabilityBands
from geoseg.io.source import band_number, located, open_raster
from geoseg.tiling.memory import MIB, PLAIN_BASE_BYTES

BUILDING = ClassMap((ClassInfo(1, "building", (200, 66, 46)),))


def vectorize(
    raster: str | Path,
    out: str | Path,
    *,
    band: int | str | None = None,
    class_id: int | None = None,
    threshold: float = 0.5,
    options: PolygonOptions | None = None,
    run: EngineOptions | None = None,
    stop: Stop | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the polygons of one band of ``raster`` and write them as a GeoPackage; returns what ``draw_polygons`` does.

    The band holds probabilities: bytes 1..255 for p 0..1 with 0 = nodata, as geoseg writes them, or floats 0..1; with
    ``class_id`` it holds classes, and the polygons outline that one. band: 1-based number or its
    description (None: the only one, or the last of probabilities.tif). run: where tiles are drawn, and with how much
    memory; it changes no byte. stop: asked before each tile whether to go on. Raises InputError, OutputError,
    ConfigError, MemoryBudgetError before anything is drawn, and TryAgainError where ``stop`` says so or a cluster is
    lost.
    """
    path = Path(out)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")
    options, run = options or PolygonOptions(), run or EngineOptions()
    with open_raster(str(raster)) as src:
        if src.crs is None:
            raise InputError(f"{raster}: no CRS; assign one with gdal_edit.py -a_srs")
        grid = Grid(src.crs, src.transform, src.shape)
        number = band_number(src, band)
        if class_id is None and src.colorinterp[number - 1] == ColorInterp.palette:
            raise InputError(f"{raster}: band {number} has a palette, so it holds classes; pass --class-id")
        pixels = ProbabilityBands(located(raster), number, class_id=class_id)
    drawing = Drawing(
        pixels=pixels,
        grid=grid,
        rules=options.rules(0.5 if class_id is not None else threshold),
        target=BUILDING.by_id(1),
        max_component_px=options.max_component_px,
    )
    source = {"software": "geoseg", "version": __version__, "model": None, "input": [Path(raster).name]}
    with open_engine(run) as engine:
        planned = _planned_bytes(drawing, engine.room(), run, name=Path(raster).name)
        each = _Stoppable(engine, stop or Stop(), path)
        made = draw_polygons(path, drawing, classes=BUILDING, provenance=source, each=each)
    return {**made, "file": str(path), "planned_memory_bytes": planned}


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """An engine's map that starts nothing more once it is to stop."""

    engine: Engine
    stop: Stop
    path: Path

    def __call__[T, R](self, call: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        return self.engine.map(call, self._wanted(items))

    def _wanted[T](self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if self.stop.now:
                raise TryAgainError(f"{self.path}: stopped; nothing is kept, the same command starts over")
            yield item


def _planned_bytes(drawing: Drawing, room: Room, run: EngineOptions, *, name: str) -> int:
    """Return what a process that draws will take; raises MemoryBudgetError where that is more than it may."""
    planned = projected_polygon_bytes(
        drawing.grid.shape,
        lanes=room.lanes,
        interior=drawing.rules.split_necks,
        max_component_px=drawing.max_component_px,
        base_bytes=PLAIN_BASE_BYTES,
    )
    budget = room.budget_bytes(run.memory_bytes)
    if planned > budget:
        raise MemoryBudgetError(
            f"polygons of {name} need {planned / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"allow more with --memory, or take fewer lanes"
        )
    return planned
