"""RunRequest: what ``predict`` and ``finish`` are asked for, and what both do first.

The folder is claimed, scene and models are opened, and what is read is never written. Nothing is planned here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.jobs.build import remove_if_spent
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.record import config_of_call
from geoseg.jobs.targets import (
    OF_OBJECTS,
    old_statistics,
    own_files,
    refuse_foreign,
    refuse_if_finished,
    refuse_inputs,
    target_names,
)
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.reads import files_read
from geoseg.scenes.scene import Scene
from geoseg.tasks.groups import files_of_groups

log = logging.getLogger(__name__)
Model = ModelBundle | str | Path
Input = Scene | str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Opened:
    """A request's inputs, open."""

    scene: Scene
    """With all its bands."""
    bundles: tuple[ModelBundle, ...]
    """The members of an ensemble, often one."""
    config: dict[str, Any] | None
    """What run.json says of how to repeat the run; None where that is not known."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A scene, a model, a folder for the outputs, and the options of all."""

    scene: Input
    """Opened, or the files to open."""
    model: Model | Sequence[Model]
    """One, or several of which the probabilities are averaged."""
    out: Path
    """The outputs' folder."""
    options: RunOptions
    """How the rasters are made."""
    polygons: PolygonOptions | None = None
    """How polygons are drawn, None for rasters alone."""
    config: dict[str, Any] | None = None
    """What a command line or file said; None for a call from Python."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return target_names(self.options.rasters, polygons=self.polygons)

    def claimed(self) -> JobFolder:
        """Return the job folder in ``out``; raises OutputError where what lies there may not be replaced."""
        work = JobFolder(self.out / ".job")
        remove_if_spent(work)
        refuse_if_finished(self.out, overwrite=self.options.overwrite)
        refuse_foreign(self.out, self.names)
        work.refuse_foreign()
        for name in old_statistics(self.out, self.names):
            log.warning("%s: is not geoseg's and stays, but describes the outputs before; remove it", self.out / name)
        return work

    def opened(self) -> Opened:
        """Open scene and models; raises OutputError where a file that is read would be written, and what opening does.

        An opened scene does not say any more how it was opened, so its run cannot be repeated from run.json alone.
        """
        scene, bundles = opened_scene(self.scene), load_models(self.model)
        aoi = [] if self.options.aoi is None else [self.options.aoi, self.options.aoi.rpartition(":")[0]]
        models = [path for bundle in bundles for path in Path(bundle.path).iterdir()]
        groups = [*files_of_groups(bundles[0].spec)] if bundles else []
        groups += OF_OBJECTS if bundles and bundles[0].spec.things else ()
        refuse_foreign(self.out, groups)
        names = {*self.names, *groups, *own_files(self.out)}
        refuse_inputs(self.out, names, [*files_read(scene.inputs, lone=scene.lone), *aoi, *models])
        config = self.config
        if config is None and not isinstance(self.scene, Scene):
            files = [self.scene] if isinstance(self.scene, str | Path) else self.scene
            config = config_of_call(files, bundles, self.out, options=self.options, polygons=self.polygons)
        return Opened(scene, bundles, config)


def opened_scene(scene: Input) -> Scene:
    """Open a scene that is not open yet; raises InputError."""
    return scene if isinstance(scene, Scene) else open_scene(scene)


def load_models(model: Model | Sequence[Model]) -> tuple[ModelBundle, ...]:
    """Open one model or several; raises ModelError."""
    several = [model] if isinstance(model, ModelBundle | str | Path) else model
    return tuple(m if isinstance(m, ModelBundle) else load_model(m) for m in several)
