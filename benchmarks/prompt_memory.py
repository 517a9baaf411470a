"""Memory of merging what clicks all over a scene find, and of outlines that are refined, beside what plans say.

    .venv/bin/python benchmarks/prompt_memory.py --side 2048 --outlines 200000

Masks are discs in boxes of eight spacings, three for each click of a lattice, as the plan takes them to be; outlines
have 5 to 60 corners. Each is measured in a process of its own, by how far its resident memory grows.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import machine
import numpy as np
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.jobs import prompt_memory
from geoseg.jobs.everything import RULES, merged_objects
from geoseg.jobs.refine import _held
from geoseg.objects.found import Detection, Found, recorded
from geoseg.scenes.vectors import open_vectors
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box
from geoseg.values.grid import Grid

SPACING, WINDOW = 32, 1024


def merging(side: int) -> tuple[int, int]:
    """Return bytes that merging takes, as measured and as planned, beside the process."""
    windows = WindowGrid.fit((side, side), window=WINDOW, margin=WINDOW // 4, ramp=0, multiple=16, least=WINDOW)
    grid = Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), (side, side))
    rng, scene = np.random.default_rng(0), Box(0, 0, side, side)
    half = prompt_memory.MASK_CELLS * SPACING // 2
    y, x = np.ogrid[-half:half, -half:half]
    before, parts, rows = grown(), [], {}
    for window in windows.windows(scene):
        cell, said = windows.cell(window), []
        for row in range(cell.row0, cell.row1, SPACING):
            for col in range(cell.col0, cell.col1, SPACING):
                for share in (0.6, 0.8, 1):
                    mask = y**2 + x**2 < (share * half) ** 2
                    box = Box(row - half, col - half, row + half, col + half).shifted(-window.row0, -window.col0)
                    said.append(Detection(box, mask, 1, int(rng.integers(65535))))
        parts.append(Found.from_bytes(recorded(said, window, cell, scene, RULES.edge_px).to_bytes()))
        rows[window.row0] = rows.get(window.row0, prompt_memory.Clicks(0, 0)).more(parts[-1])
    count = sum(1 for _ in merged_objects(Found.joined(parts), grid))
    job = SimpleNamespace(windows=windows, bundles=[SimpleNamespace(weights=SimpleNamespace(bytes=0))])
    planned = prompt_memory.merging_bytes(job, list(rows.values())) - prompt_memory.merging_bytes(job, [])
    print(f"{side} px square: {sum(r.candidates for r in rows.values())} masks, {count} objects: ", end="")
    return grown() - before, planned


def outlines(count: int) -> tuple[int, int]:
    """Return bytes that outlines to be refined take, as measured and as planned."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "outlines.gpkg"
        subprocess.run([sys.executable, __file__, "--write", path, "--outlines", str(count)], check=True)
        layer, before = open_vectors(path), grown()
        _, shapes, held = _held(layer, lambda given: shapely.transform(given, lambda xy: xy * 2), 2**60)
        tree = shapely.STRtree(shapes)
        tree.query(shapes[rng.integers(count)])
    print(f"{count} outlines, {shapely.get_num_coordinates(shapes).sum()} corners: ", end="")
    return grown() - before, held


def written(path: Path, count: int) -> None:
    """Write so many outlines."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 10**5, (count, 2))
    shapes = [
        shapely.Point(at).buffer(9, quad_segs=int(n)) for at, n in zip(places, rng.integers(1, 15, count), strict=True)
    ]
    gpd.GeoDataFrame({"object": [str(i) for i in range(count)]}, geometry=shapes, crs="EPSG:32645").to_file(path)


def grown() -> int:
    """Return the most that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--outlines", type=int, default=200_000)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", choices=("merging", "outlines"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        written(asked.write, asked.outlines)
    elif asked.what:
        started = time.process_time()
        held, planned = merging(asked.side) if asked.what == "merging" else outlines(asked.outlines)
        print(f"{held / 1e6:.0f} MB grown, {planned / 1e6:.0f} MB planned, {time.process_time() - started:.0f} CPU s")
    else:
        print(machine.describe(), flush=True)
        for what in ("merging", "outlines"):
            own = ["--side", str(asked.side), "--outlines", str(asked.outlines)]
            subprocess.run([sys.executable, __file__, "--what", what, *own], check=True)


if __name__ == "__main__":
    main()
