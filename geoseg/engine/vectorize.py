"""vectorize: building polygons from a raster that is there already."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.classes import ClassInfo, ClassMap
from geoseg.engine.options import PolygonOptions
from geoseg.errors import InputError, OutputError
from geoseg.grid import Grid
from geoseg.io.geopackage import write_buildings
from geoseg.io.source import band_number, open_raster
from geoseg.polygons import extract_footprints

BUILDING = ClassMap((ClassInfo(1, "building", (200, 66, 46)),))


def vectorize(
    raster: str | Path,
    out: str | Path,
    *,
    band: int | str | None = None,
    class_id: int | None = None,
    threshold: float = 0.5,
    options: PolygonOptions | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the polygons of one band of ``raster`` and write them as a GeoPackage; returns their number and area in m².

    The band holds probabilities: bytes 1..255 for p 0..1 with 0 = nodata, as geoseg writes them, or floats 0..1; with
    ``class_id`` it holds classes, and the polygons outline that one. band: 1-based number or its
    description (None: the only one, or the last of probabilities.tif). Raises InputError and OutputError.
    """
    path = Path(out)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")
    options = options or PolygonOptions()
    with open_raster(str(raster)) as src:
        if src.crs is None:
            raise InputError(f"{raster}: no CRS; assign one with gdal_edit.py -a_srs")
        grid = Grid(src.crs, src.transform, src.shape)
        values = src.read(band_number(src, band), masked=False)
        nodata = src.nodata
    probability = _as_bytes(values, nodata, class_id=class_id, name=str(raster))
    found = extract_footprints(probability, grid, options.rules(0.5 if class_id is not None else threshold))
    source = {"software": "geoseg", "version": __version__, "model": None, "input": [Path(raster).name]}
    areas = write_buildings(path, found, crs=grid.crs, target=BUILDING.by_id(1), classes=BUILDING, provenance=source)
    return {"file": str(path), "count": len(found), "area_m2": round(float(np.sum(areas)), 3)}


def _as_bytes(
    values: NDArray[np.generic], nodata: float | None, *, class_id: int | None, name: str
) -> NDArray[np.uint8]:
    """Return probability bytes of a band: 1..255 for p 0..1, 0 = nodata."""
    if class_id is not None:
        return np.where(values == class_id, 255, 1).astype(np.uint8)
    if values.dtype == np.uint8:
        if nodata != 0:
            raise InputError(
                f"{name}: 8-bit values without nodata 0 are no probability bytes; for a class raster pass --class-id"
            )
        return values  # type: ignore[return-value]
    if values.dtype.kind != "f":
        raise InputError(f"{name}: {values.dtype} values are no probabilities; for a class raster pass --class-id")
    p = values.astype(np.float32)
    known = np.isfinite(p) if nodata is None else np.isfinite(p) & (values != nodata)
    least, most = p.min(initial=1, where=known), p.max(initial=0, where=known)
    if least < 0 or most > 1:
        raise InputError(f"{name}: values {least:g}..{most:g} are no probabilities 0..1")
    return np.where(known, 1 + np.rint(254 * np.where(known, p, 0)), 0).astype(np.uint8)
