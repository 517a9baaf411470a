"""What prediction and truth say of the judged ground, as ids of one class table."""

import logging

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate.ground import Ground
from geoseg.jobs.evaluate.sides import BACKGROUND, BUILDING, BUILDINGS, Prediction, Truth, listed, mask_ids
from geoseg.scenes.labelled import burn
from geoseg.values.classes import NODATA, ClassMap
from geoseg.values.grid import Grid

log = logging.getLogger(__name__)
CLASS_COLUMNS = ("class_id", "class_name", "class")


def true_ids(
    truth: Truth, ground: Ground, classes: ClassMap, *, fill: bool = False
) -> tuple[NDArray[np.uint8], ClassMap, gpd.GeoDataFrame | None]:
    """Return the true class ids on the ground, the table they are of, and the polygons of classes that say so.

    fill: the first class lies between polygons.
    """
    if truth.raster is not None:
        if truth.raster.is_mask and not (truth.raster.names or truth.values) and _binary(classes):
            return ground.read(truth.raster, mask_ids(truth.raster)), BUILDINGS, None
        return ground.read(truth.raster, _raster_ids(truth, classes)), classes, None
    assert truth.polygons is not None
    frame = ground.polygons(truth.polygons)
    if invalid := int((~shapely.is_valid(frame.geometry.values)).sum()):
        log.warning(
            "%s: %d of %d polygons are invalid, rings that cross themselves mostly; as pixels they are filled by the "
            "even-odd rule, as objects they are repaired (make_valid): see to them (ogr2ogr -makevalid)",
            *(truth.path, invalid, len(frame)),
        )
    column = class_column(truth, frame, classes)
    if column is None:
        return ground.buildings(truth.polygons), BUILDINGS, None
    texts = truth.polygons.class_texts(frame, column)
    ids = ids_of_names(truth, classes)
    unknown = sorted(set(texts) - set(ids))
    if unknown:
        raise InputError(
            f"{truth.path}: {column} = {', '.join(unknown)} is neither name nor id of a class ({', '.join(ids)}); "
            f"say what it means with --values, e.g. {unknown[0]}={classes.classes[-1].name}"
        )
    values = [ids[text] for text in texts]
    first, last = classes.classes[0].id, classes.max_id
    alone = len(classes) == 2 and {*values} - {NODATA} == {last}  # polygons of one class alone: it could only agree
    return _painted(frame, values, ground.grid, below=first if alone or fill else NODATA), classes, frame


def class_column(truth: Truth, frame: gpd.GeoDataFrame, classes: ClassMap) -> str | None:
    """Return the column of the truth's polygons that holds the class, None where all are buildings."""
    if truth.column is not None or _binary(classes):
        return truth.column
    column = next((c for c in CLASS_COLUMNS if c in frame.columns), None)
    if column is None:
        raise ConfigError(
            f"{truth.path}: name the column that holds the class with --column ({', '.join(frame.columns)})"
        )
    return column


def _painted(frame: gpd.GeoDataFrame, values: list[int], grid: Grid, *, below: int) -> NDArray[np.uint8]:
    """Return the ids of polygons on a grid, (H, W), and ``below`` between them."""
    whole = shapely.box(*grid.bounds)
    return burn([whole, *frame.geometry], [below, *values], grid).astype(np.uint8)


def ids_of_names(truth: Truth, classes: ClassMap) -> dict[str, int]:
    """Return the class id of every text that names one: ids, names, and what ``values`` adds; raises ConfigError."""
    ids = {str(c.id): c.id for c in classes} | {c.name: c.id for c in classes}
    known = {**ids, "nodata": NODATA}
    odd = [name for name in truth.values.values() if name not in known]
    if odd:
        raise ConfigError(f"--values: no class {odd[0]!r}; there are {listed(classes)}, and nodata")
    return ids | {value: known[name] for value, name in truth.values.items()}


def _raster_ids(truth: Truth, classes: ClassMap) -> dict[int, int]:
    """Return the class of every value of the truth's raster; raises InputError where a value has none, or may have two.

    A value means what ``values`` says, else the class that both files call by one name, else the class of that id.
    """
    raster, known = truth.raster, ids_of_names(truth, classes)
    assert raster is not None
    both_named = raster.names and not all(c.name == f"class {c.id}" for c in classes)
    names = raster.names if both_named else {}
    found = {v: known.get(str(v) if str(v) in truth.values else names.get(v, str(v))) for v in raster.present}
    stray = [v for v, class_id in found.items() if class_id is None]
    if stray:
        called = ", ".join(f"{v} {names[v]}" if v in names else str(v) for v in stray[:5])
        raise InputError(
            f"{raster.path}: holds {called}; the prediction's classes are {listed(classes)}. Say with --values what "
            f"it means, e.g. {stray[0]}={classes.classes[0].name} or {stray[0]}=nodata"
        )
    if len(raster.present) == 1 and not raster.names and not truth.values and len(classes) == 2:
        raise InputError(
            f"{raster.path}: holds {raster.present[0]} alone beside nodata {raster.nodata}; say which class it is with "
            f"--values {raster.present[0]}=NAME, or pass --nodata none where its nodata is the background"
        )
    return {v: class_id for v, class_id in found.items() if class_id is not None}


def _binary(classes: ClassMap) -> bool:
    """Whether footprints without a class can be judged: some class is the building."""
    return len(classes) == 2 or any(c.name == "building" for c in classes)


def predicted_ids(found: Prediction, ground: Ground, *, binary: bool) -> NDArray[np.uint8]:
    """Return the class ids of the prediction on the ground; binary: building or background."""
    if found.raster is None:
        assert found.polygons is not None
        if found.column is None:
            return ground.buildings(found.polygons)
        frame = ground.polygons(found.polygons)
        ids = [found.classes.by_name(text).id for text in found.polygons.class_texts(frame, found.column)]
        return _painted(frame, ids, ground.grid, below=found.classes.classes[0].id)
    values = ground.read(found.raster, found.ids)
    if not binary:
        return values
    named = [c.id for c in found.classes if c.name == "building"]
    target = named[0] if named else found.classes.max_id
    return np.where(values == NODATA, NODATA, np.where(values == target, BUILDING, BACKGROUND)).astype(np.uint8)
