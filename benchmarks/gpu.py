"""What a GPU does: a run beside its networks alone, and the same bytes as when only the networks run there.

    python benchmarks/gpu.py [--models land-cover buildings] [--size 8192] [--runs 3] [--device cuda] [--wheels FOLDER]

Printed for each model and precision: network calls; seconds of a whole run (medians, the first one apart) and Mpx/s;
seconds of the same calls alone, and the ratio; what the run waited for; the GPU's utilisation while it ran, as
nvidia-smi tells it; GPU memory; whether the files are those of a run whose pixels are prepared and blended on the CPU;
and the share of pixels whose class both precisions give alike. --device cpu runs the same code without a GPU, on small
sizes, to see that it runs.

On a machine without internet: fill FOLDER on one that has it, by

    pip download -r requirements.lock -d FOLDER && pip wheel . --no-deps -w FOLDER

--wheels FOLDER then makes an environment of these files alone, beside them, and runs there. Of the sizes above the
whole takes minutes: about a third of one to install, and for each model and precision runs + 3 runs over the scene.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
DEMO = {"land-cover": "land_cover.tif", "buildings": "scene.tif", "buildings-banepa": "scene.tif"}


def in_environment(wheels: Path, rest: list[str]) -> int:
    """Run this script with the arguments ``rest`` in an environment of a folder's wheels; returns its exit code."""
    folder = wheels.resolve() / "environment"
    python = folder / "bin" / "python"
    if not python.exists():
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--no-index", "--find-links", str(wheels), "geoseg"]
        subprocess.run(install, check=True)
        print(f"installed in {time.perf_counter() - began:.0f} s")
    return subprocess.run([str(python), str(HERE / "gpu.py"), *rest], check=False, cwd=wheels).returncode


class Utilisation:
    """How busy nvidia-smi says that the first GPU is, in percent, five times a second; nothing where there is none."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._process: Any = None

    def __enter__(self) -> "Utilisation":
        query = "-i 0 --query-gpu=utilization.gpu --format=csv,noheader,nounits -lms 200"
        if shutil.which("nvidia-smi"):
            self._process = subprocess.Popen(["nvidia-smi", *query.split()], stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        self.seen.extend(float(line) for line in self._process.stdout if line.strip().isdigit())

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def __str__(self) -> str:
        return f"{mean(self.seen):.0f} %" if self.seen else "not told"


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["land-cover", "buildings"], choices=DEMO)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--wheels", type=Path)
    asked = parser.parse_args()
    if asked.wheels is not None:
        size, runs = str(asked.size), str(asked.runs)
        rest = ["--size", size, "--runs", runs, "--device", asked.device, "--models", *asked.models]
        return in_environment(asked.wheels, rest)
    import machine
    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here; --device cpu runs the same code without one", file=sys.stderr)
        return 2
    print(machine.describe())
    print(torch.cuda.get_device_name() if asked.device == "cuda" else "no GPU: figures say nothing of one")
    print(
        "| model | precision | calls | run, s | Mpx/s | network alone, s | ratio | waited for read, network, write, s "
        "| GPU busy | GPU memory, MiB | bytes as blended on the CPU |\n" + "|---" * 11 + "|"
    )
    for model in asked.models:
        measured(model, asked)
    return 0


def measured(model: str, asked: argparse.Namespace) -> None:
    """Print the rows of a model, and how alike its precisions are."""
    import rasterio
    from scenes import laid_out

    from geoseg.models.backends import library

    maps = []
    with tempfile.TemporaryDirectory() as scratch:
        source = HERE.parent / "geoseg" / "demo" / DEMO[model]
        if not source.exists():  # of wheels alone
            import geoseg

            source = Path(geoseg.__file__).parent / "demo" / DEMO[model]
        gsd_m = 1.0 if model == "land-cover" else 0.26
        scene = laid_out(source, asked.size, Path(scratch) / "scene.tif", gsd_m=gsd_m)
        precisions = library("torch").precisions(asked.device)
        for precision in precisions:
            out = Path(scratch) / precision
            print(row(model, precision, scene, out, asked), flush=True)
            with rasterio.open(out / "classes.tif") as src:
                maps.append(src.read(1))
    if len(maps) > 1:
        print(f"\n{model}: {(maps[0] == maps[1]).mean():.4%} of the classes alike in {' and '.join(precisions)}\n")


def row(model: str, precision: str, scene: Path, out: Path, asked: argparse.Namespace) -> str:
    """Return the row of a model in a precision; leaves the outputs of a run in ``out``."""
    import torch

    from geoseg import RunOptions, predict
    from geoseg.jobs import chunk
    from geoseg.jobs import predict as run
    from geoseg.jobs.arithmetic import NUMPY
    from geoseg.jobs.networks import load_networks
    from geoseg.jobs.on_device import OnDevice

    calls: list[int] = []
    windows_of: dict[int, Any] = {}  # of each member, one batch
    jobs = []

    def counted(job: Any) -> Any:
        forward = load_networks(job)
        jobs.append(job)

        def call(member: int, windows: Any) -> Any:
            if len(jobs) == 1:
                calls.append(member)
                windows_of[member] = windows
            return forward(member, windows)

        return call

    device = "cuda:0" if asked.device == "cuda" else "cpu"
    options = RunOptions(
        device=asked.device, precision=precision, tta="none", overwrite=True, layers=("classes", "probabilities")
    )
    waited: dict[str, float] = {}

    def listen(progress: Any) -> None:
        if progress.speed is not None and progress.speed.waited_s:
            waited.update(progress.speed.waited_s)

    def once(target: Path) -> float:
        began = time.perf_counter()
        predict(scene, model, target, options=options, listen=listen)
        return time.perf_counter() - began

    cuda = asked.device == "cuda"
    with patch.object(chunk, "arithmetic_of", lambda _job: OnDevice(device)):
        with patch.object(run, "load_networks", counted):
            once(out)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        with Utilisation() as busy:
            seconds = [once(out) for _ in range(asked.runs)]
        held = torch.cuda.max_memory_allocated() / 2**20 if cuda else 0
        alone = median(
            network_alone(jobs[0], [(member, windows_of[member]) for member in calls], cuda) for _ in range(asked.runs)
        )
    with patch.object(chunk, "arithmetic_of", lambda _job: NUMPY):
        once(out.with_name("numpy"))
    same = digests(out) == digests(out.with_name("numpy"))
    whole = median(seconds)
    waits = ", ".join(f"{waited.get(queue, 0):.1f}" for queue in ("read", "network", "write"))
    return (
        f"| {model} | {precision} | {len(calls)} | {whole:.2f} | {asked.size**2 / 1e6 / whole:.1f} | {alone:.2f} "
        f"| {whole / alone:.2f} | {waits} | {busy} | {held:.0f} | {'equal' if same else 'DIFFERENT'} |"
    )


def network_alone(job: Any, calls: list[tuple[int, Any]], cuda: bool) -> float:
    """Return the seconds of the calls of a run on windows that are on the device already."""
    import torch

    from geoseg.jobs.networks import load_networks
    from geoseg.models.backends import library

    forward = load_networks(job)
    with library("torch").one_thread_per_network():
        began = time.perf_counter()
        for member, windows in calls:
            forward(member, windows)
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began


def digests(folder: Path) -> list[str]:
    """Return the sha256 of the rasters of a run."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
