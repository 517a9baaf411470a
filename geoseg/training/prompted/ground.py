"""Where a promptable network learns: parts of scenes, each a scene of its own, with the objects drawn in them.

A part's windows are those of its own grid, so that nothing is seen of ground that is for another use.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from geoseg.errors import InputError
from geoseg.executors.base import Engine
from geoseg.jobs.prompt import Asking, embedded, opened
from geoseg.jobs.prompt_places import placed, seen_grid, window_of
from geoseg.jobs.run import Listener, Progress
from geoseg.models.bundle import ModelBundle
from geoseg.options.run import EngineOptions
from geoseg.scenes.polygons import read_polygons
from geoseg.scenes.prompts import Prompt, Prompts
from geoseg.training.coco import is_coco, read_coco
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import REJECTED, UNSEEN, is_raster, review_status
from geoseg.training.prompted.spec import PromptTrainSpec
from geoseg.training.samples import areas_of
from geoseg.training.scenes import open_labelled
from geoseg.values.box import Box
from geoseg.values.grid import Grid

log = logging.getLogger(__name__)
ROLES = ("train", "validation")  # test ground is not read


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A part of a scene with the objects that are learnt or asked for there."""

    name: str
    """Of the scene."""
    asking: Asking
    """How its windows are embedded."""
    objects: dict[Box, tuple[shapely.Geometry, ...]]
    """Outlines in pixels (x, y) of the part from its corner, by the window that holds each."""

    def masks(self, window: Box) -> list[NDArray[np.bool_]]:
        """Return the masks of a window's objects, (h, w) each."""
        return [
            rasterize(
                [shapely.transform(one, lambda xy: xy - (window.col0, window.row0))], window.shape, dtype="uint8"
            ).astype(np.bool_)
            for one in self.objects[window]
        ]


def grounds(
    spec: PromptTrainSpec, bundle: ModelBundle, run: EngineOptions, *, device: str, listen: Listener
) -> dict[str, tuple[Ground, ...]]:
    """Return the ground of each role, with all its windows embedded.

    Raises InputError where a role has no object, and what ``geoseg.jobs.prompt.answer`` does for scene and model.
    """
    found: dict[str, list[Ground]] = {role: [] for role in ROLES}
    for item in spec.data:
        scene = open_labelled(item)
        for area in areas_of(item, scene, spec, None):
            if area.role not in ROLES:
                continue
            with opened(scene.crop(area.box), bundle, replace(spec.asking, device=device), run) as (engine, asking):
                one = _ground(item, asking, engine, spec.least_px, listen)
            if one.objects:
                found[area.role].append(one)
    for role in ROLES:
        if not found[role]:
            raise InputError(
                f"the {role} areas hold no object of {spec.least_px} px or more; move the split, or add some"
            )
    return {role: tuple(own) for role, own in found.items()}


def _ground(item: LabelledScene, asking: Asking, engine: Engine, least_px: int, listen: Listener) -> Ground:
    outlines = _outlines(item, seen_grid(asking.job), least_px)
    prompts = [Prompt(str(i), box=one.bounds) for i, one in enumerate(outlines)]
    kept = placed(asking.job, Prompts(item.name, tuple(prompts)))
    if kept.faults:
        log.warning("%s: %d objects are left out: wider than a window, or on nodata", item.name, len(kept.faults))
    objects: dict[Box, list[shapely.Geometry]] = {}
    for one in kept.good:
        objects.setdefault(window_of(one, asking.job.windows), []).append(outlines[int(one.name)])
    windows = sorted(objects)
    listen(Progress("embed", 0, len(windows)))
    for done, _ in enumerate(engine.map(partial(_embed, asking), windows), start=1):
        listen(Progress("embed", done, len(windows)))
    return Ground(asking.job.scene.name, asking, {window: tuple(objects[window]) for window in windows})


def _embed(asking: Asking, window: Box) -> None:
    embedded(asking, window)


def _outlines(item: LabelledScene, grid: Grid, least_px: int) -> list[shapely.Geometry]:
    """Return the objects that lie wholly on a grid, in its pixels (x, y); those not reviewed or rejected are none."""
    found: list[shapely.Geometry] = []
    inside, to_pixels = shapely.box(0, 0, grid.width, grid.height), ~grid.transform
    for layer in item.layers:
        if is_raster(layer.file):
            raise InputError(f"{layer.file}: a raster; prompts are learnt of polygons, one an object")
        if is_coco(layer.file):
            frame = read_coco(layer.file, item.name, grid)
        else:
            frame = read_polygons(layer.file, layer=layer.layer, grid=grid, near=True)
        status = review_status(frame, layer.file)
        shapes = np.asarray(frame.geometry.array, object)[(status != UNSEEN) & (status != REJECTED)]
        own = shapely.transform(shapes, lambda xy: np.column_stack(to_pixels @ tuple(xy.T)))
        found += [one for one in own if inside.contains(one) and one.area >= least_px]
    return found
