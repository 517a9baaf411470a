"""Classes of masks: what most of their pixels are in a class map. Promptable models name nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.errors import InputError
from geoseg.jobs.evaluate.sides import Prediction
from geoseg.outputs.class_raster import ClassRaster
from geoseg.outputs.geopackage.prompted import PromptedObject
from geoseg.values.box import Box
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import pyproj_crs


@dataclass(frozen=True, slots=True, eq=False)
class MaskClasses:
    """A class map that masks are named by."""

    raster: ClassRaster
    ids: Mapping[int, int]
    """Class by value of the raster."""
    classes: ClassMap
    to_pixels: Transformer
    """From the masks' CRS to that of the raster."""

    @classmethod
    def of(cls, source: str | Path, crs: CRS) -> Self:
        """Take a run's folder or a class raster, for masks in ``crs``; raises InputError."""
        found = Prediction.find(source)
        if found.raster is None:
            raise InputError(f"{source}: polygons alone; name a run's folder or a raster of classes")
        way = Transformer.from_crs(pyproj_crs(crs), pyproj_crs(found.raster.grid.crs), always_xy=True)
        return cls(found.raster, found.ids, found.classes, way)

    def named(self, one: PromptedObject) -> PromptedObject:
        """Return an object with its class."""
        return one._replace(class_name=self.name(one.polygon))

    def name(self, mask: shapely.Geometry | None) -> str:
        """Return the class of most pixels within a mask, the first of equals; empty where the map says nothing."""
        grid = self.raster.grid
        if mask is None or not mask.area > 0:
            return ""
        col, row = ~grid.transform @ self.to_pixels.transform(*shapely.get_coordinates(mask).T)
        if not (np.isfinite(col).all() and np.isfinite(row).all()):
            return ""
        placed = shapely.set_coordinates(shapely.force_2d(mask), np.column_stack([col, row]))
        around = Box(floor(row.min()), floor(col.min()), ceil(row.max()) + 1, ceil(col.max()) + 1).clip(grid.box)
        if around is None:
            return ""
        ids = self.raster.read(around, self.ids)
        place = Affine.translation(around.col0, around.row0)
        within = rasterize([placed], around.shape, transform=place, all_touched=False, dtype="uint8") > 0
        if not within.any():  # smaller than the map's pixels
            within = rasterize([placed], around.shape, transform=place, all_touched=True, dtype="uint8") > 0
        counts = np.bincount(ids[within], minlength=256)
        counts[NODATA] = 0
        return self.classes.by_id(int(counts.argmax())).name if counts.any() else ""
