"""Building polygons from a probability raster, and their measures. Pure: arrays in, arrays out."""

from geoseg.polygons.fit import STATUS
from geoseg.polygons.footprints import FootprintRules, Footprints, extract_footprints, polygonize_probability
from geoseg.polygons.instances import label_instances
from geoseg.polygons.measure import geodesic_area_m2
from geoseg.polygons.outlines import Fit

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
