"""Golden digests: sha256 of every output of a set of small jobs: a change that changes a byte is seen.

usage: golden.py                    run the jobs and print name and sha256 of every output (run.json and logs apart)
       golden.py --store            also write them, and what they were made on, to tests/golden.json
       golden.py --against COMMIT   run them with the code of COMMIT too, on this machine, and print what differs

Scenes and bundles are made here from seeds, with numpy and json alone, and the jobs go through the command line, so any
two commits that know its flags can be compared. exit: 0, or 1 where --against finds a difference.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "tests" / "golden.json"
PACKAGES = ("torch", "numpy", "numba", "scipy", "rasterio", "pyproj", "shapely", "pyogrio")
GSD_M, LEFT, TOP = 0.5, 300000.0, 3060000.0
UNET, PROBE = "compact-unet", "probe-identity"

# Each job: its name, and its command line in the folder of inputs. The probe is exact on every machine; the others are
# compared where the stored ones were made.
EVERYWHERE = ("probe", "coarse-probe")
JOBS: tuple[tuple[str, str], ...] = (
    ("probe", "predict houses.tif -m probe -o out/probe --probabilities --chunk-px 512"),
    ("coarse-probe", "predict houses.tif -m probe -o out/coarse-probe --aoi area.gpkg --mask mask.tif --chunk-px 1024"),
    ("resampled", "predict houses.tif -m coarse -o out/resampled --probabilities --chunk-px 512"),
    ("masked", "predict houses.tif -m unet -o out/masked --mask mask.tif --nodata 0 --aoi area.gpkg --chunk-px 512"),
    ("ensemble", "predict houses.tif -m unet -m second -o out/ensemble --tta rotate --probabilities --chunk-px 512"),
    ("borders", "buildings houses.tif -m unet -o out/borders --chunk-px 512 --min-area-m2 1"),
    ("tiles", "buildings wide.tif -m probe -o out/tiles --min-area-m2 4 --chunk-px 1024"),
    ("repeat", "run out/borders/run.json -o out/repeat"),
    ("vectorize", "vectorize out/probe/probabilities.tif -o out/vectorize.gpkg --band 2 --threshold 0.6 --split necks"),
    ("contour", "vectorize out/probe/probabilities.tif -o out/contour.gpkg --band 2 --method contour"),
    (
        "coverage",
        "vectorize out/ensemble/classes.tif -o out/coverage.gpkg --kind coverage --min-area-m2 20 --tolerance-m 1",
    ),
    ("regularize", "regularize out/contour.gpkg -o out/regularize.gpkg"),
)


# One process for all jobs: starting takes longer than most of them.
DRIVER = """
import json, sys, time
from geoseg.cli import main
for name, line in json.loads(sys.argv[1]):
    began = time.process_time()
    code = main([*line.split(), "-q"])
    if code:
        sys.exit(f"{name}: geoseg {line}: exit {code}")
    print(f"{name}: {time.process_time() - began:.1f} s of CPU", file=sys.stderr)
