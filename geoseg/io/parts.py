"""Parts: the layers of one chunk in one small GeoTIFF. A sound part is the record that its chunk is done."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.classes import NODATA
from geoseg.errors import OutputError
from geoseg.grid import Grid
from geoseg.io.files import WRITE_ERRORS, atomic

BLOCK_PX = 512
_RECORD_TAG, _DIGEST_TAG = "GEOSEG_RECORD", "GEOSEG_SHA256"


def write_part(path: Path, *, grid: Grid, layers: Mapping[str, NDArray[np.uint8]], record: Mapping[str, Any]) -> None:
    """Commit the ``layers`` of a chunk, each (h, w) uint8 by name with 0 = nodata, together with its ``record``.

    Band i is the i-th layer and carries its name. Equal arguments give equal bytes. The part is read back before it
    takes its name; raises OutputError where that, or the disk, fails.
    """
    text = json.dumps(record, sort_keys=True)
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": len(layers), "height": grid.height, "width": grid.width,
        "crs": grid.crs, "transform": grid.transform, "nodata": NODATA, "interleave": "band",
        "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate",
    }  # fmt: skip  # no num_threads: with it rasterio loses write errors
    with atomic(path) as temporary:
        with rasterio.open(temporary, "w", **profile) as out:
            out.update_tags(**{_RECORD_TAG: text, _DIGEST_TAG: _digest(text, layers.values())})
            for band, (name, layer) in enumerate(layers.items(), start=1):
                out.set_band_description(band, name)
                out.write(layer, band)
        if read_record(temporary) is None:
            raise OutputError(f"{path}: what was written reads back differently; check the disk, then run again")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a part, or None where the part is missing, cut off or altered: its chunk is not done.

    All layers are decoded and compared with the digest that was taken before writing.
    """
    try:
        with rasterio.open(path) as part:
            tags = part.tags()
            text = tags[_RECORD_TAG]
            if _digest(text, (part.read(band) for band in part.indexes)) != tags[_DIGEST_TAG]:
                return None
    except (*WRITE_ERRORS, KeyError):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _digest(record: str, layers: Iterable[NDArray[np.uint8]]) -> str:
    """Return the sha256 over the record's text and every layer's shape and pixels."""
    sha = hashlib.sha256(record.encode())
    for layer in layers:
        sha.update(repr(layer.shape).encode())
        sha.update(np.ascontiguousarray(layer).data)
    return sha.hexdigest()
