"""PlanetScope products, folders or zips of an order: analytic bands with their usable data mask (UDM2)."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from geoseg.errors import InputError
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.products.bands import with_quality
from geoseg.scenes.products.contents import Contents
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import Quality
from geoseg.values.sensors import SENSORS

SCENE = r"(?P<id>[^/]*_3B)_AnalyticMS(?P<surface>_SR)?(_8b)?(_harmonized)?(_clip)?(_file_format)?\.tif$"
MASK = r"_udm2(_clip)?(_file_format)?\.tif$"
FOUR = ("B", "G", "R", "N")
SURFACE_SCALE = 1e-4


def scenes(contents: Contents, given: Given) -> list[Described]:
    """Return every scene of an order; raises InputError where bands are not those of a PlanetScope product."""
    found = contents.find(SCENE)
    if not found and (masks := contents.find(r"_3B" + MASK)):
        raise InputError(f"{contents.path}: {masks[0]} has no image beside it, _3B_AnalyticMS….tif; fetch it again")
    return [_scene(contents, name, given) for name in found]


def _scene(contents: Contents, name: str, given: Given) -> Described:
    match = re.search(SCENE, name, re.IGNORECASE)
    assert match is not None
    part = describe_file(contents.gdal(name), given)
    eight = tuple(SENSORS["planetscope"])
    labels = {4: FOUR, 8: eight}.get(len(part.sources))
    if labels is None:
        raise InputError(f"{contents.gdal(name)}: {len(part.sources)} bands; PlanetScope's products have 4 or 8")
    scales = [SURFACE_SCALE] * len(labels) if match["surface"] else _scales(contents, match["id"], len(labels))
    sources = tuple(replace(s, scale=scale, alpha=None) for s, scale in zip(part.sources, scales, strict=True))
    what = "surface reflectance" if match["surface"] else "reflectance above the atmosphere"
    scene = replace(part, sources=sources, labels=labels, sensor="planetscope", notes=(f"{name}: PlanetScope, {what}",))
    if not given.mask_quality:
        return scene
    masks = contents.find(re.escape(match["id"]) + MASK)
    if not masks:
        raise InputError(f"{contents.gdal(name)}: no usable data mask (udm2) beside it; leave --mask-quality out")
    return with_quality(scene, Quality(contents.gdal(masks[0]), why="all but clear ground (UDM2)", hidden=(0,)), given)


def _scales(contents: Contents, name: str, count: int) -> list[float]:
    """Return by what radiances become reflectances, as the scene's metadata says."""
    found = contents.find(re.escape(name) + r"_AnalyticMS.*metadata.*\.xml$")
    try:
        root = ET.fromstring(contents.read(found[0]))
        values = [float(e.text or "") for e in root.iter() if e.tag.endswith("reflectanceCoefficient")]
    except (IndexError, ET.ParseError, ValueError) as error:
        raise InputError(
            f"{contents.path}: no metadata of {name} that says what its numbers mean; add its metadata.xml"
        ) from error
    if len(values) != count:
        raise InputError(f"{contents.gdal(found[0])}: {len(values)} coefficients for {count} bands; fetch it again")
    return values
