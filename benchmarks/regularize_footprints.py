"""Footprints from elsewhere before and after `geoseg regularize`, beside buildingregulariser, as a table and a picture.

usage: python benchmarks/regularize_footprints.py FOOTPRINTS [--png OUT_PNG] [--metres 160]
    FOOTPRINTS    a vector file, e.g. raw pixel staircases
    --metres      side of the square around the middle that is drawn

Peak memory is that of processes of their own, over the file and over ten and twenty of it side by side.
buildingregulariser is measured where it is installed (pip install buildingregulariser), on one core, with
its defaults and with tolerances of two and five pixels.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from machine import describe
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geoseg import regularize
from geoseg.trust import overlap_area, right_angle_shares

try:
    from buildingregulariser import regularize_geodataframe
except ImportError:
    regularize_geodataframe = None


COPIES = (1, 10, 20)
RUN = "import sys; from geoseg import regularize; regularize(*sys.argv[1:])"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footprints", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--metres", type=float, default=160)
    args = parser.parse_args()
    print(describe())
    given = gpd.read_file(args.footprints)
    metric = given.estimate_utm_crs()
    own, seconds, pixel_m = ours(args.footprints, metric)
    sets = {"as given": (given.to_crs(metric), None), "geoseg": (own, seconds)}
    if regularize_geodataframe is not None:
        sets["buildingregulariser"] = theirs(given.to_crs(metric))
        sets["buildingregulariser, by pixel"] = theirs(
            given.to_crs(metric), simplify_tolerance=2 * pixel_m, parallel_threshold=5 * pixel_m
        )
    before = shapely.make_valid(np.asarray(sets["as given"][0].geometry.values))
    table = pd.DataFrame({name: measures(frame, before, seconds) for name, (frame, seconds) in sets.items()})
    print(table.T.to_string())
    print_memory(given)
    if args.png:
        draw({name: frame for name, (frame, _) in sets.items()}, args.png, args.metres)


def ours(path: Path, metric: object) -> tuple[gpd.GeoDataFrame, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        regularize(path, Path(folder) / "warm.gpkg")  # compiles
        begin = time.process_time()
        made = regularize(path, Path(folder) / "out.gpkg")
        seconds = time.process_time() - begin
        print({key: value for key, value in made.items() if key != "file"})
        return gpd.read_file(Path(folder) / "out.gpkg").to_crs(metric), seconds, made["pixel_m"]


def print_memory(given: gpd.GeoDataFrame) -> None:
    """Print the peak memory over so many copies, and what a footprint takes of it."""
    west, south, east, north = given.total_bounds
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for copies in COPIES:
            steps = [(1.05 * (east - west) * (k % 5), 1.05 * (north - south) * (k // 5)) for k in range(copies)]
            moved = [given.set_geometry(given.geometry.translate(*step)) for step in steps]
            file = Path(folder) / f"{copies}.gpkg"
            gpd.GeoDataFrame(pd.concat(moved, ignore_index=True), crs=given.crs).to_file(file)
            process = subprocess.Popen([sys.executable, "-c", RUN, str(file), str(file.with_name(f"out{copies}.gpkg"))])
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"regularize failed with {process.returncode}")
            peaks.append(usage.ru_maxrss * 1024)
            print(f"{copies * len(given)} footprints: peak {peaks[-1] / 2**20:.0f} MiB")
    print(f"{(peaks[-1] - peaks[0]) / ((COPIES[-1] - 1) * len(given)):.0f} bytes for each more, reading ahead included")


def theirs(frame: gpd.GeoDataFrame, **tuned: float) -> tuple[gpd.GeoDataFrame, float]:
    regularize_geodataframe(frame.head(50), num_cores=1, **tuned)
    begin = time.process_time()
    made = regularize_geodataframe(frame, num_cores=1, **tuned)
    return made, time.process_time() - begin


def measures(frame: gpd.GeoDataFrame, before: np.ndarray, seconds: float | None) -> dict[str, object]:
    """Return figures of a set; its IoU is that of each polygon given with whatever stands there now."""
    geometries = np.asarray(frame.geometry.values)
    sound = shapely.make_valid(geometries)
    parts = shapely.get_parts(shapely.get_parts(sound))
    parts = parts[shapely.get_dimensions(parts) == 2]
    i, j = shapely.STRtree(sound).query(before, predicate="intersects")
    shared = shapely.area(shapely.intersection(before[i], sound[j]))
    iou = np.zeros(len(before))
    np.maximum.at(iou, i, shared / (shapely.area(before)[i] + shapely.area(sound)[j] - shared))
    vertices = shapely.get_num_coordinates(parts) - 1 - shapely.get_num_interior_rings(parts)
    return {
        "features": len(frame),
        "vertices": int(vertices.sum()),
        "right angles": round(float(right_angle_shares(parts).mean()), 4),
        "valid %": round(100 * float(shapely.is_valid(geometries).mean()), 3),
        "overlap m2": round(overlap_area(parts), 2),
        "IoU": round(float(iou.mean()), 4),
        "IoU 5 %": round(float(np.quantile(iou, 0.05)), 4),
        "per s": None if seconds is None else round(len(frame) / seconds),
    }


def draw(sets: dict[str, gpd.GeoDataFrame], png: Path, metres: float) -> None:
    given = sets["as given"]
    middle = given.geometry.representative_point()
    x, y = middle.x.median(), middle.y.median()
    window = shapely.box(x - metres / 2, y - metres / 2, x + metres / 2, y + metres / 2)
    figure = Figure(figsize=(7 * len(sets), 7.3), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (name, frame) in zip(figure.subplots(1, len(sets)), sets.items(), strict=True):
        near = frame[frame.intersects(window)]
        given[given.intersects(window)].plot(ax=axis, color="#dfe6ec")
        near.boundary.plot(ax=axis, color="#c8402a", linewidth=1.1)
        xy = shapely.get_coordinates(near.geometry.values)
        axis.plot(xy[:, 0], xy[:, 1], ".", color="#24343f", markersize=3)
        axis.set(xlim=(x - metres / 2, x + metres / 2), ylim=(y - metres / 2, y + metres / 2), title=name)
        axis.set_aspect("equal")
        axis.set_axis_off()
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=80)


if __name__ == "__main__":
    main()
