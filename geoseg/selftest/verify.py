"""verify: on the user's own scene and machine, do bytes agree, does the planned memory hold, is no chunk missing?"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geoseg.executors.threads import local_site
from geoseg.jobs.plan import make_plan
from geoseg.jobs.request import Model, load_models
from geoseg.jobs.run import Listener, Progress
from geoseg.models.backends import asked
from geoseg.models.bundle import ModelBundle
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import ClusterOptions, RunOptions
from geoseg.outputs.check import Finding
from geoseg.outputs.run_json import RunJson
from geoseg.scenes.aoi import read_area
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.selftest.isolated_run import Ran, Trial, run_apart
from geoseg.selftest.judge import LAYER, PROBES, Seen, deviation_steps, full_range, see
from geoseg.selftest.oracle import NAME as ORACLE
from geoseg.selftest.oracle import Oracle
from geoseg.tiling.memory import LEAST_CHUNK_PX
from geoseg.values.box import Box

CROP_PX = 1536  # three chunks of the smallest size in a row: one of them has neighbours on both sides
LOCAL_WORKERS = 2
PROBED_BY: dict[str, Any] = {"tta": None, "threshold": None, "backend": None, "precision": None}  # they try the tiling
MODEL = "model"  # what the user's own network is called among the probes


@dataclass(frozen=True, slots=True)
class Report:
    """What verify has found. crop: the part of the scene that was run."""

    scene: str
    crop: Box
    runs: tuple[Ran, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What does not hold."""
        return tuple(f for f in self.findings if not f.ok)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        runs = [
            {
                "network": ran.trial.network,
                "engine": ran.trial.options.engine,
                "interrupted": ran.trial.interrupted,
                "chunk_px": ran.trial.options.chunk_px,
                **{k: v for k, v in asdict(ran).items() if k != "trial"},
            }
            for ran in self.runs
        ]
        return {
            "scene": self.scene,
            "crop": [self.crop.row0, self.crop.col0, self.crop.row1, self.crop.col1],
            "ok": not self.faults,
            "runs": runs,
            "findings": [asdict(f) for f in self.findings],
        }


def verify(
    scene: Scene,
    model: Model | Sequence[Model],
    *,
    options: RunOptions | None = None,
    crop_px: int = CROP_PX,
    scratch: str | Path | None = None,
    listen: Listener = lambda _progress: None,
) -> Report:
    """Run probes and the user's model over the middle of a scene in several ways, and compare what comes out.

    Each run has a process of its own, and draws polygons where the model names their class. Of a detector, which blends
    nothing, the probe is one that is never wrong about objects of known shapes, as large as the crop. options: as for
    ``predict``; its engine is tried beside threads, sync and local. crop_px: side of the square that is run, which is
    held in memory; scratch: a folder for outputs, removed afterwards, that the workers of a cluster must see (None: the
    system's). Raises what ``make_plan`` raises; what goes wrong later is found, not raised.
    """
    options = _quiet(options or RunOptions())
    crop = centre(scene.grid.box, crop_px)
    part, bundles = scene.crop(crop), load_models(model)
    polygons = None if bundles[0].spec.polygon_class is None else PolygonOptions()
    site = local_site(*asked(bundles, options))
    plan = make_plan(part, bundles, site=site, options=options, polygons=polygons)
    seen = see(plan.job.scene, read(plan.job.scene, part.grid.box), plan.job.spec)
    if options.aoi is not None:
        seen.raster.valid[~read_area(options.aoi, part.grid).wanted(part.grid.box)] = False
    with tempfile.TemporaryDirectory(prefix="geoseg-verify-", dir=scratch) as folder:
        ways = _ways(options, plan.job.chunk_px)
        spec = plan.job.spec
        oracle = None if spec.objects is None else Oracle.write(Path(folder), part.grid, spec)
        probes = {ORACLE: oracle.model} if oracle else _written(bundles[0], seen, Path(folder))
        trials = [*_own_trials(bundles, ways, polygons), *_probe_trials(probes, ways)]
        runs, findings = [], []
        for i, trial in enumerate(trials):
            listen(Progress("verify", i, len(trials), f"{trial.network}, {trial.way}, {trial.options.chunk_px} px"))
            out = Path(folder) / "out"
            probe = trial.network != MODEL
            runs.append(run_apart(oracle.scene if oracle and probe else part, trial, out))
            if probe and runs[-1].error is None:
                findings.append(oracle.judged(out, _called(runs[-1])) if oracle else _judged_probe(trial, out, seen))
            shutil.rmtree(out, ignore_errors=True)
        listen(Progress("verify", len(trials), len(trials)))
    return Report(scene.name, crop, tuple(runs), (*judged(runs), *findings))


def centre(box: Box, size_px: int) -> Box:
    """Return the middle of ``box``, at most ``size_px`` on a side.

    >>> centre(Box(0, 0, 100, 20), 50)
    Box(row0=25, col0=0, row1=75, col1=20)
    """
    height, width = (min(size_px, n) for n in box.shape)
    row, col = box.row0 + (box.shape[0] - height) // 2, box.col0 + (box.shape[1] - width) // 2
    return Box(row, col, row + height, col + width)


