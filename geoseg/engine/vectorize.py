"""vectorize: building polygons from a raster that is there already."""

from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.classes import ClassInfo, ClassMap
from geoseg.engine.buildings import Drawing, draw_polygons
from geoseg.engine.local import ThreadsEngine
from geoseg.engine.options import PolygonOptions
from geoseg.errors import InputError, OutputError
from geoseg.grid import Grid
from geoseg.io.probabilities import ProbabilityBands
from geoseg.io.source import band_number, open_raster

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
    """Draw the polygons of one band of ``raster`` and write them as a GeoPackage; returns what ``draw_polygons`` does.

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
        pixels = ProbabilityBands(str(raster), band_number(src, band), class_id=class_id)
    drawing = Drawing(
        pixels=pixels,
        grid=grid,
        rules=options.rules(0.5 if class_id is not None else threshold),
        target=BUILDING.by_id(1),
        max_component_px=options.max_component_px,
    )
    source = {"software": "geoseg", "version": __version__, "model": None, "input": [Path(raster).name]}
    made = draw_polygons(path, drawing, classes=BUILDING, provenance=source, each=ThreadsEngine().map)
    return {**made, "file": str(path)}
