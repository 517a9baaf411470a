"""How much faster two workers are than one, and what an engine costs per chunk.

    .venv/bin/python benchmarks/scaling.py --runs 5

Workers are processes with one network thread each, on this machine (engine local). Runs with one and with two workers
alternate; time counts from the first chunk sent to the last one done, after a warm-up, so starting a cluster
is not in it. The per-chunk cost is that of a scene without data under a network that does nothing.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import machine
import stubs
from scenes import write_scene

from geoseg import ClusterOptions, RunOptions, load_model, open_scene
from geoseg.executors.base import ChunkProgress, ChunkRecord, Engine
from geoseg.executors.open import open_engine
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.networks import load_networks
from geoseg.jobs.plan import make_plan

os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])


def seconds_of(engine: Engine, task: ChunkTask) -> float:
    """Run all chunks of a task; raises where one fails."""
    began = time.perf_counter()
    for outcome in engine.run(task, list(task.job.chunks())):
        assert isinstance(outcome, ChunkRecord | ChunkProgress), outcome
    return time.perf_counter() - began


def local(workers: int) -> RunOptions:
    return RunOptions(engine="local", cluster=ClusterOptions(workers=workers))


def scaling(name: str, make_task, runs: int) -> None:
    """Print the speed-up of two workers over one, for one kind of network."""
    with open_engine(local(1)) as one, open_engine(local(2)) as two:
        tasks = {engine: make_task(engine) for engine in (one, two)}
        for engine, task in tasks.items():
            for _ in range(2):  # every worker has loaded its libraries and its network before time counts
                seconds_of(engine, task)
        found = [[seconds_of(engine, task) for engine, task in tasks.items()] for _ in range(runs)]
    ratios = sorted(a / b for a, b in found)
    print(
        f"{name:28} 1 worker {median(a for a, _ in found):6.2f} s, 2 workers {median(b for _, b in found):6.2f} s, "
        f"speed-up {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=2048, help="of the scene for scaling, in pixels")
    arguments = parser.parse_args()
    print(machine.describe())
    print("load average before:", *(f"{v:.1f}" for v in os.getloadavg()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scene = open_scene(write_scene(folder / "scene.tif", arguments.side))
        buildings = load_model("buildings")

        def real(engine: Engine) -> ChunkTask:
            options = RunOptions(chunk_px=512, tta="none")
            bundle = replace(buildings, spec=buildings.spec.model_copy(update={"gsd_m": None}))
            job = make_plan(scene, [bundle], site=engine.site("cpu"), options=options).job
            return ChunkTask(job, load_networks, adopted(folder / f"real{id(engine)}", job))

        def sleeping(engine: Engine) -> ChunkTask:
            job = make_plan(scene, [stubs.BUNDLE], site=engine.site("cpu"), options=RunOptions(chunk_px=512)).job
            return stubs.task(job, folder / f"sleep{id(engine)}", seconds=0.1)

        scaling("default model", real, arguments.runs)
        scaling("network that sleeps 0.1 s", sleeping, arguments.runs)
        empty = open_scene(write_scene(folder / "empty.tif", 10240, share=0.0))
        for options in (RunOptions(engine="sync"), RunOptions(), local(2)):
            with open_engine(options) as engine:
                chosen = RunOptions(chunk_px=512)
                job = make_plan(empty, [stubs.BUNDLE], site=engine.site("cpu"), options=chosen).job
                task = stubs.task(job, folder / f"empty-{options.engine}")
                seconds_of(engine, task)
                took = min(seconds_of(engine, task) for _ in range(3))
            count = sum(1 for _ in job.chunks())
            print(f"{options.engine:8} {count} chunks of 512 px without data: {1000 * took / count:.2f} ms per chunk")


def adopted(folder: Path, job) -> JobFolder:
    work = JobFolder(folder)
    with work.locked():
        work.adopt(job, fresh=True, config=None)
    return work


if __name__ == "__main__":
    main()
