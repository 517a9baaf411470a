"""Where lanes stand still: on a scene of noise and a network of a fixed time, in a process that has run it before.

usage: python benchmarks/lanes.py [--source FOLDER] [--side 2048] [--seconds 0.5] [--lanes 2] [--model land-cover]
    --source     the source tree to measure, e.g. of an earlier commit (``git worktree add FOLDER COMMIT``)
    --seconds    what each network call takes at least, by waiting: so the share hardly depends on other programs

It prints the share of the lanes' time that is spent in the network from its first call to its last, the CPU seconds
before the first (opening, planning, first pixels) and after the last (last rows, COG, check, run.json), which other
programs hardly change either, peak memory, and digests of the outputs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from machine import describe
from rasterio.transform import from_origin

HERE = Path(__file__).resolve().parents[1]
RUN = """
import json, sys, threading, time
from geoseg import RunOptions, predict
from geoseg.jobs import networks
scene, model, out, seconds, lanes = sys.argv[1:]
spans, lock, run = [], threading.Lock(), networks._Members.__call__
def waiting(self, member, windows):
    begin, used = time.perf_counter(), time.process_time()
    answer = run(self, member, windows)
    time.sleep(max(0, begin + float(seconds) - time.perf_counter()))
    with lock:
        spans.append((begin, time.perf_counter(), used, time.process_time()))
    return answer
networks._Members.__call__ = waiting
for _ in range(2):
    spans.clear()
    started = time.process_time()
    predict(scene, model, out, options=RunOptions(lanes=int(lanes), tta="none", overwrite=True))
    ended = time.process_time()
begins, ends = ([span[i] for span in spans] for i in (0, 1))
span = max(ends) - min(begins)
busy = sum(b - a for a, b in zip(begins, ends)) / (int(lanes) * span)
print(json.dumps([len(spans), span, busy, min(s[2] for s in spans) - started, ended - max(s[3] for s in spans)]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=HERE)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--model", default="land-cover")
    args = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        scene, out = Path(folder) / "scene.tif", Path(folder) / "out"
        pixels = np.random.default_rng(0).integers(1, 255, (4, args.side, args.side), np.uint8)
        grid = {"crs": "EPSG:32617", "transform": from_origin(500_000, 4_000_000, 1, 1)}
        with rasterio.open(scene, "w", "GTiff", args.side, args.side, 4, dtype="uint8", tiled=True, **grid) as file:
            file.write(pixels)
        command = [sys.executable, "-c", RUN, scene, args.model, out, args.seconds, args.lanes]
        environment = {**os.environ, "PYTHONPATH": str(args.source.resolve()), "OMP_NUM_THREADS": "1"}
        told = subprocess.run([*map(str, command)], cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
        calls, span, share, before, after = json.loads(told.stdout.splitlines()[-1])
        run = json.loads((out / "run.json").read_text())
        digests = ", ".join(hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in sorted(out.glob("*.tif")))
    peak, planned = (run[part]["peak_memory_bytes"] / 2**20 for part in ("run", "plan"))
    print(f"{calls} calls in {span:.1f} s: lanes busy {share:.1%}; CPU s before them {before:.2f}, after {after:.2f}")
    print(f"peak {peak:.0f} of {planned:.0f} MiB; {digests}")


if __name__ == "__main__":
    main()
