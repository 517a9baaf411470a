"""Maps of a batch: each scene goes through ``predict``, and polygons are drawn where they are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import IncompleteError
from geoseg.executors.base import Engine, Platform
from geoseg.jobs.batch_log import SceneOutcome, State
from geoseg.jobs.batch_work import BatchScene, Planned
from geoseg.jobs.job import differences
from geoseg.jobs.plan import make_job, make_plan
from geoseg.jobs.predict import predict
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.targets import refuse_if_disk_is_short
from geoseg.models.backends import asked
from geoseg.models.bundle import ModelBundle
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import PartsOptions, RunOptions
from geoseg.outputs.run_json import RunJson
from geoseg.tiling.memory import LEAST_CHUNK_PX

PLACE = {"platform", "chunk_px"}  # where and in which steps a finished scene was run does not count
ANYWHERE = Platform("", "", "")


@dataclass(frozen=True, slots=True)
class MapWork:
    """Models, and how they are run over every scene."""

    bundles: tuple[ModelBundle, ...]
    options: RunOptions
    polygons: PolygonOptions | None = None

    def finished(self, out: Path) -> Mapping[str, Any] | None:
        """See ``Work.finished``."""
        run = RunJson.read(out).facts
        return {
            "identity": run.get("identity", {}),
            **{key: run[key] for key in ("config", "missing_chunks", "outputs")},
        }

    def changed(self, run: Mapping[str, Any], scene: BatchScene) -> list[str]:
        """See ``Work.changed``."""
        job = make_job(
            scene.open(),
            self.bundles,
            platform=ANYWHERE,
            chunk_px=LEAST_CHUNK_PX,
            options=self.options,
            polygons=self.polygons,
        )
        changed = [key for key in differences(run["identity"], job.identity) if key not in PLACE]
        polygons = None if self.polygons is None else asdict(self.polygons)
        return changed + ["polygons"] * ((run["config"] or {}).get("polygons") != polygons)

    def run(
        self, scene: BatchScene, options: PartsOptions, *, engine: Engine, listen: Listener, stop: Stop
    ) -> SceneOutcome:
        """See ``Work.run``."""
        assert isinstance(options, RunOptions)  # they come of those above
        result = predict(
            scene.open(),
            self.bundles,
            scene.out,
            options=options,
            polygons=self.polygons,
            config=scene.config,
            engine=engine,
            listen=listen,
            stop=stop,
        )
        polygons = result.run["polygons"]["count"] if "polygons" in result.run else None
        missing = result.run["missing_chunks"]
        if missing:
            message = f"{len(missing)} chunks failed and are nodata in {scene.out}"
            return SceneOutcome(
                scene.name, State.INCOMPLETE, code=IncompleteError.exit_code, told=message, polygons=polygons
            )
        return SceneOutcome(scene.name, State.DONE, polygons=polygons)

    def planner(self, engine: Engine) -> Callable[[BatchScene, PartsOptions], Planned]:
        """See ``Work.planner``."""
        site = engine.site(*asked(self.bundles, self.options))

        def planned(scene: BatchScene, options: PartsOptions) -> Planned:
            assert isinstance(options, RunOptions)  # they come of those above
            plan = make_plan(scene.open(), self.bundles, site=site, options=options, polygons=self.polygons)
            refuse_if_disk_is_short(scene.out, plan.disk_bytes, options)
            return Planned(plan.as_json(), plan.job.windows.count, plan.peak_bytes, plan.disk_bytes, plan)

        return planned
