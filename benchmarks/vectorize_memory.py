"""Memory and time of ``geoseg vectorize`` over a large class raster of synthetic buildings, and the speed of tracing.

    python benchmarks/vectorize_memory.py [SIZE_PX]

Houses of 8 to 40 m with any direction, some with a wing, about 230 per square kilometre of 0.5 m pixels, and one road
through the whole scene, which is too large to be fitted. The raster (30,000 px square: 900 Mpx, 25 MB) is written to a
temporary folder; vectorize runs in a process of its own. Ends with an error where that took more memory than planned.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from machine import describe
from rasterio.features import rasterize
from rasterio.windows import Window
from shapely import affinity, box, union_all

from geoseg.vector.pixels.runs import inside_runs
from geoseg.vector.pixels.subpixel import trace_rings

PATTERN_PX = 3000
RUN = """
import json, resource, sys, time
from geoseg.jobs.vectorize import vectorize
began = time.perf_counter()
made = vectorize(sys.argv[1], sys.argv[2], class_id=2)
made["seconds"] = time.perf_counter() - began
made["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(made))
"""


def houses(size_px: int, *, count: int, seed: int) -> np.ndarray:
    """Houses of 16 to 80 px, a fifth of them with a wing, as a mask."""
    rng = np.random.default_rng(seed)
    shapes = []
    for x, y in rng.uniform(60, size_px - 60, (count, 2)):
        width, height = rng.uniform(16, 80), rng.uniform(16, 50)
        house = box(-width / 2, -height / 2, width / 2, height / 2)
        if rng.random() < 0.2:
            house = union_all([house, box(0, 0, width / 2, height)])
        shapes.append(affinity.translate(affinity.rotate(house, rng.uniform(0, 90)), x, y))
    return rasterize(shapes, out_shape=(size_px, size_px)).astype(bool)


def write_scene(path: Path, size: int) -> None:
    pattern = np.where(houses(PATTERN_PX, count=900, seed=1), 2, 1).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=1, dtype="uint8", tiled=True, blockxsize=512,
        blockysize=512, compress="deflate", crs="EPSG:32633", transform=Affine(0.5, 0, 4e5, 0, -0.5, 5e6),
    ) as dst:  # fmt: skip
        for row in range(0, size, 512):
            strip = np.roll(pattern, -row, axis=0)[: min(512, size - row)]
            strip = np.tile(strip, (1, -(-size // PATTERN_PX)))[:, :size]
            rows = np.arange(row, row + len(strip))[:, None]
            strip = np.where(np.abs(np.arange(size) - rows) < 9, 2, strip)
            dst.write(strip.astype(np.uint8), 1, window=Window(0, row, size, len(strip)))


def tracing_mpx_per_s() -> float:
    """Speed of runs and sub-pixel contours of a scene of 4096 px square on one core; the median of five."""
    probability = np.where(houses(4096, count=1700, seed=2), 255, 1).astype(np.uint8)
    trace_rings(probability, inside_runs(probability, 128), 128)  # compiles
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        rings = trace_rings(probability, inside_runs(probability, 128), 128)
        seconds.append(time.perf_counter() - began)
    print(f"tracing: {len(rings)} rings, {len(rings.xy)} points")
    return probability.size / sorted(seconds)[2] / 1e6


def main(size: int) -> None:
    print(describe())
    print(f"tracing: {tracing_mpx_per_s():.0f} Mpx/s on one core")
    with tempfile.TemporaryDirectory() as folder:
        scene, out = Path(folder) / "classes.tif", Path(folder) / "out.gpkg"
        write_scene(scene, size)
        print(f"scene: {size} x {size} px, {scene.stat().st_size / 2**20:.0f} MiB")
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(scene), str(out)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        made = json.loads(done.stdout)
        planned_mib = made["planned_memory_bytes"] / 2**20
        print(
            f"{made['count']} polygons ({made['streamed']} streamed) in {made['seconds']:.0f} s: "
            f"{size**2 / made['seconds'] / 1e6:.0f} Mpx/s, {made['count'] / made['seconds']:.0f} polygons/s, "
            f"peak {made['peak_mib']:.0f} MiB of {planned_mib:.0f} planned, "
            f"GeoPackage {out.stat().st_size / 2**20:.0f} MiB"
        )
    if made["peak_mib"] > planned_mib:
        raise SystemExit("more memory than planned")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
