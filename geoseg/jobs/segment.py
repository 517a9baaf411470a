"""segment: superpixels of a scene as polygons and as a raster, tile by tile; tiles and where they run change no byte.

Parts lie in a hidden folder beside the outputs while it runs. A run that ends before it is through leaves them, and the
same command goes on; shards make some of them each, and ``geoseg finish`` the outputs.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from geoseg import __version__
from geoseg.classical.superpixels import SuperpixelRules, superpixels
from geoseg.disk.files import locked, remove_left, write_json
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, MemoryBudgetError, TryAgainError
from geoseg.executors.base import Engine
from geoseg.executors.open import open_engine
from geoseg.jobs.folder import PLAN_FILE, refusing
from geoseg.jobs.instances import in_order
from geoseg.jobs.job import refuse_missing, scene_identity
from geoseg.jobs.run import Listener, Progress, Stop, until
from geoseg.jobs.segment_folder import FOLDER
from geoseg.options.run import EngineOptions, PartsOptions
from geoseg.options.segment import SegmentOptions
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.layers_of_parts import LayersOfParts
from geoseg.outputs.cog.parts import PartEncoder, read_record, write_part
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.geopackage.superpixels import superpixel_schema, superpixels_batch, write_superpixels
from geoseg.scenes.as_bytes import SceneAsBytes
from geoseg.scenes.raster_grid import place_tags
from geoseg.scenes.reads import files_read
from geoseg.scenes.scene import Scene
from geoseg.tiling.memory import GDAL_CACHE_BYTES, MIB, PLAIN_BASE_BYTES
from geoseg.tiling.overviews import levels_within
from geoseg.values.box import Box
from geoseg.values.layers import Layer
from geoseg.vector.pixels.labels import label_polygons

SIDE_PX, DRAWN_PX = 1024, 1024  # of a tile that is cut, and of one whose outlines are drawn, at once
LOCK_FILE, SHOWN_FILE = ".lock", "shown"
STAGE = "segment"
IDS = Layer("segment", "ids", "segments.tif", dtype="uint32", description="Number of the superpixel, 0: nodata")
MOST_SUPERPIXELS = 2**31 - 1
PX_BYTES = 56  # of a pixel that a task works on, beside its bands: lattice, passes, outlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """A scene, and how it is cut; picklable."""

    image: SceneAsBytes
    """The scene."""
    rules: SuperpixelRules
    """How superpixels are made."""
    side_px: int
    """Of a tile."""
    folder: Path
    """Where the parts lie."""

    @classmethod
    def beside(cls, path: Path, image: SceneAsBytes, rules: SuperpixelRules, side_px: int) -> Self:
        """Keep parts in a folder beside ``path``, called by it and by all that decides their bits."""
        scene = image.scene
        known = scene_identity(scene, files_read(scene.inputs, lone=scene.lone))
        said = [__version__, known, repr(rules), repr(image.range), side_px, path.name]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return cls(image=image, rules=rules, side_px=side_px, folder=path.parent / f"{FOLDER}{digest[:16]}")

    def tiles(self) -> Iterator[Box]:
        """Yield what is cut at once, row by row."""
        return self.image.scene.grid.box.blocks(self.side_px)

    def part(self, tile: Box) -> Path:
        """Where the part of a tile lies."""
        return self.folder / f"{tile.row0}-{tile.col0}.tif"

    def refusing(self) -> AbstractContextManager[None]:
        """Leave nothing of what is refused before its first part lies in the folder."""

        def has_begun(planned: bool) -> bool:
            return planned or any(self.folder.glob("*.tif")) or (self.folder / SHOWN_FILE).exists()

        remove = partial(shutil.rmtree, self.folder, ignore_errors=True)
        return refusing(self.folder, lock=LOCK_FILE, has_begun=has_begun, remove=remove)

    def around(self, tile: Box, px: int) -> Box:
        """Return a tile with ``px`` pixels around it, as far as there are any."""
        box = tile.grown(px).clip(self.image.scene.grid.box)
        assert box is not None  # it holds the tile
        return box


def segment(
    scene: Scene,
    path: Path,
    raster: Path | None = None,
    *,
    options: SegmentOptions,
    run: PartsOptions,
    config: dict[str, Any] | None = None,
    finishing: bool = False,
    engine: Engine | None = None,
    listen: Listener = lambda _: None,
    stop: Stop | None = None,
) -> int:
    """Write the superpixels of a scene to a file of polygons and, where named, a raster; return their number.

    Of a shard, its tiles are kept, nothing is written, and their number is returned. Bands count alike: each is brought
    to 0..255 between its 2nd and 98th percentile, of a sample from all over the scene. config: by which ``geoseg
    finish`` goes on; finishing: no tile is cut any more. engine: one that is open. Raises InputError, ConfigError,
    OutputError, MemoryBudgetError, IncompleteError where tiles are missing of a run that is only finished, and
    TryAgainError at ``stop``, with what is done kept.
    """
    if raster is not None and raster.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"raster {raster}: is written as a GeoTIFF; name it .tif")
    rules = _rules(scene, options)
    stop = (stop or Stop()).within(None if finishing else run.max_runtime_s)
    with ExitStack() as held:
        engine = engine or held.enter_context(open_engine(run))
        resources = engine.resources()
        _memory_bytes(scene, rules, lanes=resources.lanes, allowed=resources.budget_bytes(run.memory_bytes))
        cutting = Cutting.beside(path, SceneAsBytes.of(scene), rules, SIDE_PX)
        shown = cutting.folder / SHOWN_FILE  # by a run that ended before its polygons were there
        if raster is not None:
            own = shown.is_file() and shown.read_text(encoding="utf-8") == str(raster.absolute())
            refuse_file(raster, overwrite=run.overwrite or own, inputs=scene.files)
        held.enter_context(cutting.refusing())
        held.enter_context(locked(cutting.folder / LOCK_FILE, of=path, shared=run.shard is not None))
        if run.fresh:
            for part in cutting.folder.glob("*.tif"):
                part.unlink()
        if not (cutting.folder / PLAN_FILE).is_file():
            write_json(cutting.folder / PLAN_FILE, {"config": config})
        tiles = list(cutting.tiles())
        if finishing:
            missing = [part.stem for part in map(cutting.part, tiles) if read_record(part) is None]
            refuse_missing(path, missing, len(tiles), "tiles")
        if run.shard is not None:
            tiles = tiles[run.shard[0] - 1 :: run.shard[1]]
        parts: dict[Box, Path] = {}
        listen(Progress(STAGE, 0, len(tiles)))
        for part in engine.map(partial(_cut, cutting), until(tiles, stop)):
            parts[tiles[len(parts)]] = part
            listen(Progress(STAGE, len(parts), len(tiles)))
        if len(parts) < len(tiles):
            raise TryAgainError(f"{path}: stopped after {len(parts)} of {len(tiles)} tiles; the same command goes on")
        if run.shard is not None:
            return len(parts)
        if raster is not None:
            raster.parent.mkdir(parents=True, exist_ok=True)
            shown.write_text(str(raster.absolute()), encoding="utf-8")
            assemble(parts, scene.grid, {0: IDS}, raster, tags=place_tags(scene.grid))
        schema = superpixel_schema(scene.bands.names)
        rows = engine.map(partial(_outlined, cutting, parts, schema), scene.grid.box.blocks(DRAWN_PX))
        provenance = {"software": "geoseg", "version": __version__, "input": [Path(f).name for f in scene.files]}
        count = write_superpixels(path, in_order(rows), schema=schema, crs=scene.grid.crs, provenance=provenance)
        for file in filter(None, (path, raster)):
            remove_left(file)
    shutil.rmtree(cutting.folder)
    return count


def plan(scene: Scene, *, options: SegmentOptions, run: EngineOptions, engine: Engine | None = None) -> dict[str, int]:
    """Return what cutting a scene takes: superpixels at most, tiles, and bytes of memory, needed and allowed.

    engine: one that is open. Raises ConfigError and MemoryBudgetError as ``segment``.
    """
    rules = _rules(scene, options)
    with ExitStack() as held:
        engine = engine or held.enter_context(open_engine(run))
        resources = engine.resources()
        allowed = resources.budget_bytes(run.memory_bytes)
        needed = _memory_bytes(scene, rules, lanes=resources.lanes, allowed=allowed)
    tiles = sum(1 for _ in scene.grid.box.blocks(SIDE_PX))
    return {"cells": _cells(scene, rules), "tiles": tiles, "memory_bytes": needed, "allowed_bytes": allowed}


def _rules(scene: Scene, options: SegmentOptions) -> SuperpixelRules:
    rules = SuperpixelRules(options.method, options.spacing_px, options.compactness)
    if _cells(scene, rules) > MOST_SUPERPIXELS:
        raise ConfigError(
            f"spacing-px {rules.spacing_px}: gives more than {MOST_SUPERPIXELS} superpixels; take larger ones"
        )
    return rules


def _cells(scene: Scene, rules: SuperpixelRules) -> int:
    return math.prod(-(-side // rules.spacing_px) for side in scene.grid.shape)


def _memory_bytes(scene: Scene, rules: SuperpixelRules, *, lanes: int, allowed: int) -> int:
    """Return what a process needs; raises MemoryBudgetError where that is more than ``allowed``."""
    height, width = (min(max(SIDE_PX, DRAWN_PX) + 2 * rules.halo_px, side) for side in scene.grid.shape)
    of_bands = len(scene.bands) * (2 * np.dtype(scene.dtype).itemsize + 9)  # as stored, as floats twice, as bytes
    needed = PLAIN_BASE_BYTES + lanes * (height * width * (PX_BYTES + of_bands) + GDAL_CACHE_BYTES)
    if needed > allowed:
        raise MemoryBudgetError(
            f"superpixels of {scene.name} need {needed / MIB:.0f} MiB, but {allowed / MIB:.0f} MiB are allowed; "
            f"allow more with --memory, take fewer lanes, or a smaller --spacing-px"
        )
    return needed


def _cut(cutting: Cutting, tile: Box) -> Path:
    """Write the superpixels of a tile as a part, where no run before has."""
    path = cutting.part(tile)
    if read_record(path) is not None:
        return path
    box = cutting.around(tile, cutting.rules.halo_px)
    image, valid = cutting.image.image(box)
    found = superpixels(image, valid, (box.row0, box.col0), cutting.image.scene.grid.shape, cutting.rules)
    encoder = PartEncoder(tile.shape, (IDS,), overviews=levels_within(cutting.side_px, TILE_PX))
    encoder.add({IDS.name: np.ascontiguousarray(found[tile.within(box)])})
    write_part(path, encoder.finish(), grid=cutting.image.scene.grid.crop(tile), record={})
    return path


def _outlined(cutting: Cutting, parts: Mapping[Box, Path], schema: pa.Schema, tile: Box) -> tuple[int, pa.RecordBatch]:
    """Return the tile's first row, and the superpixels whose cells begin in it: none reaches beyond the next cells."""
    spacing, grid = cutting.rules.spacing_px, cutting.image.scene.grid
    box = cutting.around(tile, 2 * spacing + 1)
    (ids,) = LayersOfParts(parts, (IDS,)).read([IDS.name], box)
    labels = ids.astype(np.int32)
    row, col = np.divmod(labels - 1, -(-grid.width // spacing))
    row, col = row * spacing, col * spacing
    own = (row >= tile.row0) & (row < tile.row1) & (col >= tile.col0) & (col < tile.col1) & (labels > 0)
    value, polygons = label_polygons(labels, (box.row0, box.col0), grid.transform)
    found, at = np.unique(labels[own], return_inverse=True)
    polygons = polygons[np.searchsorted(value, found)]
    values, _ = cutting.image.values(box)
    pixels = np.bincount(at, minlength=len(found))
    means = [np.bincount(at, weights=band[own], minlength=len(found)) / np.maximum(pixels, 1) for band in values]
    return tile.row0, superpixels_batch(found, pixels, np.array(means), polygons, crs=grid.crs, schema=schema)
