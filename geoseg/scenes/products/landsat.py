"""Landsat products of Collection 2, folders or tars of level 1 and 2: scales from the MTL file, QA_PIXEL's bits."""

import json
from math import radians, sin
from pathlib import PurePosixPath
from typing import Any

from geoseg.errors import InputError
from geoseg.scenes.products.bands import BandFile, of_bands, with_quality
from geoseg.scenes.products.contents import Contents
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import Quality
from geoseg.values.sensors import PAN, SENSORS

Groups = dict[str, dict[str, str]]
HIDDEN_BITS = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4  # fill, dilated cloud, cloud, cloud shadow


def scenes(contents: Contents, given: Given) -> list[Described]:
    """Return the scenes of Landsat products; raises InputError where their metadata or files are not complete."""
    found = contents.find(r"_MTL\.txt$") or contents.find(r"_MTL\.json$")
    if not found and (quality := contents.find(r"(^|/)L[COTEM]0\d_L\w+_QA_PIXEL\.TIF$")):
        raise InputError(
            f"{contents.path}: {quality[0].replace('QA_PIXEL.TIF', 'MTL.txt')} is missing; fetch the product again, or "
            f"name band files one by one to take their numbers as they are"
        )
    return [_scene(contents, name, given) for name in found]


def _scene(contents: Contents, metadata: str, given: Given) -> Described:
    try:
        groups = _groups(contents.read(metadata).decode("utf-8"), as_json=metadata.lower().endswith("json"))
        files, image = groups["PRODUCT_CONTENTS"], groups["IMAGE_ATTRIBUTES"]
        sensor = image["SPACECRAFT_ID"].lower().replace("_", "-")
        surface = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS")
        scales = surface or groups["LEVEL1_RADIOMETRIC_RESCALING"]
        sun = 1.0 if surface else sin(radians(float(image["SUN_ELEVATION"])))
        bands = _bands(files, scales, sensor, sun)
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{contents.gdal(metadata)}: no metadata of a Landsat product of Collection 2 ({error}); fetch it again"
        ) from error
    folder = PurePosixPath(metadata).parent
    held = contents.held([str(folder / file) for _, file, _, _ in bands])
    what = "surface reflectance" if surface else "reflectance above the atmosphere"
    note = f"{contents.path}: {sensor}, {what}, with the scales of its MTL file"
    made = [BandFile(name, file, *numbers) for (name, _, *numbers), file in zip(bands, held, strict=True)]
    scene = of_bands(made, given, sensor=sensor, note=note)
    if given.mask_quality:
        quality = contents.held([str(folder / files.get("FILE_NAME_QUALITY_L1_PIXEL", "QA_PIXEL"))])[0]
        scene = with_quality(scene, Quality(quality, why="clouds and shadows (QA_PIXEL)", bits=HIDDEN_BITS), given)
    clouds = image.get("CLOUD_COVER")
    return Described.dated(scene, image.get("DATE_ACQUIRED"), None if clouds is None else float(clouds))


def _bands(
    files: dict[str, str], scales: dict[str, str], sensor: str, sun: float
) -> list[tuple[str, str, float, float]]:
    """Return name, file, scale and offset of the bands that measure reflectance, without the panchromatic one."""
    plain = [name for name, band in SENSORS[sensor].items() if PAN not in band.aliases]
    return [
        (
            name,
            files[f"FILE_NAME_BAND_{name[1:]}"],
            float(scales[f"REFLECTANCE_MULT_BAND_{name[1:]}"]) / sun,
            float(scales[f"REFLECTANCE_ADD_BAND_{name[1:]}"]) / sun,
        )
        for name in plain
        if f"REFLECTANCE_MULT_BAND_{name[1:]}" in scales and f"FILE_NAME_BAND_{name[1:]}" in files
    ]


def _groups(text: str, *, as_json: bool) -> Groups:
    if as_json:
        content: dict[str, Any] = json.loads(text)["LANDSAT_METADATA_FILE"]
        return {name: {k: str(v) for k, v in group.items()} for name, group in content.items()}
    groups: Groups = {}
    inside: list[str] = []
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP":
            inside.pop()
        elif inside and value:
            groups.setdefault(inside[-1], {})[key] = value.strip('"')
    return groups
