"""Time to finish a COG: tiles copied from parts against GDAL's COG driver, on a made-up scene; pixels compared.

    .venv/bin/python benchmarks/cog_finish.py --side 16384 --runs 5

Both read the same parts and write the same layer, in turns, each in a process of its own. The driver is told to
compress as ``assemble`` does, once with one thread and once with all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.disk.files import atomic
from geoseg.outputs.cog.cog import CACHE_BYTES, assemble
from geoseg.outputs.cog.parts import PartEncoder, write_part
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.cog.vrt import vrt
from geoseg.tiling.overviews import halved_layer, levels_within
from geoseg.tiling.windows import chunks
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.grid import Grid
from geoseg.values.layers import class_layer, probability_layer

CLASSES = ClassMap(tuple(ClassInfo(i, name, (50 * i, 120, 200)) for i, name in enumerate("abcde", start=1)))
LAYERS = (class_layer("classes", CLASSES), probability_layer("confidence", "Probability of the class"))
NAMES = tuple(layer.name for layer in LAYERS)


def grid_of(side: int) -> Grid:
    return Grid(CRS.from_epsg(32633), Affine(0.3, 0, 500_000, 0, -0.3, 5_400_000), (side, side))


def strip(box: Box, top: int) -> dict[str, np.ndarray]:
    """Return rows of patches of classes, probabilities that are sure but at their edges, and a nodata wedge.

    About as compressible as the demo's outputs: 0.03 bytes a pixel for classes, 0.4 for probabilities.
    """
    rng = np.random.default_rng((top, box.col0))
    rows, cols = np.mgrid[top : min(top + TILE_PX, box.row1), box.col0 : box.col1].astype(np.float32)
    field = np.sin(rows / 61) + np.sin(cols / 47) + np.sin((rows + cols) / 173) + 0.02 * rng.normal(size=rows.shape)
    known = cols + 2 * rows > 3000
    classes = np.clip(field + 3, 1, 5).astype(np.uint8) * known
    confidence = np.clip(255 - 60 * np.cos(field * 3) ** 8, 1, 255).astype(np.uint8) * known
    return {"classes": classes, "confidence": confidence}


def make_parts(folder: Path, side: int, chunk_px: int) -> None:
    grid = grid_of(side)
    for chunk_id, box in chunks(grid.shape, chunk_px):
        encoder = PartEncoder(box.shape, LAYERS, overviews=levels_within(chunk_px, TILE_PX))
        for top in range(box.row0, box.row1, TILE_PX):
            encoder.add(strip(box, top))
        write_part(folder / f"{chunk_id}.tif", encoder.finish(), grid=grid.crop(box), record={"id": chunk_id})


def parts_in(folder: Path, side: int, chunk_px: int) -> dict[Box, Path]:
    return {box: folder / f"{chunk_id}.tif" for chunk_id, box in chunks((side, side), chunk_px)}


def by_gdal(parts: dict[Box, Path], grid: Grid, band: int, path: Path, threads: str) -> None:
    """Write the same layer through GDAL's COG driver, to the disk as ``assemble`` does, but without reading it back."""
    source = path.with_suffix(".vrt")
    xml = vrt(grid, [LAYERS[band]], parts={box: str(part) for box, part in parts.items()})
    source.write_bytes(xml.replace(b"<SourceBand>1<", f"<SourceBand>{band + 1}<".encode()))
    with atomic(path) as temporary, rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_PAM_ENABLED=False):
        rasterio.shutil.copy(
            source, temporary, driver="COG", blocksize=TILE_PX, compress="DEFLATE", predictor="STANDARD",
            overview_resampling=LAYERS[band].treatment.resampling, bigtiff="IF_SAFER", statistics="NO",
            num_threads=threads,
        )  # fmt: skip


def run_once(folder: Path, side: int, chunk_px: int, way: str, name: str) -> None:
    """Finish one file and print seconds, peak memory and bytes as JSON."""
    parts, grid, path = parts_in(folder, side, chunk_px), grid_of(side), folder / f"{way}_{name}.tif"
    path.unlink(missing_ok=True)
    band = NAMES.index(name)
    halved_layer(np.ones((2, 2), np.uint8), LAYERS[band])  # numba is loaded long before a run finishes
    start = time.perf_counter()
    if way == "copied":
        assemble(parts, grid, {band: LAYERS[band]}, path, tags={})
    else:
        by_gdal(parts, grid, band, path, "1" if way == "gdal" else "ALL_CPUS")
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mb = int(status["VmHWM"].split()[0]) // 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "bytes": path.stat().st_size}))


def compare(one: Path, other: Path) -> str:
    """Say on how many levels both files have the same pixels."""
    equal = []
    with rasterio.open(one) as src:
        levels = len(src.overviews(1))
    for level in range(-1, levels):
        options = {} if level < 0 else {"overview_level": level}
        with rasterio.open(one, **options) as a, rasterio.open(other, **options) as b:
            same = a.shape == b.shape and all(
                np.array_equal(a.read(1, window=w), b.read(1, window=w))
                for w in (Window(0, row, a.width, min(512, a.height - row)) for row in range(0, a.height, 512))
            )
            equal.append(same)
    return f"{sum(equal)} of {len(equal)} levels equal"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--chunk-px", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--one", nargs=3, metavar=("FOLDER", "WAY", "LAYER"), help="a single run, for the script itself"
    )
    args = parser.parse_args()
    if args.one:
        run_once(Path(args.one[0]), args.side, args.chunk_px, *args.one[1:])
        return
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_parts(folder, args.side, args.chunk_px)
        size = sum(p.stat().st_size for p in folder.iterdir()) / 2**20
        print(f"{args.side} x {args.side} px, chunks of {args.chunk_px} px: {size:.0f} MiB of parts, two layers")
        print(f"{'layer':12}{'way':12}{'median s':>10}{'min':>8}{'max':>8}{'peak MB':>10}{'MiB':>8}{'slower':>9}")
        for layer in NAMES:
            measured: dict[str, list[dict]] = {"copied": [], "gdal": [], "gdal-threads": []}
            for _ in range(args.runs):
                for way, found in measured.items():
                    command = [sys.executable, __file__, "--side", args.side, "--chunk-px", args.chunk_px]
                    command += ["--one", folder, way, layer]
                    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
                    found.append(json.loads(done.stdout))
            best = median(m["seconds"] for m in measured["copied"])
            for way, found in measured.items():
                seconds, peak_mb = [m["seconds"] for m in found], max(m["peak_mb"] for m in found)
                print(
                    f"{layer:12}{way:12}{median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}"
                    f"{peak_mb:10}{found[0]['bytes'] / 2**20:8.1f}{median(seconds) / best:8.1f}x"
                )
            print(f"{layer:12}{compare(folder / f'copied_{layer}.tif', folder / f'gdal_{layer}.tif')}")


if __name__ == "__main__":
    main()
