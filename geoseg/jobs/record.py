"""Record: what run.json holds beside the outputs, and how to repeat the run."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.disk.places import located
from geoseg.executors.peak import peak_memory_bytes
from geoseg.jobs.build import provenance
from geoseg.jobs.job import Job
from geoseg.jobs.plan import Plan
from geoseg.models.bundle import ModelBundle
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions


@dataclass(frozen=True, slots=True)
class RunContext:
    """What run.json records beside the plan: the configuration, and when the run began (``time.perf_counter``)."""

    config: dict[str, Any] | None
    started: float


def of_job(job: Job) -> dict[str, Any]:
    """Return what is known of a job before it is run: equal for equal jobs."""
    grid = job.scene.grid
    height_m, width_m = grid.ground_resolution_m()
    return {
        **provenance(job),
        "scene": {"files": list(job.scene.files), "name": job.scene.name},
        "grid": {
            "crs": grid.crs.to_string(),
            "transform": list(grid.transform)[:6],
            "shape": list(grid.shape),
            "ground_resolution_m": [round(height_m, 6), round(width_m, 6)],
        },
        "layers": [x.as_json() for x in (*job.layers, *job.task.later(job.spec)) if x.file is not None],
    }


def of_run(plan: Plan, context: RunContext) -> dict[str, Any]:
    """Return how a run was done that ends now; run.json is the one place for what differs between two runs of a job."""
    return {
        "plan": plan.as_json(),
        "identity": plan.job.identity,
        "config": context.config,
        "run": {
            "seconds": round(time.perf_counter() - context.started, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "host": platform.node(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "geoseg": __version__,
            "cpus": os.cpu_count(),
        },
    }


def config_of_call(
    files: Sequence[str | Path],
    bundles: Sequence[ModelBundle],
    folder: Path,
    *,
    options: RunOptions,
    polygons: PolygonOptions | None,
) -> dict[str, Any]:
    """Return the config that ``geoseg run`` needs to repeat a call from Python."""
    aoi = None if options.aoi is None else located(options.aoi)
    return {
        "job": "land_cover" if polygons is None else "buildings",
        "scene": [located(file) for file in files],
        "model": [str(Path(b.path).absolute()) for b in bundles],
        "out": str(folder.absolute()),
        "options": asdict(replace(options, aoi=aoi, shard=None, overwrite=False, fresh=False)),
        **({} if polygons is None else {"polygons": asdict(polygons)}),
    }
