"""Tools that run a network over a scene in windows, side by side in one run: time, and how far their maps are off.

    pip install --no-deps monai pytorch-toolbelt opencv-python-headless   # Apache-2.0, MIT, Apache-2.0; for this alone
    python benchmarks/peers.py [--sizes 2048 4096] [--runs 3] [--tables equal defaults difference]

Every tool is a process of its own, warm, that waits for its turn; one runs at a time. Scenes are the demo's, laid out
mirrored to N x N pixels. Tables:
equal: the same network (land-cover, geoseg's backend), windows, overlap, batch 1, bf16 where the CPU computes in it,
heap that keeps what is freed; each writes one GeoTIFF of classes.
defaults: each as it comes, at the first size. Peers: the module in fp32, batches of 4, the heap as glibc has it.
geoseg: its precision, batch 1, the heap kept, and it writes confidence, too.
difference: share of labels that are not those of the whole scene as one window, in fp32, with both default models.
Scenes are the least of the first size or more that windows fill: else geoseg mirrors the far edges, where the one
window sees zeros, and others shift their last windows back. "inside" leaves out a window's overlap at the edges.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Self

import machine
import numpy as np
import rasterio
import tiled_tools
from scenes import laid_out

from geoseg.models.backends import library

DEMO = Path(__file__).resolve().parent.parent / "geoseg" / "demo"
NEEDS = {"MONAI": "monai", "pytorch-toolbelt": "pytorch_toolbelt"}  # what the project does not install
TOOLS = ("geoseg", "MONAI", "pytorch-toolbelt", "torchgeo loop", "dask map_overlap")
SCENES = {"land-cover": ("land_cover.tif", 1, 1.0), "buildings": ("scene.tif", 2, 0.3)}  # coarser by, pixels in m
WARM_PX = 640


def scene_of(model: str, size: int, folder: Path) -> Path:
    """Write the demo's scene of a model to size x size pixels, into a folder of its own."""
    name, coarser, gsd_m = SCENES[model]
    path = folder / f"{model}-{size}" / "scene.tif"
    path.parent.mkdir(exist_ok=True)
    return laid_out(DEMO / name, size, path, coarser=coarser, gsd_m=gsd_m)


class Runner:
    """A tool in a process of its own."""

    def __init__(self, name: str, settings: tiled_tools.Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, (self.pipe, other) = name, context.Pipe()
        self.process = context.Process(target=_serve, args=(other, name, settings), daemon=True)

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()

    def __call__(self, scene: Path, out: Path) -> tuple[float, float, int, float]:
        """Return wall and CPU seconds, pixels through the network, and the process's peak memory in MB until now."""
        self.pipe.send((scene, out))
        return self.pipe.recv()


def _serve(pipe: Connection, name: str, settings: tiled_tools.Settings) -> None:
    run = tiled_tools.opened(name, settings)
    while True:
        scene, out = pipe.recv()
        began, used = time.perf_counter(), time.process_time()
        run(scene, out)
        took = time.perf_counter() - began, time.process_time() - used
        pipe.send((*took, run.pixels, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


def installed() -> list[str]:
    """Return the tools that are here."""
    return [name for name in TOOLS if name not in NEEDS or find_spec(NEEDS[name])]


def compare(settings: tiled_tools.Settings, sizes: list[int], runs: int, folder: Path) -> None:
    """Print the table of times of one setting, ratios by medians of the rounds in which tools take turns."""
    print("| scene | tool | wall s | times geoseg's | CPU s | network px / scene px | peak MB |\n" + "|---" * 7 + "|")
    with ExitStack() as stack:
        tools = [stack.enter_context(Runner(name, settings)) for name in installed()]
        warm = scene_of(settings.model, WARM_PX, folder)
        for tool in tools:
            tool(warm, folder / "out.tif")
        for size in sizes:
            scene = scene_of(settings.model, size, folder)
            rounds = []
            for turn in range(runs):
                order = tools if turn % 2 == 0 else tools[::-1]
                rounds.append({tool.name: tool(scene, folder / "out.tif") for tool in order})
            for name in (tool.name for tool in tools):
                wall, used = (median(one[name][i] for one in rounds) for i in (0, 1))
                ratios = sorted(one[name][0] / one["geoseg"][0] for one in rounds)
                spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                _, _, pixels, peak = rounds[-1][name]
                print(
                    f"| {size}² | {name} | {wall:.2f} | {spread} | {used:.2f} | {pixels / size**2:.2f} | {peak:.0f} |",
                    flush=True,
                )


def differences(settings: tiled_tools.Settings, size: int, folder: Path) -> None:
    """Print the table of labels that are not those of one window, of one model."""
    print("| model | scene | tool | network px / scene px | labels that differ | inside |\n" + "|---" * 6 + "|")
    window, edge = settings.bundle.spec.window_px, settings.overlap
    size = window + -(-max(0, size - window) // (window - edge)) * (window - edge)
    scene = scene_of(settings.model, size, folder)
    wanted: np.ndarray | None = None
    for name in ("one-shot", *installed()):  # in this process: what they take is asked elsewhere
        tool = tiled_tools.opened(name, settings)
        tool(scene, folder / "out.tif")
        with rasterio.open(folder / "out.tif") as src:
            labels = src.read(1)
        if wanted is None:
            wanted = labels
            continue
        off, share = labels != wanted, tool.pixels / size**2
        inside = off[edge:-edge, edge:-edge]
        print(f"| {settings.model} | {size}² | {name} | {share:.2f} | {off.mean():.4%} | {inside.mean():.4%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--runs", type=int, default=3)
    tables = ("equal", "defaults", "difference")
    parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables))
    asked = parser.parse_args()
    print(machine.describe())
    print("load average before:", *(f"{v:.1f}" for v in os.getloadavg()))
    missing = [f"{name} (not installed: left out)" for name in TOOLS if name not in installed()]
    print(
        f"{tiled_tools.CPUS} CPUs: two networks at once of one thread each in geoseg, one of all threads in the others"
    )
    print(*missing, sep="\n", end="\n" if missing else "")
    precision = library("torch").precisions("cpu")[0]
    equal = tiled_tools.Settings("land-cover", batch=1, precision=precision, keep_heap=True)
    if "equal" in asked.tables:
        print(f"\nEqual settings: {precision}, batch 1, heap kept\n")
        with tempfile.TemporaryDirectory() as folder:
            compare(equal, asked.sizes, asked.runs, Path(folder))
    if "defaults" in asked.tables:
        print(f"\nAs they come: geoseg {precision}, batch 1, heap kept, 2 rasters; others fp32, 4, glibc's heap\n")
        with tempfile.TemporaryDirectory() as folder:
            own = replace(equal, batch=4, precision="fp32", keep_heap=False, own=True)
            compare(own, asked.sizes[:1], asked.runs, Path(folder))
    if "difference" in asked.tables:
        for model in SCENES:
            print("\nOne run each, fp32; the share of labels that are not those of the whole scene as one window\n")
            with tempfile.TemporaryDirectory() as folder:
                differences(replace(equal, model=model, precision="fp32"), asked.sizes[0], Path(folder))


if __name__ == "__main__":
    main()
