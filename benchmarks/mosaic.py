"""A mosaic of many tiles: bytes against one file, and time and memory to open it.

python benchmarks/mosaic.py [--compare 1024] [--open 10000] [--model buildings]
"""

import argparse
import hashlib
import math
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

import geoseg
from geoseg.scenes.open import open_scene
from geoseg.scenes.reads import files_read

COMPARED = ("classes.tif", "confidence.tif")


def write(path: Path, data: np.ndarray, col: int, row: int) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=data.shape[1], width=data.shape[2], dtype="uint8",
        crs="EPSG:32633", transform=Affine(0.5, 0, 5e5 + 0.5 * col, 0, -0.5, 5e6 - 0.5 * row), photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(data)


def tiles(folder: Path, count: int, side: int) -> np.ndarray:
    """Write ``count`` square tiles of smooth noise, and return all of their pixels."""
    folder.mkdir()
    along = math.isqrt(count)
    rows, cols = np.mgrid[: along * side, : along * side]
    waves = 120 + 60 * np.sin(rows / 17) * np.cos(cols / 23) + 40 * (np.hypot(rows, cols) % 90 < 30)
    data = np.stack([waves, waves * 0.9, waves * 0.8]).astype(np.uint8)
    for i in range(count):
        row, col = i // along * side, i % along * side
        write(folder / f"{row:06d}_{col:06d}.tif", data[:, row : row + side, col : col + side], col, row)
    return data


def digests(out: Path) -> list[str]:
    return [hashlib.sha256((out / name).read_bytes()).hexdigest()[:16] for name in COMPARED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", type=int, default=1024)
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--model", default="buildings")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.compare:
            data = tiles(folder / "few", args.compare, 32)
            write(folder / "one.tif", data, 0, 0)
            for source in ("few", "one.tif"):
                geoseg.predict(folder / source, args.model, folder / f"out_{source}")
            found, wanted = digests(folder / "out_few"), digests(folder / "out_one.tif")
            print(f"{args.compare} tiles against one file: {'equal' if found == wanted else 'DIFFERENT'}, {found}")
        tiles(folder / "many", args.open, 16)
        start, cpu = time.perf_counter(), time.process_time()
        scene = open_scene(folder / "many")
        print(
            f"{args.open} tiles open in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
        )
        start = time.perf_counter()
        count = len(files_read(scene.inputs, lone=scene.lone))
        print(f"{count} files to watch listed in {time.perf_counter() - start:.1f} s")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
