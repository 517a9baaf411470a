"""Start-up: what commands take before their first pixel, beside ``python -c 'import torch'``, in one run.

usage: startup.py [--rounds 3] [--against COMMIT]

CPU seconds (user and system) of whole processes, medians over the rounds, and their ratio to ``import torch`` in the
same rounds: other work on the machine changes both alike. The first round warms up byte code, compiled code and what
networks are exported to, and does not count. --against runs the code of COMMIT too, in the same rounds; its tree has to
have jobs/ and pipelines/.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from affine import Affine
from machine import describe

ROOT = Path(__file__).resolve().parent.parent
SIZE_PX, GSD_M = 1024, 0.26  # at the resolution of the default model: nothing is resampled
FIRST_WINDOW = """
import os, sys
import geoseg.jobs.predict as predict
from geoseg.cli import main
load = predict.load_networks
def until_the_first(job):
    call = load(job)
    def first(member, windows):
        call(member, windows)
        os._exit(0)
    return first
predict.load_networks = until_the_first
main(sys.argv[1:])
sys.exit("no window was run")
"""


def cpu_seconds(command: list[str], tree: Path | None) -> float:
    """Return the user and system time of a process, which runs the code of ``tree``."""
    environment = os.environ | ({} if tree is None else {"PYTHONPATH": str(tree)})
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"startup: {' '.join(command)}: {process.stderr.read().decode()}")
    return used.ru_utime + used.ru_stime


def write_scene(path: Path) -> Path:
    """Write a scene of 1024 x 1024 px of the default model's resolution."""
    pixels = np.random.default_rng(0).integers(40, 200, (3, SIZE_PX, SIZE_PX), np.uint8)
    place = Affine(GSD_M, 0, 300_000, 0, -GSD_M, 3_060_000)
    profile = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:32645", "transform": place, "photometric": "RGB"}
    with rasterio.open(path, "w", count=3, height=SIZE_PX, width=SIZE_PX, **profile) as dst:
        dst.write(pixels)
    return path


def commands(scene: str, folder: str) -> dict[str, list[str]]:
    """Return what is measured, by name."""
    geoseg, python = [sys.executable, "-m", "geoseg"], [sys.executable, "-c"]
    found = {
        "import torch": [*python, "import torch"],
        "import torch, segmentation_models_pytorch": [*python, "import torch, segmentation_models_pytorch"],
        "geoseg --help": [*geoseg, "--help"],
        "geoseg info": [*geoseg, "info", scene],
    }
    for model, backend in product(("buildings", "land-cover"), ("torch", "onnx")):
        run = ["predict", scene, "-m", model, "--tta", "none", "--device", "cpu", "--overwrite", "-q"]
        run += ["--backend", backend, "-o"]
        found[f"first window back, {model}, {backend}"] = [*python, FIRST_WINDOW, *run, f"{folder}/{model}-{backend}"]
        found[f"predict, {SIZE_PX} x {SIZE_PX} px, {model}, {backend}"] = [*geoseg, *run, f"{folder}/out"]
    return found


@contextmanager
def tree_of(commit: str, folder: Path):
    """Yield the tree of a commit, as an installation has it."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "-f", folder, commit], check=True, capture_output=True)
    try:
        for name in ("configs", "pipelines"):
            (folder / "geoseg" / name).symlink_to(folder / name)
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", folder], check=True, capture_output=True)


def main() -> None:
    """Print a table of CPU seconds and of ratios to ``import torch``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="COMMIT")
    asked = parser.parse_args()
    print(f"{describe()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = commands(str(write_scene(folder / "scene.tif")), name)
        other = nullcontext() if asked.against is None else tree_of(asked.against, folder / "tree")
        with other as tree:
            sides = {asked.against: tree, "now": None} if asked.against else {"now": None}
            took = {(side, call): [] for side in sides for call in calls}
            for _ in range(asked.rounds + 1):
                for (side, call), seconds in took.items():
                    seconds.append(cpu_seconds(calls[call], sides[side]))
    middle = {key: median(seconds[1:]) for key, seconds in took.items()}
    print(f"| CPU s (of import torch) | {' | '.join(sides)} |\n|---|{'---|' * len(sides)}")
    for call in calls:
        told = [(middle[side, call], middle[side, call] / middle[side, "import torch"]) for side in sides]
        print(f"| {call} | {' | '.join(f'{seconds:.2f} ({share:.2f})' for seconds, share in told)} |")


if __name__ == "__main__":
    main()
