"""A class raster as a coverage, beside gdal_polygonize: time, peak memory, and whether the polygons tile the scene.

usage: python benchmarks/coverages.py RASTER [--min-area-m2 M] [--tolerance-m T] [--runs N]

geoseg runs with empty caches of compiled functions and modules, then with full ones, then with the sieve and the
tolerance; each run is a process of its own. gdal_polygonize.py (GDAL's own command, here the system's) writes a
GeoPackage as well.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from machine import describe

DRAW = """
import json, resource, sys, time
from geoseg.vector.coverage.draw import draw_coverage
from geoseg.vector.coverage.coverage import CoverageRules
raster, out, min_area_m2, tolerance_m = sys.argv[1:]
made = draw_coverage(raster, out, rules=CoverageRules(min_area_m2=float(min_area_m2), tolerance_m=float(tolerance_m)))
print(json.dumps(made))
"""


def timed(command: list[str], **environment: str) -> tuple[str, float, str]:
    """Run a command; return its seconds and those of the CPU, its peak memory in MiB, and what it printed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}")
    seconds = f"{time.perf_counter() - began:.1f} | {usage.ru_utime + usage.ru_stime:.1f}"
    return seconds, usage.ru_maxrss / 1024, told


def judged(path: Path, raster: Path) -> str:
    """Say whether the polygons tile the valid pixels, and how far each class is from its pixel count, as areas."""
    read = pyogrio.read_dataframe(path, layer="coverage")
    polygons = shapely.get_parts(read.geometry.to_numpy())
    with rasterio.open(raster) as src:
        classes, valid, pixel = src.read(1), src.read_masks(1) != 0, abs(src.transform.determinant)
    area = dict(read.geometry.area.groupby(read["class_id"]).sum())
    worst = max(
        abs(area.get(int(value), 0) / pixel - count)
        for value, count in zip(*np.unique(classes[valid], return_counts=True), strict=True)
    )
    return (
        f"valid {shapely.is_valid(polygons).all()}, coverage valid {shapely.coverage_is_valid(polygons)}, "
        f"area / valid pixels {shapely.area(polygons).sum() / pixel / valid.sum():.12f}, "
        f"a class is off by {worst:.3f} px at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raster", type=Path)
    parser.add_argument("--min-area-m2", type=float, default=10_000)
    parser.add_argument("--tolerance-m", type=float, default=20)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(describe())
    print(args.raster.name)
    tool = shutil.which("gdal_polygonize.py")
    rules = {"exact": (0.0, 0.0), "sieve and tolerance": (args.min_area_m2, args.tolerance_m)}
    runs = [("first run, compiling", (0.0, 0.0)), *(item for item in rules.items() for _ in range(args.runs))]
    done: list[tuple[str, str, float, Path, int | None]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # What an installed package has; the first run fills them. An empty PYTHONDONTWRITEBYTECODE is none.
        caches = {"NUMBA_CACHE_DIR": str(folder / "numba"), "PYTHONPYCACHEPREFIX": str(folder / "modules")}
        caches["PYTHONDONTWRITEBYTECODE"] = ""
        # All is run before anything is judged: a child's peak is at least what its parent held when it began.
        for number, (label, (min_area_m2, tolerance_m)) in enumerate(runs):
            out = folder / f"{number}.gpkg"
            command = [sys.executable, "-c", DRAW, str(args.raster), str(out), str(min_area_m2), str(tolerance_m)]
            seconds, peak, printed = timed(command, **caches)
            done.append((f"geoseg, {label}", seconds, peak, out, json.loads(printed)["planned_memory_bytes"]))
        for number in range(args.runs if tool else 0):
            out = folder / f"gdal{number}.gpkg"
            command = [str(tool), "-q", str(args.raster), "-b", "1", "-f", "GPKG", str(out), "coverage"]
            done.append(("gdal_polygonize.py", *timed(command)[:2], out, None))
        print("| | seconds | CPU s | peak MiB | planned MiB | polygons | vertices | file MB |")
        print("|---" * 8 + "|")
        for line in done:
            print(row(*line))
        print("" if tool else "gdal_polygonize.py is not on PATH")
        judgements = {label: path for label, _, _, path, planned in done if planned is not None}
        for label, path in judgements.items():
            print(f"{label}: {judged(path, args.raster)}")


def row(label: str, seconds: str, peak_mib: float, path: Path, planned: int | None) -> str:
    geometries = pyogrio.read_dataframe(path, columns=[], layer="coverage").geometry.to_numpy()
    vertices = int(shapely.get_num_coordinates(geometries).sum())
    plan = "–" if planned is None else f"{planned / 2**20:.0f}"
    return (
        f"| {label} | {seconds} | {peak_mib:.0f} | {plan} | {len(geometries)} | {vertices} | "
        f"{path.stat().st_size / 1e6:.1f} |"
    )


if __name__ == "__main__":
    main()
