"""Building polygons from a probability raster, and their measures. Pure: arrays in, arrays out."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geoseg.vector.fit.fit import STATUS
    from geoseg.vector.footprints.extract import FootprintRules, Footprints, extract_footprints, polygonize_probability
    from geoseg.vector.ground import geodesic_area_m2
    from geoseg.vector.pixels.instances import label_instances
    from geoseg.vector.tiles.outlines import Fit

# Loaded at first use: coverages fit nothing, and what fits takes 0.5 s to import.
_HOMES = {
    "STATUS": "fit.fit",
    "Fit": "tiles.outlines",
    "FootprintRules": "footprints.extract",
    "Footprints": "footprints.extract",
    "extract_footprints": "footprints.extract",
    "geodesic_area_m2": "ground",
    "label_instances": "pixels.instances",
    "polygonize_probability": "footprints.extract",
}
__all__ = [
    "STATUS",
    "Fit",
    "FootprintRules",
    "Footprints",
    "extract_footprints",
    "geodesic_area_m2",
    "label_instances",
    "polygonize_probability",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"geoseg.vector.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'geoseg.vector' has no attribute {name!r}")
