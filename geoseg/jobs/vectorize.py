"""vectorize: building polygons from a raster that is there already."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from geoseg import __version__
from geoseg.disk.places import vector_target
from geoseg.errors import MemoryBudgetError, TryAgainError
from geoseg.executors.base import Engine, Resources
from geoseg.executors.open import open_engine
from geoseg.jobs.drawing import drawing_of
from geoseg.jobs.run import Stop
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.class_table import read_classes, tagged_names
from geoseg.outputs.probabilities import open_probabilities
from geoseg.outputs.provenance import model_of_tags
from geoseg.scenes.raster_grid import raster_grid
from geoseg.scenes.reading import open_raster
from geoseg.scenes.reads import files_read
from geoseg.tiling.memory import MIB, PLAIN_BASE_BYTES
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo, ClassMap
from geoseg.vector.pixels.runs import threshold_byte
from geoseg.vector.tiles.draw import Drawing, draw_polygons, projected_polygon_bytes

log = logging.getLogger(__name__)


def vectorize(
    raster: str | Path,
    out: str | Path,
    *,
    band: int | str | None = None,
    class_id: int | None = None,
    full_scale: float | None = None,
    threshold: float = 0.5,
    options: PolygonOptions | None = None,
    run: EngineOptions | None = None,
    stop: Stop | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the polygons of one band of ``raster`` into a file, ``out``; returns what ``draw_polygons`` does.

    The band holds probabilities: floats 0..1, or what its scale and offset make of its values, as in geoseg's files.
    With ``full_scale`` that value means p = 1 and 0 means p = 0; with ``class_id`` the band holds classes, and the
    polygons outline that one. Their class is that of ``class_id`` where the raster names it, else the building of
    building models. band: 1-based number or description (None: the only one, or the last of probabilities.tif). run:
    where tiles are drawn, and with how much memory; it changes no byte. stop: asked before each tile whether to go on.
    Raises InputError, OutputError, ConfigError, MemoryBudgetError before anything is drawn, and TryAgainError where
    ``stop`` says so or a cluster is lost.
    """
    options, run = options or PolygonOptions(), run or EngineOptions()
    inputs = files_read([str(raster)])
    path = vector_target(out, vector_format=options.vector_format, overwrite=overwrite, inputs=inputs)
    threshold = 0.5 if class_id is not None else threshold
    threshold_byte(threshold)  # refuses what is no probability before anything is opened
    with open_raster(str(raster)) as src:
        grid = raster_grid(src)
        pixels = open_probabilities(str(raster), src, band=band, class_id=class_id, full_scale=full_scale)
        target, classes = _target(src, pixels.band, class_id)
        model = model_of_tags(src.tags())
    drawing = drawing_of(pixels, grid, target, options=options, threshold=threshold)
    source = {"software": "geoseg", "version": __version__, "model": model, "input": [Path(raster).name]}
    with open_engine(run) as engine:
        planned = _planned_bytes(drawing, engine.resources(), run, name=Path(raster).name)
        each = _Stoppable(engine, stop or Stop(), path)
        made = draw_polygons(path, drawing, classes=classes, provenance=source, each=each)
    if not made["count"]:
        log.warning("%s: no polygon was found in %s", path.name, Path(raster).name)
    return {**made, "file": str(path), "planned_memory_bytes": planned}


def _target(src: DatasetReader, band: int, class_id: int | None) -> tuple[ClassInfo, ClassMap]:
    """Return the polygons' class and the table it is in: the raster's own where that names the class."""
    names = tagged_names(src, band)
    if class_id is not None and class_id in names:
        classes = ClassMap(read_classes(src, band, ()))
        return classes.by_id(class_id), classes
    classes = ClassMap(BUILDING_CLASSES)
    return classes.by_name("building"), classes


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


def _planned_bytes(drawing: Drawing, resources: Resources, run: EngineOptions, *, name: str) -> int:
    """Return what a process that draws will take; raises MemoryBudgetError where that is more than it may."""
    planned = projected_polygon_bytes(
        drawing.grid.shape,
        lanes=resources.lanes,
        interior=drawing.rules.split_necks,
        max_component_px=drawing.max_component_px,
        base_bytes=PLAIN_BASE_BYTES,
    )
    budget = resources.budget_bytes(run.memory_bytes)
    if planned > budget:
        raise MemoryBudgetError(
            f"polygons of {name} need {planned / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
            f"allow more with --memory, or take fewer lanes"
        )
    return planned
