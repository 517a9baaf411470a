"""Polygons per CPU second of this source, of another commit's and of buildingregulariser, in turns in one run.

usage: python benchmarks/polygon_speed.py POLYBENCH BEFORE [--sites saratov,bubenec] [--rasters FOLDER] [--rounds 3]
    POLYBENCH    the folder of polybench.py and instances.py with its truth/
    BEFORE       a source tree of the commit to compare with, as ``git worktree add BEFORE COMMIT`` makes it
    --rasters    where real_polygons.py keeps what networks say: its places are sites, too

saratov is plain houses; of other sites of polybench the touching buildings are told apart by a simulated border class,
which needs OpenCV (pip install opencv-python-headless), of real places as real_polygons.py tells them apart. The table
says whether both sources drew the same bytes. CPU seconds of one thread, the least of all rounds, compiled code warm;
on a machine that others use, trust the ratios alone. The peer draws components, and so fewer polygons where buildings
touch: its column is empty where it is not installed (pip install buildingregulariser==0.2.5 geopandas).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from instances_table import GSD_M, LEVEL, border_simulation
from machine import describe
from polygons_table import load
from rasterio.crs import CRS
from real_polygons import MIN_AREA_M2, MIN_HOLE_M2, Raster, instances, peers

from geoseg.values.grid import Grid
from geoseg.vector import label_instances

PLAIN = ("saratov",)
HERE = Path(__file__).resolve().parents[1]
DRAW = """
import hashlib, json, sys, time
import numpy as np, shapely
from affine import Affine
from rasterio.crs import CRS
from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints
case = np.load(sys.argv[1])
probability, labels = case["probability"], case.get("labels")
rules = FootprintRules(min_area_m2=case["least"][0], min_hole_m2=case["least"][1], detail=str(case["detail"]))
for side in (600, None):  # the first one loads or compiles
    p = np.ascontiguousarray(probability[:side, :side])
    own = None if labels is None else np.ascontiguousarray(labels[:side, :side])
    grid = Grid(CRS.from_wkt(str(case["crs"])), Affine(*case["transform"]), p.shape)
    begin = time.process_time()
    made = extract_footprints(p, grid, rules, labels=own)
    seconds = time.process_time() - begin
written = [made.fit.status, made.fit.direction_deg.astype("f4"), made.fit.deviation_m.astype("f4")]
written += [made.fit.iou_contour.astype("f4"), made.mean_probability]
digest = hashlib.sha256(b"".join([*shapely.to_wkb(made.geometries), *(values.tobytes() for values in written)]))
print(json.dumps([len(made), seconds, digest.hexdigest()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polybench", type=Path)
    parser.add_argument("before", type=Path)
    parser.add_argument("--sites", default="saratov,bubenec")
    parser.add_argument("--rasters", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    peer = peers().get("buildingregulariser")
    print(describe())
    print("| site | polygons | before, polygons/CPU s | now | ratio | same bytes | buildingregulariser | now to it |")
    print("|---" * 8 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for site in args.sites.split(","):
            raster = next(args.rasters.glob(f"{site}.*.npz"), None) if args.rasters else None
            values = simulated(args.polybench, site) if raster is None else said(raster)
            case = Path(folder) / f"{site}.npz"
            np.savez(case, **values)
            rounds = [
                (drawn(args.before, case), drawn(HERE, case), peer and regularised(peer, values))
                for _ in range(args.rounds)
            ]
            (count, _, before), (_, _, now), _ = rounds[0]
            old, new = (min(one[i][1] for one in rounds) for i in (0, 1))
            same = "yes" if before == now else "NO"
            rate = max((one[2] for one in rounds), default=None) if peer else None
            cells = ("", "") if rate is None else (f"{rate:.0f}", f"{count / new / rate:.1f}")
            print(
                f"| {site} | {count} | {count / old:.0f} | {count / new:.0f} | {old / new:.2f} | {same} "
                f"| {cells[0]} | {cells[1]} |",
                flush=True,
            )


def simulated(polybench: Path, site: str) -> Raster:
    """Return a site of polybench: footprints as a network might say them, and the label of each building."""
    bench = load(polybench / "polybench.py")
    truth, probability, transform = bench.get_case(site, GSD_M, LEVEL)
    values = {"probability": probability, "transform": np.array(transform)[:6], "least": (10.0, 6.0)}
    values |= {"crs": CRS.from_epsg(32633).to_wkt(), "detail": "fine"}
    if site in PLAIN:
        return values
    truth = bench.load_truth(site, dissolve=False)
    border = border_simulation(polybench / "instances.py")(truth, probability.shape, transform, 1)
    return values | {"labels": label_instances(probability, border), "detail": "normal"}


def said(path: Path) -> Raster:
    """Return what a network says of a real place, as real_polygons.py keeps it, and the label of each building."""
    kept = np.load(path)
    grid = Grid(CRS.from_wkt(str(kept["crs"])), Affine(*kept["tr"]), kept["p"].shape)
    labels = instances({"p": kept["p"], "interior": kept["i"] if kept["i"].size else None, "grid": grid})
    values = {"probability": kept["p"], "transform": kept["tr"], "crs": str(kept["crs"]), "detail": "normal"}
    values |= {"least": (MIN_AREA_M2, MIN_HOLE_M2)}
    return values if labels is None else values | {"labels": labels}


def regularised(peer: Callable[[Raster], Any], values: Raster) -> float:
    """Return the peer's polygons per CPU second."""
    grid = Grid(CRS.from_wkt(values["crs"]), Affine(*values["transform"]), values["probability"].shape)
    raster, rate = {"p": values["probability"], "grid": grid}, 0.0
    for _ in range(2):  # the first one imports
        begin = time.process_time()
        rate = len(peer(raster)) / (time.process_time() - begin)
    return rate


def drawn(root: Path, case: Path) -> tuple[int, float, str]:
    """Return the number of polygons that a source tree draws, its CPU seconds, and the digest of what it drew."""
    environment = {**os.environ, "PYTHONPATH": str(root.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRAW, str(case)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=case.parent).stdout
    count, seconds, digest = json.loads(told.splitlines()[-1])
    return count, seconds, digest


if __name__ == "__main__":
    main()
