"""Pléiades and SPOT (DIMAP), WorldView and GeoEye (TIL): GDAL puts their tiles together, here they are found."""

from dataclasses import replace

from geoseg.errors import InputError
from geoseg.scenes import warped
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.products.contents import Contents
from geoseg.scenes.recipe import Described, Given

INDEX = r"(^|/)(DIM_[^/]*\.XML|[^/]*\.DIM|[^/]*\.TIL)$"


def scenes(contents: Contents, given: Given) -> list[Described]:
    """Return the scene of a delivery; raises InputError where it holds several, such as a panchromatic one beside."""
    found = contents.find(INDEX)
    if len(found) > 1:
        raise InputError(
            f"{contents.path}: {len(found)} images ({', '.join(found[:4])}); name one: {contents.gdal(found[0])}"
        )
    own = [replace(given, paths=(contents.gdal(name),)) for name in found]
    return [warped.recipe(one) or describe_file(one.paths[0], one) for one in own]
