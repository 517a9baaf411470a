"""Seconds and peak memory of each format's writer over one stream of building polygons.

    .venv/bin/python benchmarks/million_polygons.py [COUNT] [--formats gpkg,parquet,fgb]

Turned rectangles over a wide plain, with the columns of fitted buildings, wait in an Arrow stream on the disk; each
writer reads them batch by batch in a process of its own. Ends with an error where one takes more than LIMIT_MB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np
import pyarrow as pa
import shapely
from rasterio.crs import CRS

from geoseg.outputs.geopackage.footprints import buildings_batch
from geoseg.values.classes import ClassInfo
from geoseg.vector.footprints.extract import Footprints
from geoseg.vector.tiles.outlines import Fit

LIMIT_MB = 400
BATCH = 5000
BUILDING = ClassInfo(1, "building", (200, 60, 40))
WRITE = """
import json, sys, time
from pathlib import Path
import pyarrow as pa
from geoseg.outputs.geopackage.layer import PolygonLayer, class_style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.values.classes import ClassInfo

def peak_mb():  # getrusage tells of the process that started this one, too
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024 / 1e6

before, began, busy = peak_mb(), time.perf_counter(), time.process_time()
classes = [ClassInfo(1, "building", (200, 60, 40))]
with pa.OSFile(sys.argv[1]) as file, pa.ipc.open_stream(file) as batches:
    layer = PolygonLayer(
        name="buildings", schema=batches.schema, crs="EPSG:32633", title="Buildings", description="Made up",
        columns={}, style=class_style(classes), classes=classes, provenance={})
    count = write_layer(Path(sys.argv[2]), layer, batches)
print(json.dumps({"count": count, "before": before, "peak": peak_mb(),
                  "seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--formats", default="gpkg,parquet,fgb")
    arguments = parser.parse_args()
    print(machine.describe())
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        stream = Path(scratch) / "buildings.arrows"
        write_stream(stream, arguments.count)
        for suffix in arguments.formats.split(","):
            target = Path(scratch) / f"buildings.{suffix}"
            command = [sys.executable, "-c", WRITE, str(stream), str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout)
            print(
                f"{suffix}: {found['count']} polygons in {found['seconds']:.1f} s ({found['cpu']:.1f} s of CPU), peak "
                f"{found['peak']:.0f} MB, {found['before']:.0f} MB of it before the first, file "
                f"{target.stat().st_size / 1e6:.0f} MB",
                flush=True,
            )
            target.unlink()
            missed += [suffix] if found["peak"] > LIMIT_MB else []
    if missed:
        sys.exit(f"more than {LIMIT_MB} MB: {', '.join(missed)}")


def write_stream(path: Path, count: int) -> None:
    """Write ``count`` rectangles of 8 to 30 m in rows of batches, each over a square of its own."""
    rng, crs = np.random.default_rng(0), CRS.from_epsg(32633)
    along = int(np.ceil(np.sqrt(count / BATCH)))
    with pa.OSFile(str(path), "wb") as file:
        writer = None
        for i, start in enumerate(range(0, count, BATCH)):
            n = min(BATCH, count - start)
            angle, half = rng.uniform(0, np.pi / 2, n), rng.uniform(4, 15, (n, 2))
            corners = half[:, None] * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 1, 0)
            origin = np.array([3e5 + 2000 * (i % along), 5e6 + 2000 * (i // along)])
            shapes = shapely.polygons(corners @ turn + (origin + rng.uniform(0, 2000, (n, 2)))[:, None])
            few = rng.uniform(0, 1, (4, n)).astype(np.float32)
            fit = Fit(np.zeros(n, np.int8), 90 * few[0], few[1], few[2], few[3])
            batch = buildings_batch(
                Footprints(shapes, few[0].astype(float), np.full(n, 50), fit), crs=crs, target=BUILDING
            )
            writer = writer or pa.ipc.new_stream(file, batch.schema)
            writer.write_batch(batch)
        writer.close()


if __name__ == "__main__":
    main()
