"""What a scene is, in words and numbers: for a look before a run."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from rasterio.enums import ColorInterp, MaskFlags

from geoseg.scenes.reading import open_raster
from geoseg.scenes.sample import empty_areas, sample
from geoseg.scenes.scene import Scene
from geoseg.values.grid import pyproj_crs

MOST_FILES = 12  # of a scene of many whose storage is told
KINDS_OF_MASK = {MaskFlags.alpha: "alpha", MaskFlags.per_dataset: "mask band", MaskFlags.nodata: "nodata"}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """How one file of a scene is stored."""

    path: str
    driver: str
    dtypes: tuple[str, ...]
    compression: str | None
    interleaving: str | None
    block_px: tuple[int, int]
    overviews: tuple[int, ...]
    masks: tuple[str, ...]


def file_facts(path: str) -> FileFacts:
    """Read how a raster file is stored; raises InputError."""
    with open_raster(path) as src:
        flags = {flag for band in src.mask_flag_enums for flag in band}
        if ColorInterp.alpha in src.colorinterp:
            flags.add(MaskFlags.alpha)
        if MaskFlags.alpha in flags or MaskFlags.nodata in flags:
            flags.discard(MaskFlags.per_dataset)  # GDAL sets it beside them: there is no mask band then
        return FileFacts(
            path=path,
            driver=src.driver,
            dtypes=tuple(src.dtypes),
            compression=_word(src.compression),
            interleaving=_word(src.interleaving),
            block_px=src.block_shapes[0],
            overviews=tuple(src.overviews(1)),
            masks=tuple(word for flag, word in KINDS_OF_MASK.items() if flag in flags),
        )


def _word(stored: Enum | str | None) -> str | None:
    """Return a word of rasterio's in lower case; it gives plain text for formats that have others than GeoTIFF."""
    word = stored.value if isinstance(stored, Enum) else stored
    return None if word is None else str(word).lower()


def describe(scene: Scene) -> dict[str, Any]:
    """Return bands, grid, ground resolution and storage of a scene as JSON values."""
    grid = scene.grid
    height_m, width_m = grid.ground_resolution_m()
    t = grid.transform
    files = [file_facts(f) for f in scene.files[:MOST_FILES]]
    return {
        "name": scene.name,
        "bands": [
            {
                "name": band.name,
                "wavelength_nm": band.wavelength_nm,
                "nodata": None if source.nodata is None else repr_number(source.nodata),
                "scale": source.scale,
                "offset": source.offset,
                "file": source.file,
                "index": source.index,
            }
            for band, source in zip(scene.bands, scene.sources, strict=True)
        ],
        "bands_named": scene.named,
        "dtype": scene.dtype,
        "grid": {
            "height_px": grid.height,
            "width_px": grid.width,
            "crs": grid.crs.to_string(),
            "crs_name": pyproj_crs(grid.crs).name,
            "crs_unit": grid.crs.units_factor[0],
            "transform": list(t)[:6],
            "bounds": list(grid.bounds),
            "rotated": t.b != 0 or t.d != 0,
            "south_up": t.e > 0,
        },
        "ground_resolution_m": [height_m, width_m],
        "ground_area_ha": grid.ground_area_m2() / 1e4,
        "files": [
            {
                "path": f.path,
                "driver": f.driver,
                "dtypes": list(dict.fromkeys(f.dtypes)),
                "compression": f.compression,
                "interleaving": f.interleaving,
                "block_px": list(f.block_px),
                "overviews": list(f.overviews),
                "masks": list(f.masks),
            }
            for f in files
        ],
        "warnings": [*scene.notes, *empty_areas(scene, sample(scene))],
    }


def repr_number(value: float) -> float | str:
    """Return ``value``, or its name where JSON has no number for it: nan, inf."""
    return value if abs(value) < float("inf") else str(value)
