"""What windows at chunk borders cost where chunks share nothing, and where one process hands them on.

    .venv/bin/python benchmarks/seams.py geoseg/demo/land_cover.tif -m land-cover --size 3000 --chunks 1024 4096

Windows, network calls and CPU seconds of whole runs in this process, each first as chunks that share nothing, then
handed on; and whether the maps are the same to the byte. The scene is laid out to --size pixels square, mirrored.
--free: the network is a stub that costs nothing, so what is left is all that goes on around it.
"""

import argparse
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import machine
import stubs
from scenes import laid_out

from geoseg import RunOptions, predict
from geoseg.jobs import predict as run
from geoseg.jobs import run as runs
from geoseg.jobs.networks import load_networks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("-m", "--model", default="land-cover")
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--free", action="store_true")
    asked = parser.parse_args()
    print(machine.describe())
    print("| chunk px | chunks | windows | run | network calls | CPU s | same bytes |\n|---|---|---|---|---|---|---|")
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        small = laid_out(asked.scene, 600, Path(folder) / "small.tif")
        measured(small, Path(folder) / "small", asked, chunk_px=512, handed=True)  # libraries are loaded once
        scene = laid_out(asked.scene, asked.size, Path(folder) / "scene.tif")
        for chunk_px in asked.chunks:
            for handed in (False, True):
                out = Path(folder) / f"{chunk_px}-{handed}"
                found, calls, seconds = measured(scene, out, asked, chunk_px=chunk_px, handed=handed)
                rasters = b"".join((out / f"{name}.tif").read_bytes() for name in ("classes", "confidence"))
                digests.add(sha256(rasters).hexdigest())
                told = "handed on" if handed else "apart"
                cells = (
                    chunk_px, f"{found['plan']['chunks']}, {told}", found["plan"]["windows"], found["windows"]["run"],
                    calls, f"{seconds:.1f}", "yes" if len(digests) == 1 else "no",
                )  # fmt: skip
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


def measured(scene: Path, out: Path, asked: argparse.Namespace, *, chunk_px: int, handed: bool):
    """Run a scene; returns what run.json says, how often a network was called, and the CPU seconds of all threads."""
    calls, make = [], partial(stubs.network, 0.0) if asked.free else load_networks

    def counted(job):
        forward = make(job)

        def call(member, windows):
            calls.append(member)
            return forward(member, windows)

        return call

    shared = runs.open_seams if handed else lambda *_: nullcontext()
    options = RunOptions(chunk_px=chunk_px, lanes=asked.lanes, memory_bytes=machine.MEMORY_BYTES, tta="none")
    with patch.object(run, "load_networks", counted), patch.object(runs, "open_seams", shared):
        began = time.process_time()
        found = predict(scene, stubs.BUNDLE if asked.free else asked.model, out, options=options).run
        return found, len(calls), time.process_time() - began


if __name__ == "__main__":
    main()
