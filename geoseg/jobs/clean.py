"""clean: a class map without thin parts, gaps and small patches; tiles change no byte."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.classical.cleaning import CleaningRules, cleaned
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, InputError, MemoryBudgetError
from geoseg.executors.threads import local_resources
from geoseg.jobs.areas import pixel_areas_m2
from geoseg.jobs.evaluate.sides import Prediction
from geoseg.options.clean import CleanOptions
from geoseg.outputs.category_raster import write_categories
from geoseg.outputs.class_raster import ClassRaster
from geoseg.tiling.memory import GDAL_CACHE_BYTES, MIB, PLAIN_BASE_BYTES
from geoseg.values.box import Box
from geoseg.values.classes import ClassMap

SIDE_PX = 1024  # of a tile
MOST_HALO_PX = 4096
PX_BYTES = 80  # of a pixel that is worked on: distances, labels, counts


def clean(source: str | Path, path: Path, *, options: CleanOptions, overwrite: bool = False) -> dict[str, int]:
    """Write the cleaned map of a run's folder or a class raster, and return the pixels of every class.

    Raises InputError, ConfigError for a class that there is not, OutputError and MemoryBudgetError.
    """
    found = Prediction.find(source)
    if found.raster is None:
        raise InputError(f"{source}: polygons alone; name a run's folder or a raster of classes")
    raster, classes = found.raster, found.classes
    refuse_file(path, overwrite=overwrite, inputs=[raster.path])
    rules = _rules(raster, classes, options)
    read_px = prod(min(SIDE_PX + 2 * rules.halo_px, side) for side in raster.grid.shape)
    planned = PLAIN_BASE_BYTES + read_px * PX_BYTES + GDAL_CACHE_BYTES
    budget = local_resources(lanes=1).budget_bytes(None)
    if planned > budget:
        raise MemoryBudgetError(
            f"cleaning {raster.path} needs {planned / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are free for it; sieve "
            f"smaller patches"
        )
    pixels, area_ha = {c.id: 0 for c in classes}, {c.id: 0.0 for c in classes}

    def tiles() -> Iterator[tuple[Box, NDArray[np.uint8]]]:
        for tile in raster.grid.box.blocks(SIDE_PX):
            around = tile.grown(rules.halo_px).clip(raster.grid.box)
            assert around is not None  # it holds the tile
            ids = cleaned(raster.read(around, found.ids), rules)[tile.within(around)]
            ground = np.bincount(ids.ravel(), pixel_areas_m2(raster.grid, tile).ravel(), minlength=256)
            for c in classes:  # the table is written after the last tile
                pixels[c.id] += int((ids == c.id).sum())
                area_ha[c.id] += float(ground[c.id]) / 1e4
            yield tile, ids

    path.parent.mkdir(parents=True, exist_ok=True)
    write_categories(path, tiles(), raster.grid, classes, pixels=pixels, area_ha=area_ha, layer="classes")
    return {c.name: pixels[c.id] for c in classes}


def _rules(raster: ClassRaster, classes: ClassMap, options: CleanOptions) -> CleaningRules:
    """Return the rules in pixels of a map; raises ConfigError for a class that there is not, or too large a reach."""
    names = [c.name for c in classes]
    if options.of is not None and options.of not in names:
        raise ConfigError(f"of {options.of!r}: {raster.path} has the classes {', '.join(names)}")
    height_m, width_m = raster.grid.ground_resolution_m()
    side_m = (height_m * width_m) ** 0.5
    rules = CleaningRules(
        open_px=options.open_m / side_m,
        close_px=options.close_m / side_m,
        sieve_px=round(options.sieve_m2 / (height_m * width_m)),
        class_id=None if options.of is None else classes.by_name(options.of).id,
    )
    if rules.halo_px > MOST_HALO_PX:
        raise ConfigError(
            f"pixels of {side_m:.3g} m: such radii and patches reach {rules.halo_px} px, and at most {MOST_HALO_PX} "
            f"are looked at; take smaller ones, or geoseg vectorize --kind coverage --min-area-m2"
        )
    return rules
