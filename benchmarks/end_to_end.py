"""Where the time of a run goes, and what it takes beyond the network alone on the same windows.

    .venv/bin/python benchmarks/end_to_end.py geoseg/demo/land_cover.tif -m land-cover --size 2048 4096

CPU seconds per megapixel of the scene in reading, network, blending (with normalising, resampling and deciding
classes), encoding and finishing, one thing after the other (engine sync); then the wall time and the CPU time of the
threads engine beside those of the same network calls in as many threads and nothing else, in turns. With --size the
scene is laid out to so many pixels square, mirrored: what a run takes whatever its size then counts little. Several
sizes and precisions are measured one after the other.
"""

import argparse
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from unittest.mock import patch

import machine
import numpy as np
from scenes import laid_out

from geoseg import RunOptions, predict
from geoseg.executors.threads import usable_cpus
from geoseg.jobs import chunk, folder
from geoseg.jobs import predict as run
from geoseg.jobs.networks import load_networks
from geoseg.jobs.run import Progress
from geoseg.models.backends import library
from geoseg.models.backends.torch import one_thread_per_network


class Clock:
    """Adds up the seconds that wrapped calls take, by name."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: list[tuple[int, tuple[int, ...]]] = []
        self._lock = threading.Lock()

    def timed(self, name, call):
        def wrapper(*arguments, **keywords):
            began = time.thread_time()
            try:
                return call(*arguments, **keywords)
            finally:
                with self._lock:
                    self.seconds[name] += time.thread_time() - began

        return wrapper

    def networks(self, job):
        forward = load_networks(job)

        def counted(member, windows):
            with self._lock:
                self.calls.append((member, windows.shape))
            return forward(member, windows)

        return self.timed("network", counted)


def now() -> np.ndarray:
    """Return wall and CPU seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def instrumented(clock: Clock, scene: Path, model: str, out: Path, options: RunOptions) -> np.ndarray:
    """Run a prediction; returns the wall and CPU seconds from its first chunk to its last file."""
    began = []

    def listen(_progress: Progress) -> None:
        began.append(now())

    sink = folder._PartSink
    with (
        patch.object(run, "load_networks", clock.networks),
        patch.object(chunk, "read_strip", clock.timed("read", chunk.read_strip)),
        patch.object(sink, "add", clock.timed("encode", sink.add)),
        patch.object(sink, "commit", clock.timed("encode", sink.commit)),
        patch.object(run, "build_outputs", clock.timed("finish", run.build_outputs)),
    ):
        predict(scene, model, out, options=options, listen=listen)
    return now() - began[0]


def network_alone(job, calls, lanes: int) -> np.ndarray:
    """Run the same calls on ``lanes`` threads with one thread per network, and nothing else."""
    forward = load_networks(job)
    inputs = {shape: np.zeros(shape, np.float32) for _, shape in calls}
    with one_thread_per_network(), ThreadPoolExecutor(lanes) as pool:
        began = now()
        list(pool.map(lambda call: forward(call[0], inputs[call[1]]), calls))
        return now() - began


def measured(scene: Path, out: Path, model: str, runs: int, **chosen: str | None) -> None:
    """Print what a run over a scene takes."""
    jobs = []
    keep = load_networks

    def remember(job):
        jobs.append(job)
        return keep(job)

    with patch(f"{__name__}.load_networks", remember):
        clock = Clock()
        options = RunOptions(engine="sync", overwrite=True, memory_bytes=machine.MEMORY_BYTES, **chosen)
        total = instrumented(clock, scene, model, out / "sync", options)[1]
        job = jobs[-1]
        mpx = np.prod(job.scene.grid.shape) / 1e6
        seconds = dict(clock.seconds)
        seconds["blend"] = total - sum(seconds.values())
        said = ", ".join(f"{key} {value}" for key, value in chosen.items() if value is not None)
        print(f"\n{said}: {mpx:.2f} Mpx, {len(clock.calls)} network calls of {clock.calls[0][1]}; ", end="")
        print(f"{'/'.join(job.platform.backends)} in {job.platform.precision}; CPU s per Mpx, engine sync:")
        for name in ("read", "network", "blend", "encode", "finish"):
            print(f"  {name:8} {seconds.get(name, 0) / mpx:8.4f}")
        print(f"  all but the network {sum(s for n, s in seconds.items() if n != 'network') / mpx:8.4f}")
        lanes = usable_cpus()
        together, alone = [], []
        for _ in range(runs):
            options = RunOptions(lanes=lanes, overwrite=True, memory_bytes=machine.MEMORY_BYTES, **chosen)
            together.append(instrumented(Clock(), scene, model, out / "threads", options))
            alone.append(network_alone(job, clock.calls, lanes))
    for name, whole, network in zip(
        ("wall", "CPU"), zip(*together, strict=True), zip(*alone, strict=True), strict=True
    ):
        ratios = [a / b for a, b in zip(whole, network, strict=True)]
        print(
            f"threads, {lanes} lanes, {runs} runs in turns, {name}: run {median(whole):.2f} s, network "
            f"alone {median(network):.2f} s, ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--size", type=int, nargs="+", default=[])
    parser.add_argument("-m", "--model", default="buildings")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tta", default="none")
    parser.add_argument("--backend", default=None)
    parser.add_argument("--precision", nargs="+", help="unset: all that torch computes in here, or the backend's own")
    asked = parser.parse_args()
    every = [None] if asked.backend else list(library("torch").precisions("cpu"))
    print(machine.describe())
    print("load average before:", *(f"{v:.1f}" for v in os.getloadavg()))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        scenes = [laid_out(asked.scene, side, out / f"{side}.tif") for side in asked.size] or [asked.scene]
        options = RunOptions(engine="sync", tta=asked.tta, memory_bytes=machine.MEMORY_BYTES)
        instrumented(Clock(), asked.scene, asked.model, out / "warm", options)
        for scene in scenes:
            for precision in asked.precision or every:
                chosen = {"tta": asked.tta, "backend": asked.backend, "precision": precision}
                measured(scene, out, asked.model, asked.runs, **chosen)


if __name__ == "__main__":
    main()
