"""Prompts and superpixels of a batch: each scene gets objects.gpkg, or segments.gpkg and segments.tif, and run.json."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.disk.files import write_json
from geoseg.disk.places import refuse_file
from geoseg.executors.base import Engine
from geoseg.jobs import segment
from geoseg.jobs.batch_log import SceneOutcome, State
from geoseg.jobs.batch_work import BatchScene, Planned
from geoseg.jobs.build import facts_of
from geoseg.jobs.evaluate.files import files_behind
from geoseg.jobs.job import differences, scene_identity
from geoseg.jobs.prompt_run import plan_prompts, run_prompts
from geoseg.jobs.prompt_targets import refuse_targets
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.targets import RUN_FILE
from geoseg.jobs.window_answers import Share
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import PartsOptions
from geoseg.options.segment import SegmentOptions
from geoseg.scenes.reads import files_read, stamps
from geoseg.scenes.scene import Scene

ELSEWHERE = ("device", "cache_bytes", "embeddings")  # options that change no byte
INPUTS = "inputs"  # key of run.json: what decides the outputs


@dataclass(frozen=True, slots=True)
class PromptWork:
    """A promptable model, and how it is asked; a scene's config says what."""

    bundle: ModelBundle
    asked: PromptOptions
    options: PartsOptions

    def finished(self, out: Path) -> Mapping[str, Any] | None:
        """See ``Work.finished``."""
        return _finished(out)

    def changed(self, run: Mapping[str, Any], scene: BatchScene) -> list[str]:
        """See ``Work.changed``."""
        return differences(run[INPUTS], _as_json(self._inputs(scene, scene.open())))

    def run(
        self, scene: BatchScene, options: PartsOptions, *, engine: Engine, listen: Listener, stop: Stop
    ) -> SceneOutcome:
        """See ``Work.run``."""
        opened, prompts = scene.open(), scene.config["prompts"]
        refuse_targets(scene.out, opened.files, prompts, self.asked, overwrite=options.overwrite)
        found = run_prompts(
            opened,
            self.bundle,
            prompts,
            scene.out,
            options=self.asked,
            run=options,
            share=Share(out=scene.out, config=scene.config, fresh=options.fresh, stop=stop, engine=engine),
            listen=listen,
            more={INPUTS: self._inputs(scene, opened)},
        )
        return SceneOutcome(scene.name, State.DONE, polygons=len({one.name for one in found.objects}))

    def planner(self, engine: Engine) -> Callable[[BatchScene, PartsOptions], Planned]:
        """See ``Work.planner``."""

        def planned(scene: BatchScene, options: PartsOptions) -> Planned:
            told = plan_prompts(scene.open(), self.bundle, options=self.asked, run=options, engine=engine)
            return Planned(told.said(), told.windows, told.memory_bytes)

        return planned

    def _inputs(self, scene: BatchScene, opened: Scene) -> dict[str, Any]:
        files = files_behind(scene.config["prompts"], self.asked.refine, self.asked.within, self.asked.classes)
        options = {key: value for key, value in asdict(self.asked).items() if key not in ELSEWHERE}
        models = [self.bundle.digest, *([load_model(self.asked.detector).digest] if self.asked.detector else [])]
        own = {"model": models, "options": options, "prompts": stamps(dict.fromkeys(map(str, files)))}
        return _inputs_of(opened) | own


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """How every scene is cut into superpixels."""

    cut: SegmentOptions
    options: PartsOptions

    def finished(self, out: Path) -> Mapping[str, Any] | None:
        """See ``Work.finished``."""
        return _finished(out)

    def changed(self, run: Mapping[str, Any], scene: BatchScene) -> list[str]:
        """See ``Work.changed``."""
        return differences(run[INPUTS], _as_json(self._inputs(scene.open())))

    def run(
        self, scene: BatchScene, options: PartsOptions, *, engine: Engine, listen: Listener, stop: Stop
    ) -> SceneOutcome:
        """See ``Work.run``."""
        opened, files = scene.open(), [Path(scene.config[key]) for key in ("out", "raster")]
        refuse_file(files[0], overwrite=options.overwrite, inputs=opened.files)
        count = segment.segment(
            opened, *files, options=self.cut, run=options, config=scene.config, engine=engine, listen=listen, stop=stop
        )
        facts = {
            "software": "geoseg",
            "version": __version__,
            "input": [Path(f).name for f in opened.files],
            "bands": list(opened.bands.names),
            "segments": count,
        }
        told = {**facts, "outputs": facts_of(files), "config": scene.config, INPUTS: self._inputs(opened)}
        write_json(scene.out / RUN_FILE, told)
        return SceneOutcome(scene.name, State.DONE, polygons=count)

    def planner(self, engine: Engine) -> Callable[[BatchScene, PartsOptions], Planned]:
        """See ``Work.planner``."""

        def planned(scene: BatchScene, options: PartsOptions) -> Planned:
            told = segment.plan(scene.open(), options=self.cut, run=options, engine=engine)
            return Planned(told, told["tiles"], told["memory_bytes"])

        return planned

    def _inputs(self, opened: Scene) -> dict[str, Any]:
        return _inputs_of(opened) | {"options": asdict(self.cut)}


def _finished(out: Path) -> dict[str, Any] | None:
    run = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
    return {**{key: run[key] for key in (INPUTS, "outputs")}, "missing_chunks": []}


def _inputs_of(scene: Scene) -> dict[str, Any]:
    return {"geoseg": __version__, **scene_identity(scene, files_read(scene.inputs, lone=scene.lone))}


def _as_json(value: object) -> Any:
    """Return what a value is once it was written as JSON."""
    return json.loads(json.dumps(value))
