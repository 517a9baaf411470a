"""Sentinel-2 products, SAFE folders or zips of level 1C and 2A: what numbers mean is read from the metadata.

Sentinel-1 is not here: its products lie by control points, see ``warped``, until they are terrain corrected.
"""

import re
import xml.etree.ElementTree as ET
from pathlib import PurePosixPath

from geoseg.errors import InputError
from geoseg.scenes.products.bands import BandFile, of_bands, with_quality
from geoseg.scenes.products.contents import Contents
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import Quality

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")  # by band_id
BAND = re.compile(r"_(B\d[\dA])(?:_(\d\d)m)?$")
CLEAR = (4, 5, 6, 7, 11)  # vegetation, bare, water, unclassified, snow
HIDDEN = tuple(value for value in range(12) if value not in CLEAR)  # defects, dark, shadow, cloud, cirrus


def scenes(contents: Contents, given: Given) -> list[Described]:
    """Return the scene of a SAFE; raises InputError where its metadata or files are not what they should be."""
    found = contents.find(r"(^|/)MTD_MSIL(1C|2A)\.xml$")
    if not found and contents.find(r"(^|/)IMG_DATA/(R\d0m/)?[^/]*_B\d[\dA](_\d0m)?\.jp2$"):
        raise InputError(f"{contents.path}: MTD_MSIL2A.xml or MTD_MSIL1C.xml is missing; fetch the product again")
    return [_scene(contents, name, given) for name in found]


def _scene(contents: Contents, metadata: str, given: Given) -> Described:
    level = "2A" if "2A" in PurePosixPath(metadata).name else "1C"
    try:
        root = ET.fromstring(contents.read(metadata))
        kind = "BOA" if level == "2A" else "RADIO"
        quantity = float(_texts(root, "BOA_QUANTIFICATION_VALUE" if level == "2A" else "QUANTIFICATION_VALUE")[0])
        offsets = {int(e.attrib["band_id"]): float(e.text or 0) for e in _all(root, f"{kind}_ADD_OFFSET")}
        baseline = (_texts(root, "PROCESSING_BASELINE") or ["?"])[0]
    except (ET.ParseError, IndexError, KeyError, ValueError) as error:
        raise InputError(f"{contents.gdal(metadata)}: no metadata of Sentinel-2 ({error}); fetch it again") from error
    images = _texts(root, "IMAGE_FILE")
    finest = _finest(images)
    folder = PurePosixPath(metadata).parent
    files = contents.held([str(folder / f"{image}.jp2") for image in finest.values()])
    bands = [
        BandFile(name, file, 1 / quantity, offsets.get(BANDS.index(name), 0.0) / quantity)
        for name, file in zip(finest, files, strict=True)
    ]
    told = ", ".join(f"{offset:g}" for offset in sorted(set(offsets.values()))) or "0"
    note = (
        f"{contents.path}: Sentinel-2, level {level}, baseline {baseline}: reflectance is (value + {told}) / "
        f"{quantity:g}, as its metadata says"
    )
    scene = of_bands(bands, given, sensor="sentinel-2", note=note)
    classes = [str(folder / f"{image}.jp2") for image in images if image.endswith("_SCL_20m")]
    if given.mask_quality and not classes:
        raise InputError(f"{contents.path}: level {level} has no scene classification; leave --mask-quality out")
    if given.mask_quality:
        quality = Quality(contents.held(classes)[0], why="clouds, shadows and defects (SCL)", hidden=HIDDEN)
        scene = with_quality(scene, quality, given)
    clouds, date = _texts(root, "Cloud_Coverage_Assessment"), _texts(root, "PRODUCT_START_TIME")
    return Described.dated(scene, date[0] if date else None, float(clouds[0]) if clouds else None)


def _finest(images: list[str]) -> dict[str, str]:
    """Return the file of each band in the finest resolution that it has."""
    found: dict[str, tuple[int, str]] = {}
    for image in images:
        if (match := BAND.search(image)) is not None:
            found[match[1]] = min(found.get(match[1], (999, image)), (int(match[2] or 0), image))
    if not found:
        raise InputError("a Sentinel-2 product whose metadata lists no bands; fetch it again")
    return {name: found[name][1] for name in BANDS if name in found}


def _all(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if e.tag.rpartition("}")[2] == name]


def _texts(root: ET.Element, name: str) -> list[str]:
    return [(e.text or "").strip() for e in _all(root, name)]
