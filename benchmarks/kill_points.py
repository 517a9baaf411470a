"""Kill a run at random moments, start it again, and compare every byte with an undisturbed run.

usage: python benchmarks/kill_points.py [--points 20] [--scene geoseg/demo/scene.tif] [--seed 0] [-- FLAGS]
    FLAGS    of geoseg buildings, e.g. -- --engine local --workers 2

Each point: ``geoseg buildings`` as a process group of its own, SIGKILL to all of it at a random share of the time that
the undisturbed run took; then the same command, to its end.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from machine import describe

DEMO = Path(__file__).parent.parent / "geoseg/demo/scene.tif"


def start(scene: Path, out: Path, flags: list[str]) -> subprocess.Popen[bytes]:
    command = ["buildings", scene, "-o", out, "--chunk-px", "512", "-q", *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "geoseg", *map(str, command)], start_new_session=True, stdout=subprocess.DEVNULL
    )


def finish(scene: Path, out: Path, flags: list[str]) -> None:
    code = start(scene, out, flags).wait()
    if code:
        raise SystemExit(f"{out}: exit code {code}")


def outputs(out: Path) -> dict[str, bytes]:
    """Return the bytes of all outputs but run.json, which tells of the run itself."""
    return {p.name: p.read_bytes() for p in out.iterdir() if p.is_file() and p.name != "run.json"}


def state(out: Path) -> str:
    """Return how far a killed run has come."""
    if (out / "run.json").exists():
        return "finished"
    if (out / ".job" / "outputs").exists():
        return "in the outputs"
    return f"{len(list((out / '.job' / 'parts').glob('*.tif')))} parts done"


def killed_and_resumed(scene: Path, out: Path, flags: list[str], *, after_s: float) -> str:
    """Kill a run, check that nothing is shown as finished that is not, end it; returns how far it had come."""
    run = start(scene, out, flags)
    try:
        run.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    reached = state(out)
    if reached != "finished":
        finish(scene, out, flags)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--scene", type=Path, default=DEMO)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*")
    args = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        finish(args.scene, Path(folder) / "warm", args.flags)  # compiles what is not compiled yet
        began = time.perf_counter()
        finish(args.scene, Path(folder) / "undisturbed", args.flags)
        seconds = time.perf_counter() - began
        expected = outputs(Path(folder) / "undisturbed")
        print(f"undisturbed: {seconds:.1f} s, {len(expected)} outputs, {sum(map(len, expected.values()))} bytes")
        moments, tally = random.Random(args.seed), Counter[bool]()
        for point in range(args.points):
            after_s, out = moments.uniform(0.05, 1) * seconds, Path(folder) / f"point{point}"
            reached = killed_and_resumed(args.scene, out, args.flags, after_s=after_s)
            identical = outputs(out) == expected
            tally[identical] += 1
            verdict = "identical" if identical else "DIFFERENT"
            print(f"{point + 1:3} killed after {after_s:5.1f} s, {reached}: {verdict}", flush=True)
    print(f"{args.points} kill points, {tally[True]} identical results")
    sys.exit(tally[True] != args.points)


if __name__ == "__main__":
    main()