"""


def houses(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return (3, H, W) bytes: bright, turned, partly touching houses on noisy ground, with a black corner."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    surface = np.full(shape, -8.0, np.float32)
    for _ in range(shape[0] * shape[1] // 3600):
        row, col, turn = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(0, np.pi / 2)
        half_height, half_width = rng.uniform(6, 16, 2)
        r, c = slice(max(int(row) - 40, 0), int(row) + 40), slice(max(int(col) - 40, 0), int(col) + 40)
        y, x = rows[r, c] - row, cols[r, c] - col
        along, across = np.abs(x * np.cos(turn) + y * np.sin(turn)), np.abs(y * np.cos(turn) - x * np.sin(turn))
        surface[r, c] = np.maximum(surface[r, c], np.minimum(half_width - along, half_height - across))
    brightness = 30 + 195 / (1 + np.exp(-1.2 * surface)) + rng.normal(0, 4, (3, *shape))
    pixels = np.clip(brightness, 1, 255).astype(np.uint8)
    pixels[:, : shape[0] // 8, : shape[1] // 8] = 0
    return pixels


def write_inputs(folder: Path) -> None:
    """Write scenes, mask, area and bundles into ``folder``."""
    import geopandas as gpd
    import rasterio
    import shapely
    from affine import Affine

    transform = Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP)
    mask = np.ones((1, 480, 600), np.uint8)
    mask[:, 200:280, 130:220] = 0
    for name, data in (("houses", houses((480, 600), 1)), ("wide", houses((520, 2500), 2)), ("mask", mask)):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2],
            dtype="uint8", crs="EPSG:32645", transform=transform, photometric="RGB" if len(data) == 3 else "MINISBLACK",
        ) as dst:  # fmt: skip
            dst.write(data)
    area = shapely.Polygon([(LEFT + x, TOP - y) for x, y in ((30, 15), (280, 40), (255, 228), (60, 200))])
    gpd.GeoDataFrame(geometry=[area], crs="EPSG:32645").to_file(folder / "area.gpkg")
    write_bundle(folder / "probe", PROBE, gsd_m=GSD_M, channels=("background", "building"), seed=0)
    names = ("background", "interior", "border")
    write_bundle(folder / "unet", UNET, gsd_m=GSD_M, channels=names, seed=1)
    write_bundle(folder / "second", UNET, gsd_m=GSD_M, channels=names, seed=2)
    write_bundle(folder / "coarse", UNET, gsd_m=0.8, channels=names, seed=3)


def write_bundle(folder: Path, network: str, *, gsd_m: float, channels: tuple[str, ...], seed: int) -> None:
    """Write a bundle of schema 1: the identity probe, or an untrained compact U-Net with weights from ``seed``."""
    from safetensors.numpy import save

    folder.mkdir()
    widths = [8, 12, 16]
    content = save(unet_weights(widths, len(channels), seed) if network == UNET else {})
    (folder / "weights.safetensors").write_bytes(content)
    probe = network == PROBE
    bands = (("red", 665.0), ("green", 560.0), ("blue", 490.0))
    spec = {
        "schema_version": 1,
        "name": folder.name,
        "arch": {"name": network, "options": {} if probe else {"widths": widths}},
        "bands": [{"name": name, "wavelength_nm": wavelength} for name, wavelength in bands],
        "gsd_m": gsd_m,
        "normalisation": {"mean": [0.0 if probe else 110.0] * 3, "std": [255.0 if probe else 60.0] * 3},
        "window_px": 128,
        "margin_px": 16,
        "ramp_px": 32,
        "channels": [{"name": name, "class_id": 1 if i == 0 else 2} for i, name in enumerate(channels)],
        "classes": [
            {"id": 1, "name": "background", "color": [230, 230, 225]},
            {"id": 2, "name": "building", "color": [215, 48, 31]},
        ],
        "polygon_class": "building",
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        },
    }
    (folder / "model.json").write_text(json.dumps(spec), encoding="utf-8")


def unet_weights(widths: list[int], outputs: int, seed: int) -> dict[str, np.ndarray]:
    """Return a compact U-Net's state: seeded filters, and first filters that see brightness, so that houses show."""
    rng = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}

    def conv(name: str, ins: int, outs: int, size: int) -> None:
        state[f"{name}.weight"] = (rng.normal(0, (2 / (ins * size**2)) ** 0.5, (outs, ins, size, size))).astype("f4")

    def block(name: str, ins: int, outs: int) -> None:
        conv(f"{name}.conv1", ins, outs, 3)
        conv(f"{name}.conv2", outs, outs, 3)
        for norm in ("norm1", "norm2"):
            for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                state[f"{name}.{norm}.{key}"] = np.full(outs, value, "f4")
            state[f"{name}.{norm}.num_batches_tracked"] = np.array(0, "i8")
        if ins != outs:
            conv(f"{name}.skip", ins, outs, 1)

    for level, (ins, outs) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
        block(f"encoder.{level}", ins, outs)
    block("middle", widths[-1], widths[-1])
    up = widths[::-1]
    for level, (deep, shallow) in enumerate(pairwise(up)):
        block(f"decoder.{level}", deep + shallow, shallow)
    conv("head", widths[0], outputs, 1)
    state["head.bias"] = np.zeros(outputs, "f4")
    return state


def digests(tree: Path, folder: Path, jobs: tuple[tuple[str, str], ...] = JOBS) -> dict[str, str]:
    """Run ``jobs`` with the code of ``tree`` in ``folder``, which holds the inputs; sha256 by file below out/."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    (folder / "out").mkdir()
    command = [sys.executable, "-c", DRIVER, json.dumps(jobs)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"golden: {done.stderr.strip()}")
    print(done.stderr, end="", file=sys.stderr)
    files = sorted(p for p in (folder / "out").rglob("*") if p.is_file() and p.name != "run.json")
    return {p.relative_to(folder / "out").as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def identity() -> dict[str, str]:
    """Return what decides the last bits on this machine: kind of device, instruction set, versions of libraries."""
    import torch

    return {
        "device": "cpu",
        "machine": platform.machine(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        **{package: version(package) for package in PACKAGES},
    }


def of_commit(commit: str, folder: Path) -> dict[str, str]:
    """Return the digests of the code of ``commit``, checked out below ``folder``; its own pipelines and configs too."""
    tree = folder / "tree"
    subprocess.run(
        ["git", "-C", ROOT, "worktree", "add", "--detach", "-f", tree, commit], check=True, capture_output=True
    )
    try:
        for name in ("configs", "pipelines"):  # as an installation has them, inside the package
            (tree / "geoseg" / name).symlink_to(tree / name)
        inputs = folder / "theirs"
        inputs.mkdir()
        write_inputs(inputs)
        return digests(tree, inputs)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True, capture_output=True)


def main() -> None:
    """Run, print, and store or compare as asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--against", metavar="COMMIT")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = folder / "ours"
        inputs.mkdir()
        write_inputs(inputs)
        own = digests(ROOT, inputs)
        other = of_commit(asked.against, folder) if asked.against else {}
    for file, digest in own.items():
        print(f"{digest}  {file}")
    if asked.store:
        STORED.write_text(json.dumps({"identity": identity(), "sha256": own}, indent=1) + "\n", encoding="utf-8")
    if asked.against:
        changed = [file for file in sorted({*own, *other}) if own.get(file) != other.get(file)]
        print(f"against {asked.against}: {len(changed)} of {len({*own, *other})} files differ", *changed, sep="\n  ")
        sys.exit(bool(changed))


if __name__ == "__main__":
    main()