def judged(runs: Sequence[Ran]) -> Iterator[Finding]:
    """Yield, for every network, whether all runs ended, agree to the byte, held their memory and lack no chunk."""
    for network in dict.fromkeys(ran.trial.network for ran in runs):
        every = [ran for ran in runs if ran.trial.network == network]
        done = [ran for ran in every if ran.error is None]
        broken = [f"{_called(ran)}: {ran.error}" for ran in every if ran.error is not None]
        yield Finding(f"{network}: every run ends", not broken, "; ".join(broken) or f"{len(every)} runs")
        if done:
            yield _judged_bytes(network, done)
            missing = [f"{_called(ran)}: {', '.join(ran.missing[:5])}" for ran in done if ran.missing]
            yield Finding(f"{network}: no chunk is missing", not missing, "; ".join(missing))
            yield _judged_memory(network, done)
        for ran in done:
            if ran.trial.interrupted:
                kept = f"{ran.resumed} of {ran.chunks} chunks were kept"
                yield Finding(f"{network}: an interrupted run goes on", ran.resumed > 0, kept)


def _judged_bytes(network: str, done: Sequence[Ran]) -> Finding:
    first = done[0]
    other = [
        f"{name}: {_called(ran)} {ran.hashes[name][:12]}, {_called(first)} {first.hashes[name][:12]}"
        for name in first.hashes
        for ran in done
        if ran.hashes[name] != first.hashes[name]
    ]
    return Finding(f"{network}: bytes agree", not other, "; ".join(other) or f"{len(first.hashes)} files of each run")


def _judged_memory(network: str, done: Sequence[Ran]) -> Finding:
    measured = [(ran.peak_bytes / ran.planned_bytes, ran) for ran in done if ran.peak_bytes is not None]
    over = [f"{_called(ran)}: {share:.0%} of what was planned" for share, ran in measured if share > 1]
    most = f"{max(share for share, _ in measured):.0%} of what was planned at most" if measured else "not measured"
    return Finding(f"{network}: memory holds", not over, "; ".join(over) or most)


def _called(ran: Ran) -> str:
    return f"{ran.trial.way} {ran.trial.options.chunk_px} px"


def _judged_probe(trial: Trial, out: Path, seen: Seen) -> Finding:
    probe = next(p for p in PROBES if p.name == trial.network)
    file, band = RunJson.read(out).band(LAYER)
    with rasterio.open(out / file) as src:
        found = src.read(band)
    name, valid = f"{trial.network}: {trial.way} {trial.options.chunk_px} px is exact", seen.raster.valid
    if (wrong := (found > 0) != valid).any():
        row, col = np.argwhere(wrong)[0]
        return Finding(name, False, f"{wrong.sum()} pixels are masked that should not be, or not; first {row}, {col}")
    steps = deviation_steps(found, probe.expected(seen, full_range(seen)), valid)
    return Finding(name, steps == 0, f"off by {steps} of 254 steps" if steps else f"{valid.sum()} pixels")


def _quiet(options: RunOptions) -> RunOptions:
    """Return the options without what only a run with a folder of its own needs, and with all rasters."""
    return replace(
        options,
        probabilities=True,
        shard=None,
        on_failure="fill",
        keep_parts=False,
        report=False,
        max_runtime_s=None,
        overwrite=False,
        fresh=False,
    )


def _ways(options: RunOptions, largest_px: int) -> list[RunOptions]:
    """Return how a network is run, with the largest chunks first, then with the smallest in threads."""
    here = replace(options, engine="threads", cluster=ClusterOptions())
    local = replace(options, engine="local", cluster=ClusterOptions(workers=LOCAL_WORKERS))
    ways = [
        replace(here, chunk_px=largest_px),
        replace(here, chunk_px=LEAST_CHUNK_PX),
        replace(here, engine="sync", chunk_px=max(LEAST_CHUNK_PX, largest_px // 2)),
        replace(local, chunk_px=LEAST_CHUNK_PX),
    ]
    if options.engine not in {way.engine for way in ways}:
        ways.append(replace(options, chunk_px=LEAST_CHUNK_PX))
    return ways


def _own_trials(
    bundles: Sequence[ModelBundle], ways: Sequence[RunOptions], polygons: PolygonOptions | None
) -> Iterator[Trial]:
    """Yield the runs of the user's model: in every way, and interrupted."""
    models = tuple(str(Path(b.path).absolute()) for b in bundles)
    every = [Trial(network=MODEL, models=models, options=way, polygons=polygons) for way in ways]
    yield from every
    yield replace(every[1], interrupted=True)


def _probe_trials(probes: Mapping[str, str], ways: Sequence[RunOptions]) -> Iterator[Trial]:
    """Yield the runs of the probes, bundles by name: with the largest chunks in a row, with the smallest in threads."""
    for name, path in probes.items():
        for way in (replace(ways[0], engine="sync"), ways[1]):
            own = {**PROBED_BY, **({"aoi": None} if name == ORACLE else {})}
            yield Trial(network=name, models=(path,), options=replace(way, **own))


def _written(bundle: ModelBundle, seen: Seen, folder: Path) -> dict[str, str]:
    """Write the probes of a model; returns their bundles by name."""
    return {p.name: p.bundle(folder / f"probe-{p.name}", bundle.spec, full_range(seen)).path for p in PROBES}
