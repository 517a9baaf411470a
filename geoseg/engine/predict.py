"""predict: from a scene and a model to a folder of outputs."""

import logging
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio

from geoseg import __version__
from geoseg.engine.engines import ENGINES
from geoseg.engine.finish import build_outputs, provenance, publish, refuse_if_finished
from geoseg.engine.job import Job
from geoseg.engine.kernel import Forward
from geoseg.engine.options import PolygonOptions, RunOptions
from geoseg.engine.plan import Plan, make_plan
from geoseg.engine.run import JobFolder, Listener, Progress, run_job
from geoseg.errors import ConfigError
from geoseg.io.source import Scene, open_scene
from geoseg.model.bundle import ModelBundle, load_model
from geoseg.tiling.plan import GDAL_CACHE_BYTES

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

log = logging.getLogger(__name__)


def _silent(progress: Progress) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: its folder, its files by name, and the content of run.json."""

    folder: Path
    paths: dict[str, Path]
    run: dict[str, Any]

    def to_xarray(self, name: str = "classes") -> "xr.DataArray":
        """Open a raster output, e.g. "confidence", lazily: dask-backed, georeferenced, ``.rio``-ready."""
        import rioxarray
        import xarray as xr

        path = self.paths.get(f"{name}.tif")
        if path is None:
            raise ConfigError(f"this run has no {name}.tif; it has {', '.join(self.paths)}")
        array = rioxarray.open_rasterio(path, chunks={"band": 1, "x": 2048, "y": 2048})
        assert isinstance(array, xr.DataArray)  # a GeoTIFF has no subdatasets
        return array.squeeze("band", drop=True).rename(name) if array.sizes["band"] == 1 else array.rename(name)

    def polygons(self) -> "gpd.GeoDataFrame":
        """Read the building polygons."""
        import geopandas as gpd

        path = self.paths.get("buildings.gpkg")
        if path is None:
            raise ConfigError("this run made no polygons; pass polygons=PolygonOptions()")
        return gpd.read_file(path, layer="buildings")


def predict(
    scene: Scene | str | Path | Sequence[str | Path],
    model: ModelBundle | str | Path,
    out: str | Path,
    *,
    options: RunOptions | None = None,
    polygons: PolygonOptions | None = None,
    config: dict[str, Any] | None = None,
    listen: Listener = _silent,
) -> Result:
    """Run a model over a scene; write classes.tif, confidence.tif and, where asked, polygons and probabilities.

    An unfinished run in ``out`` is resumed. config: what a command line or file was told, kept in run.json; without it
    run.json says how to repeat the call, unless the scene came opened.
    Raises InputError, ModelError, ConfigError, OutputError, MemoryBudgetError and IncompleteError; whatever happens,
    ``out`` shows a complete run or none.
    """
    from geoseg.model.backends import one_thread_per_network

    started = time.perf_counter()
    options = options or RunOptions()
    folder = Path(out)
    refuse_if_finished(folder, overwrite=options.overwrite)
    opened = scene if isinstance(scene, Scene) else open_scene(scene)
    bundle = model if isinstance(model, ModelBundle) else load_model(model)
    plan = make_plan(opened, bundle, options=options, polygons=polygons)
    for note in plan.notes:
        log.info(note)
    work = JobFolder(folder / ".job")
    with work.locked(), one_thread_per_network(), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
        work.adopt(plan.job, overwrite=options.overwrite)
        records = run_job(
            plan.job, work, engine=ENGINES[options.engine](plan.lanes), forward=_forward(plan.job), listen=listen
        )
        built, facts = build_outputs(
            plan.job, work, records, probabilities=options.probabilities, polygons=polygons, listen=listen
        )
        run = {
            **provenance(plan.job),
            "scene": {"files": list(opened.files), "name": opened.name},
            "grid": _grid_facts(plan.job),
            **facts,
            "plan": plan.as_json(),
            "config": config or _config(scene, bundle, folder, options=options, polygons=polygons),
            "run": _circumstances(started),
        }
        paths = publish(built, folder, run)
    shutil.rmtree(work.path)
    return Result(folder, paths, run)


def _config(
    scene: Scene | str | Path | Sequence[str | Path],
    bundle: ModelBundle,
    folder: Path,
    *,
    options: RunOptions,
    polygons: PolygonOptions | None,
) -> dict[str, Any] | None:
    """Return the config that ``geoseg run`` needs to repeat a call from Python; None where the scene came opened."""
    if isinstance(scene, Scene):
        return None  # how it was opened (its --bands, --nodata and so on) is not known any more
    files = [scene] if isinstance(scene, str | Path) else scene
    return {
        "job": "land_cover" if polygons is None else "buildings",
        "scene": [f if "://" in str(f) or str(f).startswith("/vsi") else str(Path(f).absolute()) for f in files],
        "model": str(Path(bundle.path).absolute()),
        "out": str(folder.absolute()),
        "options": asdict(replace(options, overwrite=False)),
        **({} if polygons is None else {"polygons": asdict(polygons)}),
    }


def _circumstances(started: float) -> dict[str, Any]:
    """Return what differs between two runs of one job; run.json is the one place for it."""
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "host": platform.node(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "geoseg": __version__,
        "cpus": os.cpu_count(),
    }


def _forward(job: Job) -> Callable[[], Forward]:
    def build() -> Forward:
        from geoseg.model.backends import TorchBackend

        return TorchBackend(job.bundle, device=job.device, precision=job.precision)

    return build


def _grid_facts(job: Job) -> dict[str, Any]:
    grid = job.scene.grid
    height_m, width_m = grid.ground_resolution_m()
    return {
        "crs": grid.crs.to_string(),
        "transform": list(grid.transform)[:6],
        "shape": list(grid.shape),
        "ground_resolution_m": [round(height_m, 6), round(width_m, 6)],
    }


def peak_memory_bytes() -> int:
    """Return the largest resident size this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


__all__ = ["Plan", "Result", "predict"]
