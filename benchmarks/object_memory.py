"""Peak memory of runs that tell objects apart, beside what their plans say, on scenes of several sizes.

    .venv/bin/python benchmarks/object_memory.py --sizes 3000 12000

The detector is never wrong about squares of 12 px, one on 196 pixels: about as many as a plan allows for. Each run is a
process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.models.detecting import Detecting
from geoseg.selftest.oracle import THINGS, write_detector

PITCH, SIDE, STRIP = 14, 12, 1400
RUN = """
import json, sys
from geoseg import RunOptions, predict
scene, model, out, chunk = sys.argv[1:]
done = predict(scene, model, out, options=RunOptions(chunk_px=int(chunk), lanes=2)).run
print(json.dumps({"peak": done["run"]["peak_memory_bytes"], "planned": done["plan"]["peak_memory_bytes"],
                  "stages": done["plan"]["memory_bytes"], "seconds": done["run"]["seconds"],
                  "count": done["instances"]["count"], "full": done["instances"]["windows_at_limit"]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 12000])
    parser.add_argument("--chunk-px", type=int, default=1024)
    arguments = parser.parse_args()
    print(machine.describe())
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            scene, model = Path(scratch) / "scene.tif", Path(scratch) / "m"
            write_scene(scene, size)
            write_detector(
                model, Detecting(things=THINGS, per_window=2000, min_px=1), window_px=256, margin_px=16, ramp_px=0
            )
            command = [sys.executable, "-c", RUN, scene, model, Path(scratch) / "out", str(arguments.chunk_px)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout)
            stages = ", ".join(f"{k} {found['stages'][k] / 1e6:.0f}" for k in ("merge", "paint", "number", "outline"))
            print(
                f"{size} x {size} px, {found['count']} objects, {found['full']} windows at the limit: peak "
                f"{found['peak'] / 1e6:.0f} MB, planned {found['planned'] / 1e6:.0f} MB (stages: {stages}), "
                f"{found['seconds']:.0f} s",
                flush=True,
            )


def write_scene(path: Path, size: int) -> None:
    """Write numbered squares in strips; numbers begin anew in each, which are far apart."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": size, "width": size, "compress": "deflate"}
    place = {"crs": CRS.from_epsg(32645), "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
    rows, cols = np.arange(STRIP), np.arange(size)
    number = 1 + (rows[:, None] // PITCH) * (STRIP // PITCH) + cols // PITCH % (STRIP // PITCH)
    inside = (rows[:, None] % PITCH < SIDE) & (cols % PITCH < SIDE)
    ids = np.where(inside, number, 0).astype(np.uint16)
    with rasterio.open(path, "w", **profile, **place, tiled=True) as dst:
        for row in range(0, size, STRIP):
            own = ids[: min(STRIP, size - row)]
            dst.write(own, 1, window=Window(0, row, size, len(own)))


if __name__ == "__main__":
    main()
