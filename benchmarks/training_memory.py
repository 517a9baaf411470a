"""Peak memory of `geoseg train` over 2, 20 and 200 scenes: VRTs over one file of 4096 x 4096 px, with 3,000 buildings.

usage: python benchmarks/training_memory.py [N ...] [--side 4096] [--steps 10]
Each training is a process of its own, from its quick audit to its calibration; one scene is watched, the others teach.
The last line says by how much the largest peak is above the smallest.
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
import rasterio
import shapely
import yaml
from affine import Affine
from machine import describe

PIXEL_M, ROOF_M, MPX_ROOFS = 0.5, 10.0, 180  # of a million pixels


def write(folder: Path, side: int) -> None:
    """Write the scene, and the squares that are its buildings."""
    rng = np.random.default_rng(0)
    transform = Affine(PIXEL_M, 0, 3e5, 0, -PIXEL_M, 3.06e6)
    x, y = rng.uniform(0, side * PIXEL_M - 12, (2, max(60, round(MPX_ROOFS * side**2 / 1e6))))
    roofs = shapely.box(3e5 + x, 3.06e6 - y - ROOF_M, 3e5 + x + ROOF_M, 3.06e6 - y)
    gpd.GeoDataFrame(geometry=roofs, crs=32645).to_file(folder / "roofs.gpkg")
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8", crs="EPSG:32645",
        transform=transform, photometric="RGB", tiled=True, compress="deflate", zlevel=1,
    ) as dst:  # fmt: skip
        dst.write(np.kron(rng.integers(0, 255, (3, side // 8, side // 8), np.uint8), np.ones((8, 8), np.uint8)))


def config(folder: Path, scenes: int, side: int, steps: int) -> Path:
    """Write so many scenes, each of the same pixels, and a training of them."""
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{b}"><ColorInterp>{c}</ColorInterp><SimpleSource><SourceFilename '
        f'relativeToVRT="1">scene.tif</SourceFilename><SourceBand>{b}</SourceBand></SimpleSource></VRTRasterBand>'
        for b, c in enumerate(("Red", "Green", "Blue"), 1)
    )
    place = f"<SRS>EPSG:32645</SRS><GeoTransform>300000, {PIXEL_M}, 0, 3060000, 0, -{PIXEL_M}</GeoTransform>"
    for i in range(scenes):
        (folder / f"{i}.vrt").write_text(
            f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">{place}{bands}</VRTDataset>'
        )
    data = [{"scene": f"{i}.vrt", "labels": "roofs.gpkg", "use": "train" if i else "validation"} for i in range(scenes)]
    content = {
        "job": "train", "name": "t", "data_folder": str(folder), "out": str(folder / f"model-{scenes}"),
        "bands": "red,green,blue", "target": {"kind": "buildings"}, "data": data,
        "arch": {"name": "compact-unet", "options": {"widths": [8, 16, 32]}},
        "window_px": 256, "margin_px": 16, "ramp_px": 32,
        "schedule": {"epochs": 1, "steps_per_epoch": steps, "batch": 4, "crop_px": 256, "precision": "fp32"},
    }  # fmt: skip
    file = folder / f"{scenes}.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def peak_mib(file: Path) -> float:
    """Train, and return the peak memory of the process."""
    command = [sys.executable, "-m", "geoseg", "train", str(file), "-q"]
    with (file.with_suffix(".log")).open("w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(file.with_suffix(".log").read_text())
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=int, nargs="*", default=[2, 20, 200])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=10)
    asked = parser.parse_args()
    print(describe())
    print("| scenes | Mpx | peak, MiB | seconds |\n|---|---|---|---|")
    peaks = []
    with tempfile.TemporaryDirectory() as text:
        write(Path(text), asked.side)
        for n in asked.scenes:
            file, began = config(Path(text), n, asked.side, asked.steps), time.monotonic()
            peaks.append(peak_mib(file))
            mpx, seconds = n * asked.side**2 / 1e6, time.monotonic() - began
            print(f"| {n} | {mpx:.0f} | {peaks[-1]:.0f} | {seconds:.0f} |", flush=True)
    print(f"the largest is {max(peaks) / min(peaks) - 1:.1%} above the smallest")


if __name__ == "__main__":
    main()
