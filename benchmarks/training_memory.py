"""Peak memory of training windows over 2 and 12 scenes: VRTs over one file of 4096 x 4096 px, with 3,000 buildings.

usage: python benchmarks/training_memory.py [N ...]
Each number of scenes is loaded in a process of its own, which then draws 40 batches of 8 windows of 256 px.
"""

import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from machine import describe

from geoseg.models.spec import Normalisation
from geoseg.training.augment import Recipe
from geoseg.training.batches import batches
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec

SIDE, BATCHES = 4096, 40


def main(counts: list[int]) -> None:
    print(describe())
    print("| scenes | Mpx | peak, MiB | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for n in counts:
            began = time.monotonic()
            child = [sys.executable, __file__, "--child", folder, str(n)]
            peak = subprocess.run(child, check=True, capture_output=True, text=True).stdout.split()[-1]
            print(f"| {n} | {n * SIDE**2 / 1e6:.0f} | {peak} | {time.monotonic() - began:.0f} |", flush=True)


def write(folder: Path) -> None:
    """Write the scene, and the squares that are its buildings."""
    rng = np.random.default_rng(0)
    transform = Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6)
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=3, height=SIDE, width=SIDE, dtype="uint8", crs="EPSG:32645",
        transform=transform, photometric="RGB", tiled=True, compress="deflate", zlevel=1,
    ) as dst:  # fmt: skip
        dst.write(np.kron(rng.integers(0, 255, (3, SIDE // 8, SIDE // 8), np.uint8), np.ones((8, 8), np.uint8)))
    x, y = rng.uniform(0, SIDE / 2 - 12, (2, 3000))
    roofs = shapely.box(3e5 + x, 3.06e6 - y - 10, 3e5 + x + 10, 3.06e6 - y)
    gpd.GeoDataFrame(geometry=roofs, crs=32645).to_file(folder / "roofs.gpkg")


def child(folder: Path, n: int) -> None:
    """Load n scenes, draw windows, and print the peak in MiB."""
    text = (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32645</SRS>'
        "<GeoTransform>300000, 0.5, 0, 3060000, 0, -0.5</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{b}"><ColorInterp>{c}</ColorInterp><SimpleSource><SourceFilename '
            f'relativeToVRT="1">scene.tif</SourceFilename><SourceBand>{b}</SourceBand></SimpleSource></VRTRasterBand>'
            for b, c in enumerate(("Red", "Green", "Blue"), 1)
        )
        + "</VRTDataset>"
    )
    for i in range(n):
        (folder / f"{i}.vrt").write_text(text)
    data = [{"scene": f"{i}.vrt", "labels": "roofs.gpkg", "use": "validation" if i == 0 else "train"} for i in range(n)]
    spec = TrainSpec.model_validate(
        {"name": "t", "bands": "red,green,blue", "target": {"kind": "buildings"}, "data": data}
    ).resolve(folder)
    samples = load_samples(spec)
    normal = Normalisation(mean=(128,) * 3, std=(64,) * 3)
    mean, std = np.array(normal.mean, np.float32), np.array(normal.std, np.float32)
    recipe = Recipe(256, spec.augmentation, spec.target, mean, std, (mean - 2.5 * std, mean + 2.5 * std))
    for _ in islice(batches(samples.train, recipe, batch=8, seed=0), BATCHES):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main([int(n) for n in sys.argv[1:]] or [2, 12])
