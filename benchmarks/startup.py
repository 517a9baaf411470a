"""Start-up: how long commands take before their first pixel, beside ``python -c 'import torch'``, in one run.

python benchmarks/startup.py [--rounds 3]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from affine import Affine
from machine import describe

SIZE_PX = 1024
FIRST_WINDOW = """
import sys, time
began = time.perf_counter()
from geoseg.jobs import networks
load = networks.load_networks
def timed(job):
    call = load(job)
    def first(member, windows):
        answer = call(member, windows)
        print(time.perf_counter() - began, file=sys.stderr, flush=True)
        raise SystemExit(0)
    return first
from geoseg.cli import main
import geoseg.jobs.predict as predict
predict.load_networks = timed
main(sys.argv[1:])
"""


def seconds(command: list[str]) -> float:
    """Return how long a process takes, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def write_scene(path: Path) -> Path:
    """Write a scene of 1024 x 1024 px of the demo's resolution."""
    pixels = np.random.default_rng(0).integers(40, 200, (3, SIZE_PX, SIZE_PX), np.uint8)
    place = Affine(0.15, 0, 300_000, 0, -0.15, 3_060_000)
    profile = {"driver": "GTiff", "dtype": "uint8", "crs": "EPSG:32645", "transform": place, "photometric": "RGB"}
    with rasterio.open(path, "w", count=3, height=SIZE_PX, width=SIZE_PX, **profile) as dst:
        dst.write(pixels)
    return path


def main() -> None:
    """Print the median of each command's seconds, the first of them warming byte code and compiled code up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(describe())
    geoseg, python = [sys.executable, "-m", "geoseg"], [sys.executable, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        scene = str(write_scene(Path(folder) / "scene.tif"))
        run = ["predict", scene, "-m", "buildings", "--overwrite", "-q", "-o"]
        commands = {
            "import torch": [*python, "import torch"],
            "geoseg --help": [*geoseg, "--help"],
            "geoseg info": [*geoseg, "info", scene],
            "first window back": [*python, FIRST_WINDOW, *run, f"{folder}/first"],
            f"geoseg predict, {SIZE_PX} x {SIZE_PX} px": [*geoseg, *run, f"{folder}/out"],
        }
        for name, command in commands.items():
            seconds(command)
            print(f"{name:32} {median(seconds(command) for _ in range(rounds)):6.2f} s", flush=True)


if __name__ == "__main__":
    main()
