"""Building polygons from a probability raster, and their measures. Pure: arrays in, arrays out."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geoseg.polygons.fit import STATUS
    from geoseg.polygons.footprints import FootprintRules, Footprints, extract_footprints, polygonize_probability
    from geoseg.polygons.instances import label_instances
    from geoseg.polygons.measure import geodesic_area_m2
    from geoseg.polygons.outlines import Fit

# Loaded at first use: coverages fit nothing, and what fits takes 0.5 s to import.
_HOMES = {
    "STATUS": "fit",
    "Fit": "outlines",
    "FootprintRules": "footprints",
    "Footprints": "footprints",
    "extract_footprints": "footprints",
    "geodesic_area_m2": "measure",
    "label_instances": "instances",
    "polygonize_probability": "footprints",
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
        return getattr(import_module(f"geoseg.polygons.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'geoseg.polygons' has no attribute {name!r}")
