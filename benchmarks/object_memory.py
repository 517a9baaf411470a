"""Peak memory of runs that tell objects apart, beside what their plans say, on scenes of several sizes.

    .venv/bin/python benchmarks/object_memory.py --sizes 3000 12000 --task objects --task panoptic [--pitch 14]

The network is never wrong about squares of 12 px, one on 14 x 14 pixels: about as many as a plan allows for. A larger
pitch makes fewer. As objects it is a detector, as panoptic it answers classes, centres and offsets. Each run is a
process of its own, whose peak is taken anew (Linux) where a stage begins.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.detecting import Detecting
from geoseg.models.grouping import Grouping
from geoseg.models.outputs import VECTOR, Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.selftest.oracle import CLASSES, THINGS, write_detector
from geoseg.values.bands import Band

SIDE, STRIP = 12, 1400
RANGE_PX, ZERO, PER_LOGIT = 32, 128, 16  # of offsets; bytes of a logit
TASKS = ("objects", "panoptic")
RUN = """
import json, resource, sys, time
from pathlib import Path
from geoseg import RunOptions, predict
from geoseg.objects.segments import Segments

scene, model, out, chunk = sys.argv[1:]
peaks, cpu, now, before = {}, {}, ["start"], [0]


def note():
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    peaks[now[0]] = max(peaks.get(now[0], 0), 1024 * int(peak.split()[1]))
    spent = time.process_time()
    cpu[now[0]] = cpu.get(now[0], 0) + spent - before[0]
    before[0] = spent


def listen(progress):
    if progress.stage != now[0]:
        note()
        now[0] = progress.stage
        Path("/proc/self/clear_refs").write_text("5")


done = predict(scene, model, out, options=RunOptions(chunk_px=int(chunk), lanes=2), listen=listen).run
note()
plan = done["plan"]["memory_bytes"]
print(json.dumps({"peaks": peaks, "cpu": cpu, "planned": done["plan"]["peak_memory_bytes"],
                  "stages": {"predict": plan["chunks_total"], **plan}, "count": done["instances"]["count"],
                  "table": done["instances"]["count"] * Segments.row_bytes(2)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 12000])
    parser.add_argument("--chunk-px", type=int, default=1024)
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--pitch", type=int, default=14, help="pixels from a square to the next, a divisor of 1400")
    arguments = parser.parse_args()
    pitch = arguments.pitch
    print(machine.describe())
    print("| task | side | objects | their table | stage | peak | planned | CPU s |\n" + "|---" * 8 + "|")
    for task, size in ((task, size) for task in arguments.task or TASKS for size in arguments.sizes):
        with tempfile.TemporaryDirectory() as scratch:
            scene, model = Path(scratch) / "scene.tif", Path(scratch) / "m"
            if task == "objects":
                write_scene(scene, size, numbers(size, pitch))
                rules = Detecting(things=THINGS, per_window=2000, min_px=1)
                write_detector(model, rules, window_px=256, margin_px=16, ramp_px=0)
            else:
                write_scene(scene, size, answers(size, pitch))
                write_panoptic(model)
            command = [sys.executable, "-c", RUN, scene, model, Path(scratch) / "out", str(arguments.chunk_px)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            head = f"| {task} | {size} px | {found['count']} | {found['table'] / 1e6:.0f} MB |"
            for stage, peak in found["peaks"].items():
                planned = f"{found['stages'][stage] / 1e6:.0f} MB" if stage in found["stages"] else "–"
                print(f"{head} {stage} | {peak / 1e6:.0f} MB | {planned} | {found['cpu'][stage]:.0f} |", flush=True)
            print(f"{head} all | {max(found['peaks'].values()) / 1e6:.0f} MB | {found['planned'] / 1e6:.0f} MB | |")


def numbers(size: int, pitch: int) -> np.ndarray:
    """Return a strip of numbered squares (1, STRIP, size); numbers begin anew after STRIP rows or columns."""
    rows, cols = np.arange(STRIP)[:, None], np.arange(size)
    number = 1 + (rows // pitch) * (STRIP // pitch) + cols // pitch % (STRIP // pitch)
    return np.where((rows % pitch < SIDE) & (cols % pitch < SIDE), number, 0).astype(np.uint16)[None]


def answers(size: int, pitch: int) -> np.ndarray:
    """Return what a network says of a strip of squares (5, STRIP, size): two classes, centre, and offsets, as bytes."""
    rows, cols = np.mgrid[:pitch, :pitch]
    inside, middle = (rows < SIDE) & (cols < SIDE), SIDE // 2
    far = (rows - middle) ** 2 + (cols - middle) ** 2
    thing, centre = np.where(inside, 6, -6), np.where(inside, 6 - far / 8, -7)
    share = np.clip((np.stack([middle - rows, middle - cols]) / RANGE_PX + 1) / 2, 0.01, 0.99)
    logits = np.stack([-thing, thing, centre, *np.log(share / (1 - share))])
    block = np.clip(np.rint(logits * PER_LOGIT + ZERO), 1, 255).astype(np.uint8)
    return np.tile(block, (1, STRIP // pitch, -(-size // pitch)))[..., :size]


def write_panoptic(folder: Path) -> None:
    """Write the bundle whose bands are its answers."""
    outputs = (
        Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in CLASSES[:2])),
        Output(name="centre", activation="sigmoid", bits=16, channels=(Channel(name="centre"),)),
        Output(name="offset", activation="signed", channels=tuple(Channel(name=n) for n in VECTOR), range_px=RANGE_PX),
    )
    spec = ModelSpec(
        name="answers",
        task="panoptic",
        arch=Architecture(name="probe-bands"),
        bands=tuple(Band(f"b{i}") for i in range(1, 6)),
        gsd_m=None,
        normalisation=Normalisation(mean=(float(ZERO),) * 5, std=(float(PER_LOGIT),) * 5),
        window_px=256,
        margin_px=0,
        ramp_px=64,
        outputs=outputs,
        classes=CLASSES[:2],
        grouping=Grouping(things=(CLASSES[1].name,), peak_px=3, reach_px=4, min_px=12),
    )
    save_model(folder, build_network(spec.arch, in_channels=5, out_channels=5), spec=spec)


def write_scene(path: Path, size: int, strip: np.ndarray) -> None:
    """Write a square scene of one strip (bands, STRIP, size) again and again."""
    profile = {"driver": "GTiff", "count": len(strip), "dtype": strip.dtype, "height": size, "width": size}
    place = {"crs": CRS.from_epsg(32645), "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3e6)}
    with rasterio.open(path, "w", **profile, **place, tiled=True, compress="deflate") as dst:
        for row in range(0, size, STRIP):
            own = strip[:, : min(STRIP, size - row)]
            dst.write(own, window=Window(0, row, size, own.shape[1]))


if __name__ == "__main__":
    main()
