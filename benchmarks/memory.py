"""Peak memory of runs over scenes of several sizes, beside what their plans say; a stub is the network.

    .venv/bin/python benchmarks/memory.py --sizes 4000 12000 36000

Each run is a process of its own. With --check-cog the class map is validated strictly, and time and size are printed;
with --share most blocks of the scene are not there:

    .venv/bin/python benchmarks/memory.py --sizes 100000 --share 0.01 --memory 4GB --check-cog
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
from scenes import write_scene

HERE = Path(__file__).parent
RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
import geoseg.jobs.predict as run
import stubs
from functools import partial
from geoseg import RunOptions, predict
from geoseg.options.parse import parse_bytes
run.load_networks = partial(stubs.network, 0.0)
scene, out, chunk, memory = sys.argv[2:]
options = RunOptions(chunk_px=int(chunk), lanes=2, memory_bytes=parse_bytes(memory))
done = predict(scene, stubs.BUNDLE, out, options=options).run
print(json.dumps({"peak": done["run"]["peak_memory_bytes"], "planned": done["plan"]["peak_memory_bytes"],
                  "seconds": done["run"]["seconds"], "valid": done["valid_px"], "windows": done["windows"]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 12000, 36000])
    parser.add_argument("--chunks", type=int, nargs="+", default=[4096])
    parser.add_argument("--share", type=float, default=1.0, help="of the blocks that hold data")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--check-cog", action="store_true")
    arguments = parser.parse_args()
    print(machine.describe())
    print("load average before:", *(f"{v:.1f}" for v in os.getloadavg()))
    peaks = []
    for size in arguments.sizes:
        for chunk_px in arguments.chunks:
            with tempfile.TemporaryDirectory() as scratch:
                scene = write_scene(Path(scratch) / "scene.tif", size, share=arguments.share)
                out = Path(scratch) / "out"
                began = time.perf_counter()
                command = [sys.executable, "-c", RUN, HERE, scene, out, str(chunk_px), arguments.memory]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                wall = time.perf_counter() - began
                found = json.loads(done.stdout)
                peaks.append(found["peak"])
                print(
                    f"{size} x {size} px, chunks of {chunk_px}: peak {found['peak'] / 1e6:.0f} MB, planned "
                    f"{found['planned'] / 1e6:.0f} MB ({found['planned'] / found['peak']:.2f} times), {wall:.0f} s, "
                    f"{found['valid'] / 1e6:.0f} Mpx valid, windows {found['windows']}",
                    flush=True,
                )
                if arguments.check_cog:
                    check(out / "classes.tif")
    print(f"largest peak over smallest: {max(peaks) / min(peaks):.3f}")


def check(path: Path) -> None:
    """Validate a COG strictly; raises where it is none."""
    from rio_cogeo import cog_validate

    sound, errors, warnings = cog_validate(path, strict=True)
    assert sound, (errors, warnings)
    print(f"  {path.name}: {path.stat().st_size / 1e6:.1f} MB, strictly valid: {sound}")


if __name__ == "__main__":
    main()
