"""annotations: the objects of a finished run as COCO files: instance masks, a panoptic picture, and where it lies."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
from rasterio.shutil import copy

from geoseg.disk.files import atomic, write_errors
from geoseg.disk.places import refuse_file
from geoseg.errors import InputError
from geoseg.outputs.coco import (
    FILES,
    IMAGE_ID,
    INSTANCES,
    PANOPTIC,
    PICTURE,
    PLACE,
    Extents,
    IdBlock,
    category,
    masks,
    refuse_for_coco,
    rgb,
)
from geoseg.outputs.geopackage.instances import LAYER
from geoseg.outputs.run_json import finished_run
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.vectors import OGR_ERRORS
from geoseg.values.box import Box
from geoseg.values.layers import FIRST_OBJECT

SIDE_PX = 1024  # of a block that is read at once
COLUMNS = ["segment_id", "class_id", "score", "area_m2", "pixels"]
PLAIN = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "rgb", "compress": "deflate", "tiled": True}
HERE = "HERE"


def annotations(source: str | Path, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write the objects of a finished run as COCO's files of one image, the scene, and return these.

    Raises InputError where ``source`` holds no finished run that tells objects apart, or its raster and table differ;
    ConfigError for ids and sizes that COCO's files cannot hold; and OutputError.
    """
    run_folder, out = Path(source), Path(folder)
    run = finished_run(run_folder)
    if run.instances is None:
        raise InputError(f"{run_folder}: tells no objects apart; run a model of the task panoptic or objects")
    for name in FILES:
        refuse_file(out / name, overwrite=overwrite, inputs=[])
    raster = run_folder / run.facts["instances"]["raster"]
    table, extents = _read(raster, run_folder / run.instances, run.grid.shape)
    things = {run.classes.by_name(name).id for name in run.facts["instances"]["of"]}
    image = Path(run.facts["input"][0]).name
    height, width = run.grid.shape
    made_by = {key: run.facts[key] for key in ("software", "version", "model", "input")}
    frame = {"info": made_by, "images": [{"id": IMAGE_ID, "file_name": image, "height": height, "width": width}]}
    categories = [category(c, thing=c.id in things) for c in run.classes]

    def instances() -> Iterator[dict[str, Any]]:
        for value, mask in masks(_blocks(raster), extents, run.grid.shape):
            i = np.searchsorted(table["segment_id"], value)
            score, area_m2 = (round(float(table[name][i]), 4) for name in ("score", "area_m2"))
            segment = extents.segment(value, int(table["class_id"][i]))
            yield {**segment, "image_id": IMAGE_ID, "segmentation": mask, "score": score, "area_m2": area_m2}

    def segments() -> Iterator[dict[str, Any]]:
        yield from (extents.segment(c.id, c.id) for c in run.classes if extents.pixels[c.id])
        for value, class_id in zip(table["segment_id"], table["class_id"], strict=True):
            yield extents.segment(int(value), int(class_id))

    out.mkdir(parents=True, exist_ok=True)
    with atomic(out / INSTANCES, beside=[out / name for name in (PANOPTIC, PICTURE, PLACE)]) as temporary:
        of_things = [c for c in categories if c["isthing"]]
        _write(temporary, {**frame, "categories": of_things, "annotations": [HERE]}, instances())
        whole = {"image_id": IMAGE_ID, "file_name": PICTURE, "segments_info": [HERE]}
        panoptic = {**frame, "categories": categories, "annotations": [whole]}
        _write(temporary.with_name(PANOPTIC), panoptic, segments())
        _write_picture(temporary.with_name(PICTURE), raster)
        place = {"image": image, **run.facts["grid"]}
        temporary.with_name(PLACE).write_text(json.dumps({**place, **made_by}, indent=1) + "\n", encoding="utf-8")
    return [out / name for name in FILES]


def _read(raster: Path, file: Path, shape: tuple[int, int]) -> tuple[dict[str, Any], Extents]:
    """Return the columns of the table of objects, and what the raster has of each id."""
    try:
        _, _, _, columns = pyogrio.raw.read(file, layer=LAYER, columns=COLUMNS, read_geometry=False)
        table = dict(zip(COLUMNS, columns, strict=True))
        ids = table["segment_id"]
        largest = int(ids.max(initial=FIRST_OBJECT - 1))
        refuse_for_coco(shape, largest)
        extents = Extents.of(_blocks(raster), shape[0], largest)
    except (*write_errors(), *OGR_ERRORS, IndexError) as error:
        raise InputError(f"{file.parent}: an output cannot be read ({error}); geoseg check tells which") from error
    there = np.flatnonzero(extents.pixels[FIRST_OBJECT:]) + FIRST_OBJECT
    if not (np.array_equal(ids, there) and np.array_equal(table["pixels"], extents.pixels[ids])):
        raise InputError(f"{file.parent}: {raster.name} and {file.name} hold other objects; geoseg check tells which")
    return table, extents


def _blocks(raster: Path) -> Iterator[IdBlock]:
    """Yield the ids of a raster in blocks, row by row."""
    with rasterio.open(raster) as src:
        for box in Box(0, 0, *src.shape).blocks(SIDE_PX):
            yield box, src.read(1, window=raster_window(box))


def _write(path: Path, frame: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> None:
    """Write ``frame`` as JSON, with the items where its last text is HERE."""
    head, tail = json.dumps(frame).rsplit(f'"{HERE}"', 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        for i, item in enumerate(items):
            file.write((",\n" if i else "\n") + json.dumps(item))
        file.write(tail + "\n")


def _write_picture(path: Path, raster: Path) -> None:
    """Write COCO's panoptic PNG; GDAL copies it from a GeoTIFF row by row."""
    plain = path.with_suffix(".tif")
    with rasterio.open(raster) as src:
        shape = {"height": src.height, "width": src.width, "transform": src.transform}
    with rasterio.open(plain, "w", **PLAIN, **shape, bigtiff="IF_SAFER") as dst:
        for box, ids in _blocks(raster):
            dst.write(rgb(ids), window=raster_window(box))
    copy(plain, path, driver="PNG")
