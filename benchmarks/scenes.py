"""Made-up scenes of any size, written block by block."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window

BLOCK_PX = 512


def write_scene(path: Path, size: int, *, bands: int = 3, share: float = 1.0) -> Path:
    """Write a square uint8 scene of ``bands``; ``share`` of its blocks holds data, the rest is not there (nodata 0)."""
    rng = np.random.default_rng(0)
    tile = np.kron(rng.integers(1, 255, (bands, 32, 32)), np.ones((1, 16, 16))).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=bands, dtype="uint8", tiled=True, nodata=0,
        blockxsize=BLOCK_PX, blockysize=BLOCK_PX, compress="deflate", zlevel=1, sparse_ok=True, bigtiff="if_safer",
        crs="EPSG:32633", transform=Affine(1, 0, 4e5, 0, -1, 5e6), photometric="rgb" if bands == 3 else "minisblack",
    ) as out:  # fmt: skip
        names = ("red", "green", "blue", "nir")
        out.descriptions = names[:bands]
        for row in range(0, size, BLOCK_PX):
            for col in range(0, size, BLOCK_PX):
                if rng.random() < share:
                    window = Window(col, row, min(BLOCK_PX, size - col), min(BLOCK_PX, size - row))
                    out.write(tile[:, : window.height, : window.width], window=window)
    return path


def laid_out(scene: Path, size: int, path: Path, *, coarser: int = 1, gsd_m: float = 1.0) -> Path:
    """Write ``scene``, its pixels averaged ``coarser`` at a time, to size x size pixels, mirrored at each seam."""
    with rasterio.open(scene) as src:
        shape = (src.count, src.height // coarser, src.width // coarser)
        pixels, names = src.read(out_shape=shape, resampling=Resampling.average), src.descriptions
    rows, cols = (np.pad(np.arange(n), (0, size - n), mode="symmetric") for n in pixels.shape[1:])
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), dtype=pixels.dtype, height=size, width=size, tiled=True,
        blockxsize=BLOCK_PX, blockysize=BLOCK_PX, compress="deflate", crs="EPSG:32617",
        transform=Affine(gsd_m, 0, 5e5, 0, -gsd_m, 4e6),
    ) as out:  # fmt: skip
        out.write(pixels[:, rows[:, None], cols])
        out.descriptions = names
    return path
