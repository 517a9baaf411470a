"""Rebuild the scene of Banepa that models are trained on, banepa.tif and banepa_buildings.gpkg, from its public source.

The source is the repository hotosm/fAIr-models at commit 95f0727e8fb05816c1544766e8039f5237c3867d, folder
data/sample/train: OpenAerialMap imagery as 512-px slippy tiles of zoom 19 (CC-BY-4.0, OpenAerialMap / HOTOSM), and
OpenStreetMap footprints (ODbL 1.0, © OpenStreetMap contributors). Of its 8 tile rows the first 6 are taken.

usage: python benchmarks/rebuild_banepa.py CLONE/data/sample/train OUT_FOLDER
"""

import re
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from shapely import box

TILE_PX = 512
ROWS = 6
WORLD_M = 20037508.342789244  # half the width of the Web Mercator world


def main(source: Path, out: Path) -> None:
    tiles = {}
    for path in sorted(source.glob("oam/OAM-*.tif")):
        x, y, zoom = map(int, re.fullmatch(r"OAM-(\d+)-(\d+)-(\d+)", path.stem).groups())
        tiles[y, x] = path
    y0, x0 = min(y for y, _ in tiles), min(x for _, x in tiles)
    columns = max(x for _, x in tiles) - x0 + 1
    pixels = np.zeros((3, ROWS * TILE_PX, columns * TILE_PX), np.uint8)
    for (y, x), path in tiles.items():
        if y - y0 < ROWS:
            with rasterio.open(path) as src:
                row, col = (y - y0) * TILE_PX, (x - x0) * TILE_PX
                pixels[:, row : row + TILE_PX, col : col + TILE_PX] = src.read()
    size = 2 * WORLD_M / 2**zoom / TILE_PX
    transform = Affine(size, 0, x0 * TILE_PX * size - WORLD_M, 0, -size, WORLD_M - y0 * TILE_PX * size)
    out.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "width": pixels.shape[2], "height": pixels.shape[1], "count": 3, "dtype": "uint8",
        "crs": "EPSG:3857", "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "predictor": 2, "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(out / "banepa.tif", "w", **profile) as dst:
        dst.write(pixels)
        bounds = dst.bounds
    footprints = gpd.read_file(next(source.glob("osm/*.geojson"))).to_crs("EPSG:3857")
    footprints = footprints.clip(box(*bounds), keep_geom_type=True)
    footprints = footprints[["osm_id", "osm_type", "building", "building:levels", "geometry"]].explode(
        ignore_index=True
    )
    footprints.to_file(out / "banepa_buildings.gpkg", layer="buildings")
    print(f"{out}: {pixels.shape[2]} x {pixels.shape[1]} px, {len(footprints)} footprints")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
