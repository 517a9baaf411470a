"""clean: a class map whose neighbours agree, without thin parts, gaps and small patches; tiles change no byte."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.classical.cleaning import CleaningRules, cleaned
from geoseg.classical.crf import mean_field
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, InputError, MemoryBudgetError
from geoseg.executors.threads import local_resources
from geoseg.jobs.areas import pixel_areas_m2
from geoseg.jobs.evaluate.sides import Prediction
from geoseg.options.clean import CleanOptions
from geoseg.outputs.category_raster import write_categories
from geoseg.outputs.class_raster import ClassRaster
from geoseg.scenes.as_bytes import SceneAsBytes
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.reading import open_raster
from geoseg.scenes.reads import files_read
from geoseg.scenes.scene import Scene
from geoseg.tiling.memory import GDAL_CACHE_BYTES, MIB, PLAIN_BASE_BYTES
from geoseg.values.box import Box
from geoseg.values.classes import ClassMap

SIDE_PX = 1024  # of a tile
MOST_HALO_PX = 4096
CONFIDENCE = "confidence.tif"
UNSTATED = 179  # of 255: 0.7, of maps that come without a confidence
PX_BYTES = 80  # of a pixel that is worked on: distances, labels, counts
CLASS_BYTES, BAND_BYTES = 32, 24  # the same of a class and a band while neighbours agree


@dataclass(frozen=True, slots=True, eq=False)
class Agreeing:
    """How neighbours come to agree."""

    image: SceneAsBytes
    """What they are alike in."""
    confidence: Path | None
    """Raster of bytes of the map's grid; None: every pixel is as sure."""
    steps: int
    radius_px: int

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its classes depend on."""
        return self.steps * self.radius_px

    def agreed(self, ids: NDArray[np.uint8], box: Box, classes: ClassMap) -> NDArray[np.uint8]:
        """Return the classes of a box, (h, w), that its pixels agree on."""
        if self.confidence is None:
            sure = np.full(ids.shape, UNSTATED, np.uint8)
        else:
            with open_raster(str(self.confidence)) as src:
                sure = src.read(1, window=raster_window(box))
        image, valid = self.image.image(box)
        seen = np.where(valid, ids, np.uint8(0))
        kinds = [c.id for c in classes]
        agreed = mean_field(seen, sure, image, ids=kinds, steps=self.steps, radius=self.radius_px)
        return np.where(valid, agreed, ids)


def clean(
    source: str | Path, path: Path, *, options: CleanOptions, scene: Scene | None = None, overwrite: bool = False
) -> dict[str, int]:
    """Write the cleaned map of a run's folder or a class raster, and return the pixels of every class.

    scene: what ``options.crf`` looks at. Raises InputError, ConfigError for a class that there is not, OutputError and
    MemoryBudgetError.
    """
    found = Prediction.find(source)
    if found.raster is None:
        raise InputError(f"{source}: polygons alone; name a run's folder or a raster of classes")
    raster, classes = found.raster, found.classes
    refuse_file(path, overwrite=overwrite, inputs=files_read([str(raster.path), *(scene.files if scene else ())]))
    rules, agreeing = _rules(raster, classes, options), _agreeing(Path(source), raster, scene, options)
    halo_px = rules.halo_px + (0 if agreeing is None else agreeing.halo_px)
    read_px = prod(min(SIDE_PX + 2 * halo_px, side) for side in raster.grid.shape)
    of_px = (
        PX_BYTES
        if agreeing is None
        else max(PX_BYTES, CLASS_BYTES * len(classes) + BAND_BYTES * len(agreeing.image.range))
    )
    planned = PLAIN_BASE_BYTES + read_px * of_px + GDAL_CACHE_BYTES
    budget = local_resources(lanes=1).budget_bytes(None)
    if planned > budget:
        raise MemoryBudgetError(
            f"cleaning {raster.path} needs {planned / MIB:.0f} MiB, but {budget / MIB:.0f} MiB are free for it; sieve "
            f"smaller patches, or take fewer steps"
        )
    pixels, area_ha = {c.id: 0 for c in classes}, {c.id: 0.0 for c in classes}

    def tiles() -> Iterator[tuple[Box, NDArray[np.uint8]]]:
        for tile in raster.grid.box.blocks(SIDE_PX):
            around = tile.grown(halo_px).clip(raster.grid.box)
            assert around is not None  # it holds the tile
            ids = raster.read(around, found.ids)
            if agreeing is not None:
                ids = agreeing.agreed(ids, around, classes)
            ids = cleaned(ids, rules)[tile.within(around)]
            ground = np.bincount(ids.ravel(), pixel_areas_m2(raster.grid, tile).ravel(), minlength=256)
            for c in classes:  # the table is written after the last tile
                pixels[c.id] += int((ids == c.id).sum())
                area_ha[c.id] += float(ground[c.id]) / 1e4
            yield tile, ids

    path.parent.mkdir(parents=True, exist_ok=True)
    write_categories(path, tiles(), raster.grid, classes, pixels=pixels, area_ha=area_ha, layer="classes")
    return {c.name: pixels[c.id] for c in classes}


def _agreeing(source: Path, raster: ClassRaster, scene: Scene | None, options: CleanOptions) -> Agreeing | None:
    if not options.crf:
        return None
    if scene is None:
        raise ConfigError("crf: name the scene that it looks at")
    if not scene.grid.same_as(raster.grid):
        raise InputError(
            f"{scene.name}: has another grid than {raster.path}; crf compares pixel by pixel, warp one to the other "
            f"(gdalwarp)"
        )
    beside = source / CONFIDENCE
    confidence = beside if source.is_dir() and beside.is_file() else None
    return Agreeing(SceneAsBytes.of(scene), confidence, options.crf, options.crf_radius_px)


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
