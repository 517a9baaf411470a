"""Polygons per CPU second of this source and of another commit's, in turns, and whether their bytes are the same.

usage: python benchmarks/polygon_speed.py POLYBENCH BEFORE [--sites saratov,bubenec] [--rounds 3]
    POLYBENCH    the folder of polybench.py and instances.py with its truth/
    BEFORE       a source tree of the commit to compare with, as ``git worktree add BEFORE COMMIT`` makes it

saratov is plain houses; of other sites the touching buildings are told apart by a simulated border class, which needs
OpenCV (pip install opencv-python-headless). CPU seconds of one thread, the least of all rounds, compiled code warm;
on a machine that others use, trust the ratio alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from instances_table import GSD_M, LEVEL, border_simulation
from machine import describe
from polygons_table import load

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
grid = Grid(CRS.from_epsg(32633), Affine(*case["transform"]), probability.shape)
rules = FootprintRules(min_area_m2=10, min_hole_m2=6, detail="fine" if labels is None else "normal")
seconds = []
for _ in range(3):  # the first one loads or compiles
    begin = time.process_time()
    made = extract_footprints(probability, grid, rules, labels=labels)
    seconds.append(time.process_time() - begin)
written = [made.fit.status, made.fit.direction_deg.astype("f4"), made.fit.deviation_m.astype("f4")]
written += [made.fit.iou_contour.astype("f4"), made.mean_probability]
digest = hashlib.sha256(b"".join([*shapely.to_wkb(made.geometries), *(values.tobytes() for values in written)]))
print(json.dumps([len(made), min(seconds[1:]), digest.hexdigest()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polybench", type=Path)
    parser.add_argument("before", type=Path)
    parser.add_argument("--sites", default="saratov,bubenec")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    bench = load(args.polybench / "polybench.py")
    print(describe())
    print(f"| site | polygons | before, polygons/CPU s | now | ratio | same bytes |\n{'|---' * 6}|")
    with tempfile.TemporaryDirectory() as folder:
        for site in args.sites.split(","):
            truth, probability, transform = bench.get_case(site, GSD_M, LEVEL)
            values = {"probability": probability, "transform": np.array(transform)[:6]}
            if site not in PLAIN:
                truth = bench.load_truth(site, dissolve=False)
                simulate = border_simulation(args.polybench / "instances.py")
                values["labels"] = label_instances(probability, simulate(truth, probability.shape, transform, 1))
            case = Path(folder) / f"{site}.npz"
            np.savez(case, **values)
            rounds = [(drawn(args.before, case), drawn(HERE, case)) for _ in range(args.rounds)]
            (count, _, before), (_, _, now) = rounds[0]
            old, new = (min(pair[i][1] for pair in rounds) for i in (0, 1))
            same = "yes" if before == now else "NO"
            print(
                f"| {site} | {count} | {count / old:.0f} | {count / new:.0f} | {old / new:.2f} | {same} |", flush=True
            )


def drawn(root: Path, case: Path) -> tuple[int, float, str]:
    """Return the number of polygons that a source tree draws, its CPU seconds, and the digest of what it drew."""
    environment = {**os.environ, "PYTHONPATH": str(root.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRAW, str(case)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=case.parent).stdout
    count, seconds, digest = json.loads(told.splitlines()[-1])
    return count, seconds, digest


if __name__ == "__main__":
    main()
