"""The two sides of an evaluation: what was predicted and what is right, and the classes that their values stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd

from geoseg.disk.places import holds_vectors
from geoseg.errors import ConfigError, InputError
from geoseg.options.evaluate import NoNodata
from geoseg.outputs.class_raster import ClassRaster
from geoseg.outputs.class_table import made_up_color
from geoseg.outputs.geopackage import instances
from geoseg.outputs.geopackage.footprints import LAYER
from geoseg.outputs.run_json import finished_run
from geoseg.scenes.labelled import class_text, class_texts
from geoseg.scenes.polygons import read_layer, read_polygons, split_layer
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo, ClassMap
from geoseg.values.grid import Grid

BUILDINGS = ClassMap(BUILDING_CLASSES)
BACKGROUND, BUILDING = (c.id for c in BUILDING_CLASSES)
_WAYS = "Say with --nodata N which one means unknown"


@dataclass(frozen=True, slots=True)
class Layer:
    """Polygons of a file; name: of the layer, None for the only one, or for that which ``source`` names."""

    source: str
    name: str | None = None

    def read(self, grid: Grid) -> gpd.GeoDataFrame:
        """Read them in the CRS of ``grid``."""
        return read_polygons(self.source, layer=self.name, grid=grid)

    def class_texts(self, frame: gpd.GeoDataFrame, column: str) -> list[str]:
        """Return what ``column`` says of each of them; raises ConfigError and InputError."""
        return class_texts(frame, column, source=self.source)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is judged: a class raster, polygons, or both.

    ids: class by value of the raster; classes: the raster's table, or that of the polygons' ``column``; column: None
    where all polygons are of one class.
    """

    raster: ClassRaster | None
    polygons: Layer | None
    classes: ClassMap
    ids: Mapping[int, int] = field(default_factory=dict)
    column: str | None = None
    things: tuple[int, ...] = ()
    """Ids of the classes whose objects the polygons are, in a panoptic map."""

    @classmethod
    def find(cls, path: str | Path, *, nodata: float | NoNodata | None = None) -> "Prediction":
        """Take a run's output folder, a class raster or a vector file; raises InputError for anything else.

        nodata: of a raster, instead of what the file says.
        """
        folder = Path(path)
        if folder.is_dir():
            run = finished_run(folder)
            if not len(run.classes):
                files = ", ".join(run.files)
                raise InputError(f"{folder}: {files} hold no classes; --numbers compares rasters of numbers")
            raster = ClassRaster.open(folder / run.class_file)
            ids = _own_ids(raster, run.classes)
            if run.instances is not None:
                things = tuple(run.classes.by_name(name).id for name in run.facts["instances"]["of"])
                objects = Layer(str(folder / run.instances), instances.LAYER)
                return cls(raster, objects, run.classes, ids, "class_name", things)
            polygons = None if run.polygons is None else Layer(str(folder / run.polygons), LAYER)
            return cls(raster, polygons, run.classes, ids)
        file, _ = split_layer(path)
        if not file.exists():
            raise InputError(f"{file}: no such file")
        if is_vector(path):
            return cls(None, Layer(str(path)), BUILDINGS)
        raster = ClassRaster.open(file, nodata=nodata)
        classes = class_table(raster)
        return cls(raster, None, classes, _own_ids(raster, classes))

    def by_class(self, truth: "Truth") -> "Prediction":
        """Return the same with a class of each polygon, where it is polygons alone and both sides have truth's column.

        The table holds background, and every class that a side names.
        """
        column = truth.column
        if self.raster is not None or self.polygons is None or truth.polygons is None or column is None:
            return self
        frame = read_layer(self.polygons.source, layer=self.polygons.name)
        if column not in frame:
            return self
        right = truth.polygons.class_texts(read_layer(truth.polygons.source, layer=truth.polygons.name), column)
        named = {*self.polygons.class_texts(frame, column), *(truth.values.get(text, text) for text in right)}
        first = BUILDING_CLASSES[0]
        others = [
            ClassInfo(i, name, made_up_color(i)) for i, name in enumerate(sorted(named - {first.name, "nodata"}), 2)
        ]
        return replace(self, classes=ClassMap((first, *others)), column=column)


def class_table(raster: ClassRaster) -> ClassMap:
    """Return the classes of a raster: those of its CLASS_n tags where geoseg wrote it, else the values in it.

    Values 0 and 1, or 0 and 255, are a mask of buildings. Raises InputError where a value is no class, or where there
    are less than two: nothing could be mistaken for anything.
    """
    if raster.names:
        return _tagged(raster)
    if raster.is_mask:
        return BUILDINGS
    if len(raster.present) < 2:
        held = f"{raster.present[0]} alone" if raster.present else "nothing"
        raise InputError(
            f"{raster.path}: holds {held} beside its nodata {raster.nodata}; one class can only agree. "
            f"If its nodata is the background, pass --nodata none"
        )
    stray = [v for v in raster.present if v not in {c.id for c in raster.classes}]
    if stray:
        raise InputError(f"{raster.path}: holds {_some(stray)}; classes are 1..254. {_WAYS}")
    return ClassMap(raster.classes)


def _tagged(raster: ClassRaster) -> ClassMap:
    """Return the classes that the tags of a raster name; raises InputError where they are no class table."""
    try:
        return ClassMap(raster.classes)
    except ConfigError as error:
        raise InputError(f"{raster.path}: its CLASS_n tags name no classes ({error}); mend them (gdal_edit)") from error


def _own_ids(raster: ClassRaster, classes: ClassMap) -> dict[int, int]:
    """Return the class of every value of a raster in its own table; raises InputError for one that is not in it."""
    if raster.is_mask and not raster.names:
        return mask_ids(raster)
    stray = sorted({*raster.present} - {c.id for c in classes})
    if stray:
        raise InputError(
            f"{raster.path}: holds {_some(stray)}, which its class table ({listed(classes)}) does not have"
        )
    return {value: value for value in raster.present}


def mask_ids(raster: ClassRaster) -> dict[int, int]:
    """Return building or background for the values of a mask."""
    return {value: BUILDING if value else BACKGROUND for value in raster.present}


def _some(values: list[int]) -> str:
    return ", ".join(map(str, values[:5])) + (", …" if len(values) > 5 else "")


def listed(classes: ClassMap) -> str:
    """Return ids and names, for messages."""
    return ", ".join(f"{c.id} {c.name}" for c in classes)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is right: a class raster, or polygons; column: of their class; values: class or nodata by value."""

    path: str
    raster: ClassRaster | None
    polygons: Layer | None
    column: str | None
    values: Mapping[str, str]

    @classmethod
    def find(
        cls,
        path: str | Path,
        *,
        layer: str | None,
        column: str | None,
        values: Mapping[str, str],
        nodata: float | NoNodata | None,
        beside: Grid | None,
    ) -> "Truth":
        """Take a class raster or a vector file; beside: the prediction's grid. Raises InputError and ConfigError."""
        file, _ = split_layer(path)
        if not file.exists():
            raise InputError(f"{file}: no such file")
        named = {class_text(value): name for value, name in values.items()}
        if is_vector(path):
            return cls(str(path), None, Layer(str(path), layer), column, named)
        if layer is not None or column is not None:
            raise ConfigError(f"{path}: a raster has neither layer nor column; --layer and --column are for polygons")
        return cls(str(path), ClassRaster.open(file, nodata=nodata, beside=beside), None, None, named)


def is_vector(path: str | Path) -> bool:
    """Whether a file holds polygons, by its name or, of a VRT, its first element."""
    file = split_layer(path)[0]
    return holds_vectors(file) or file.suffix.lower() == ".zip"
