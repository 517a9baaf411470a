"""Check of objects: whether the panoptic raster, its table, the class map and the GeoPackage of objects agree."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import rasterio
from numpy.typing import NDArray

from geoseg.outputs.cog.cog import strips
from geoseg.outputs.geopackage.instances import LAYER
from geoseg.outputs.ids_table import MOST_ROWS
from geoseg.outputs.pam import pam_path
from geoseg.values.layers import FIRST_OBJECT

Found = tuple[str, bool, str]  # what was looked at, whether it holds, and what was found


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Pixels of a panoptic raster by value and class."""

    value: NDArray[np.int64]
    """Every value and class that occur together, (N,)."""
    class_id: NDArray[np.int64]
    """See value."""
    pixels: NDArray[np.int64]
    """How often, (N,)."""

    @classmethod
    def of(cls, panoptic: Path, classes: Path, band: int) -> "Counted":
        """Count both rasters strip by strip."""
        pairs: list[NDArray[np.int64]] = []
        with rasterio.open(panoptic) as ids, rasterio.open(classes) as mapped:
            for window in strips(ids):
                values = ids.read(1, window=window).astype(np.int64)
                key, count = np.unique(values << 8 | mapped.read(band, window=window), return_counts=True)
                pairs.append(np.stack([key, count]))
        every = np.concatenate(pairs, 1)
        key, at = np.unique(every[0], return_inverse=True)
        return cls(key >> 8, key & 255, np.bincount(at, weights=every[1]).astype(np.int64))

    def of_each(self, ids: NDArray[np.int64], class_ids: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the pixels of ``ids`` (M,), or those among them that are of the classes (M,)."""
        value = self.value if class_ids is None else self.value << 8 | self.class_id
        wanted = ids if class_ids is None else ids << 8 | class_ids
        found, at = np.unique(value, return_inverse=True)
        total = np.append(np.bincount(at, weights=self.pixels).astype(np.int64), 0)
        place = np.searchsorted(found, wanted)
        hit = np.append(found, -1)[np.minimum(place, len(found))] == wanted
        return np.where(hit, total[np.minimum(place, len(found))], 0)


def check_objects(panoptic: Path, classes: Path, band: int, objects: Path, things: tuple[int, ...]) -> Iterator[Found]:
    """Yield what holds of a panoptic raster, the band of classes that it was made with, and the file of its objects."""
    counted = Counted.of(panoptic, classes, band)
    _, _, _, columns = pyogrio.raw.read(
        objects, layer=LAYER, columns=["segment_id", "class_id", "pixels"], read_geometry=False
    )
    ids, class_ids, pixels = (np.asarray(column, np.int64) for column in columns)
    there = np.unique(counted.value[counted.value >= FIRST_OBJECT])
    yield f"objects are those of {panoptic.name}", np.array_equal(ids, there), f"{len(ids)} rows, {len(there)} values"
    yield f"pixels as in {panoptic.name}", np.array_equal(counted.of_each(ids), pixels), ""
    own, most = counted.of_each(ids, class_ids), np.zeros(len(ids), np.int64)
    for class_id in things:
        most = np.maximum(most, counted.of_each(ids, np.full(len(ids), class_id)))
    yield "class is that of most pixels", np.array_equal(own, most), ""
    stuff, thing = counted.value < FIRST_OBJECT, np.isin(counted.class_id, things)
    right = np.where(stuff, np.where(thing, counted.value == 0, counted.value == counted.class_id), thing)
    yield f"stuff as in {classes.name}, objects where it has things", bool(right.all()), ""
    rows = _table(panoptic)
    listed = np.concatenate([counted.value[stuff & (counted.value > 0)], there[:MOST_ROWS]])
    agree = set(listed.tolist()) <= set(rows) and all(
        rows[value] == count for value, count in zip(listed.tolist(), counted.of_each(listed).tolist(), strict=True)
    )
    yield f"{pam_path(panoptic).name} counts true pixels", agree, f"{len(rows)} rows"


def _table(raster: Path) -> dict[int, int]:
    """Return the pixels of each value as the table beside a raster says."""
    root = ET.fromstring(pam_path(raster).read_bytes())
    cells = ([cell.text or "" for cell in row.findall("F")] for row in root.iter("Row"))
    return {int(value): int(count) for value, count, *_ in cells}
