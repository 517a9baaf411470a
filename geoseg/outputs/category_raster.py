"""Rasters of categories that are made strip by strip: a COG with names, colours and areas, as stock QGIS shows them.

Not here: a run's rasters, which are put together from parts (cog/).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.pam import write_pam
from geoseg.scenes.raster_grid import place_tags, raster_window
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid

PLAIN = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "compress": "deflate", "tiled": True}
COG = {"driver": "COG", "compress": "DEFLATE", "blocksize": TILE_PX, "overview_resampling": "MODE", "statistics": "NO"}


def write_categories(
    path: Path,
    strips: Iterable[tuple[Box, NDArray[np.uint8]]],
    grid: Grid,
    categories: ClassMap,
    *,
    pixels: Mapping[int, int],
    area_ha: Mapping[int, float],
    layer: str,
    source: str = "",
) -> None:
    """Write strips of ids as the band ``layer`` of a COG; pixels, area_ha: of each id; source: what they are made of.

    Raises OutputError.
    """
    place = {"crs": grid.written_crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
    with atomic(path) as temporary:
        plain = temporary.with_name("plain.tif")
        with rasterio.open(plain, "w", **PLAIN, **place, bigtiff="IF_SAFER") as dst:
            dst.write_colormap(1, {c.id: (*c.color, 255) for c in categories})
            dst.set_band_description(1, layer)
            dst.update_tags(**place_tags(grid))
            dst.update_tags(AREA_OR_POINT="Area", TIFFTAG_SOFTWARE=f"geoseg {__version__}")
            dst.update_tags(**({"SOURCE": source} if source else {}))
            dst.update_tags(1, **{f"CLASS_{c.id}": c.name for c in categories})
            for box, ids in strips:
                dst.write(ids, 1, window=raster_window(box))
        copy(plain, temporary, **COG)
        plain.unlink()
    write_pam(path, categories, counts=pixels, area_ha=area_ha)
