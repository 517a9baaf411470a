"""coverage: land-cover polygons of a class raster that tile it without gap or overlap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg import __version__
from geoseg.disk.files import write_errors
from geoseg.disk.places import vector_target
from geoseg.errors import InputError, MemoryBudgetError
from geoseg.outputs.class_table import read_classes
from geoseg.outputs.geopackage.coverage import write_coverage
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.probabilities import choose_band
from geoseg.outputs.provenance import model_of_tags
from geoseg.scenes.raster_grid import raster_grid
from geoseg.scenes.reading import open_raster
from geoseg.scenes.reads import files_read
from geoseg.tiling.memory import FREE_SHARE, GDAL_CACHE_BYTES, MIB
from geoseg.vector.coverage.coverage import RUN_BYTES, CoverageRules, extract_coverage
from geoseg.vector.pixels.runs import Runs, find_runs, joined_strips
from geoseg.vector.tiles.warmup import compiling_told

BASE_BYTES = 512 * MIB + GDAL_CACHE_BYTES  # the process with its libraries: 333 MiB, and what a first compilation takes
INTEGERS = ("uint8", "int8", "uint16", "int16", "int32")
WIDE = ("uint32", "int64", "uint64")  # read as int32, which holds every class
STRIP_PX = 2**24  # a strip has about so many pixels; its height shows in nothing


@compiling_told()
def draw_coverage(
    raster: str | Path,
    out: str | Path,
    *,
    band: int | str | None = None,
    rules: CoverageRules | None = None,
    memory_bytes: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the polygons of all classes of ``raster`` and write them as ``out`` is called; returns what was made.

    band: 1-based number or description, None for the only one. Nodata is no polygon. memory_bytes: what may be used
    (None: 80 % of what is free); the need grows with the borders between classes, not with the pixels. Raises
    InputError, ConfigError, OutputError, and MemoryBudgetError before more is taken than allowed.
    """
    path = vector_target(out, overwrite=overwrite, inputs=files_read([str(raster)]))
    refuse_if_in_use(path)
    rules = rules or CoverageRules()
    allow, asked = _allowance(memory_bytes)
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), open_raster(str(raster)) as src:
        number = _band(src, band)
        grid = raster_grid(src)
        runs = _read_runs(src, number, allow)
        classes = read_classes(src, number, set(np.unique(runs.value).tolist()))
        tags = src.tags()
    source = {
        "software": "geoseg",
        "version": __version__,
        "model": model_of_tags(tags),
        "input": [Path(raster).name],
        "min_area_m2": rules.min_area_m2,
        "tolerance_m": rules.tolerance_m,
    }
    found = extract_coverage(runs, grid, rules, allow=allow)
    areas = write_coverage(path, found, classes=classes, provenance=source)
    counts = np.bincount(np.searchsorted([c.id for c in classes], found.value), minlength=len(classes))
    return {
        "file": str(path),
        "count": len(found),
        "classes": [
            {"id": c.id, "name": c.name, "polygons": int(n), "area_m2": round(areas[c.id], 3)}
            for c, n in zip(classes, counts, strict=True)
        ],
        "planned_memory_bytes": max(asked),
    }


def _allowance(memory_bytes: int | None) -> tuple[Callable[[int], None], list[int]]:
    """Return what refuses to take more bytes than allowed, and the list of what it was asked for."""
    import psutil

    budget = memory_bytes or int(FREE_SHARE * psutil.virtual_memory().available)
    asked: list[int] = []

    def allow(needed: int) -> None:
        asked.append(BASE_BYTES + needed)
        if asked[-1] > budget:
            raise MemoryBudgetError(
                f"the borders between classes need {asked[-1] / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are allowed; "
                f"allow more with --memory, or cut the raster (gdal_translate -projwin)"
            )

    return allow, asked


def _band(src: DatasetReader, band: int | str | None) -> int:
    number = choose_band(src, band)
    if src.dtypes[number - 1] not in (*INTEGERS, *WIDE):
        raise InputError(
            f"{src.name}: {src.dtypes[number - 1]} values are no classes; convert them (gdal_translate -ot Int32)"
        )
    return number


def _read_runs(src: DatasetReader, band: int, allow: Callable[[int], None]) -> Runs:
    """Read the band in strips of whole blocks and keep only where its classes change."""
    block = src.block_shapes[band - 1][0]
    height = min(src.height, max(1, STRIP_PX // src.width // block) * block)
    masked = MaskFlags.all_valid not in src.mask_flag_enums[band - 1]
    wide = src.dtypes[band - 1] in WIDE
    strip_bytes = height * src.width * (np.dtype(src.dtypes[band - 1]).itemsize + 2 * masked + 5 * wide)
    strips: list[Runs] = []
    for row in range(0, src.height, height):
        window = Window(0, row, src.width, min(height, src.height - row))
        try:
            values = src.read(band, window=window)
            known = src.read_masks(band, window=window) != 0 if masked else None
        except write_errors() as error:
            raise InputError(
                f"{src.name}: rows {row}..{row + window.height} cannot be read ({error}); fetch the file again"
            ) from error
        strips.append(find_runs(_as_int32(values, known, src.name) if wide else values, known))
        allow(strip_bytes + RUN_BYTES * sum(map(len, strips)))
    return joined_strips(strips)


def _as_int32(values: NDArray[np.integer[Any]], known: NDArray[np.bool_] | None, name: str) -> NDArray[np.int32]:
    """Return integers as int32, those that are not known as 0; raises InputError where it does not hold one."""
    if known is not None:
        values[~known] = 0  # nodata may be the largest value of its type
    if values.size and not -(2**31) <= values.min() <= values.max() < 2**31:
        raise InputError(f"{name}: holds values up to {values.max()}, which are no classes; give them 1..254")
    return values.astype(np.int32)
