"""Result: a finished run as Python callers get it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.errors import ConfigError
from geoseg.values.classes import ClassMap

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: its folder, its files by name, and the content of run.json."""

    folder: Path
    paths: dict[str, Path]
    run: dict[str, Any]

    def __repr__(self) -> str:
        """Return where the run is and what came of it, in at most five lines."""
        files = ", ".join(self.paths) or "no outputs yet"
        areas = ", ".join(f"{c['name']} {c['area_ha']:.2f} ha" for c in self.run.get("classes", []))
        missing = len(self.run.get("missing_chunks", []))
        lines = [
            f"Result {self.folder}",
            f"  files    {files}",
            f"  classes  {areas}" if areas else "",
            f"  polygons {self.run['polygons']['count']}" if "polygons" in self.run else "",
            f"  objects  {self.run['instances']['count']}" if "instances" in self.run else "",
            f"  missing  {missing} chunks are nodata" if missing else "",
        ]
        return "\n".join(filter(None, lines))

    def _repr_html_(self) -> str:
        """Return the same lines with a picture of the classes, for notebooks."""
        from geoseg.scenes.notebook import framed, small_classes

        path, rows = self.paths.get("classes.tif"), self.run.get("classes")
        if path is None or not rows:
            return framed(repr(self))
        classes = ClassMap.from_json(rows)
        return framed(repr(self), small_classes(path, classes), classes)

    def to_xarray(self, name: str = "classes") -> "xr.DataArray":
        """Open a raster output, e.g. "confidence", lazily: dask-backed, georeferenced, ``.rio``-ready."""
        import rioxarray
        import xarray as xr

        path = self.paths.get(f"{name}.tif")
        if path is None:
            raise ConfigError(f"this run has no {name}.tif; it has {', '.join(self.paths)}")
        array = rioxarray.open_rasterio(path, chunks={"band": 1, "x": 2048, "y": 2048})
        assert isinstance(array, xr.DataArray)  # a GeoTIFF has no subdatasets
        return array.squeeze("band", drop=True).rename(name) if array.sizes["band"] == 1 else array.rename(name)

    def objects(self) -> "gpd.GeoDataFrame":
        """Read the outlines of the objects that the run has told apart, with class, score and size of each."""
        import geopandas as gpd

        if "instances" not in self.run:
            raise ConfigError("this run told no objects apart; take a model of the task panoptic or objects")
        return gpd.read_file(self.paths[self.run["instances"]["file"]])

    def polygons(self) -> "gpd.GeoDataFrame":
        """Read the building polygons."""
        import geopandas as gpd

        if "polygons" not in self.run:
            raise ConfigError("this run made no polygons; pass polygons=PolygonOptions()")
        path = self.paths[self.run["polygons"]["file"]]
        if path.suffix == ".parquet":
            return gpd.read_parquet(path)
        from geoseg.outputs.geopackage.footprints import LAYER

        return gpd.read_file(path, layer=LAYER if path.suffix == ".gpkg" else 0)  # styles lie beside it
