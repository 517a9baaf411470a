"""What scenes and labels hold: resolution, bands, classes with their shares, sizes of what is labelled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.outputs.class_raster import ClassRaster
from geoseg.outputs.class_table import made_up_color, read_classes
from geoseg.scenes.labelled import class_texts
from geoseg.scenes.open import open_scene
from geoseg.scenes.polygons import read_layer
from geoseg.scenes.reading import open_raster
from geoseg.scenes.scene import Scene
from geoseg.training.autoconfig.pairs import Pairs
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import is_raster, open_labels
from geoseg.training.targets import UNKNOWN, BuildingTarget, ClassTarget
from geoseg.values.classes import BUILDING_CLASSES, ClassInfo

if TYPE_CHECKING:
    import geopandas as gpd

LOOKED_AT = 12  # scenes whose labels are drawn
COARSE_PX = 2048  # along the longer side
LEAST_PX = 4  # of a connected area on the coarse map that counts as one
MOST_CLASSES = 40
CLASS_COLUMNS = ("class_name", "class", "label", "class_id")
MASKS = ({0, 1}, {0, 255}, {1}, {255})
Target = BuildingTarget | ClassTarget


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What there is to learn from."""

    scenes: tuple[Scene, ...]
    """Those that were opened, in the order of the pairs: all of them."""
    target: Target
    """What labels become."""
    why: str
    """How the target was found."""
    shares: dict[str, float]
    """Of labelled pixels, by class; a class of a table that nowhere occurs has 0."""
    labelled_px: int
    """Scene pixels that have a label, about."""
    object_px: float
    """Median side of a connected area of all classes but the most frequent, in scene pixels."""

    @property
    def gsd_m(self) -> float:
        """Median side of a pixel."""
        return float(median(scene.grid.mean_resolution_m() for scene in self.scenes))

    @property
    def rarest(self) -> float:
        """Share of the rarest class that occurs."""
        return min(share for share in self.shares.values() if share > 0)


def fingerprint(
    folder: Path, pairs: Pairs, *, column: str | None, kind: Literal["buildings", "classes"] | None
) -> Fingerprint:
    """Look at scenes and labels; column, kind: what cannot be seen. Raises InputError and ConfigError."""
    scenes = tuple(open_scene(folder / p.scene) for p in pairs.each)
    labels = [str(folder / p.labels) for p in pairs.each]
    names = [scene.bands.names for scene in scenes]
    if other := [scene for scene, own in zip(scenes, names, strict=True) if own != names[0]]:
        raise ConfigError(
            f"{scenes[0].name} and {other[0].name} have other bands ({', '.join(names[0][:4])} …, and "
            f"{', '.join(other[0].bands.names[:4])} …); name those of one kind with --scenes and --labels"
        )
    target, why = _target(dict.fromkeys(labels), column, kind)
    counts, labelled, sizes = np.zeros(len(target.class_table), np.int64), 0.0, []
    for scene, file in list(zip(scenes, labels, strict=True))[:LOOKED_AT]:
        coarse, times = _coarse(scene, file, target)
        counts += np.bincount(coarse[coarse >= 0], minlength=len(counts))
        labelled += float((coarse >= 0).sum()) * times**2
        sizes += [side * times for side in _sides(coarse)]
    if not counts.any():
        raise InputError(f"{labels[0]}: no labelled pixel lies on the scenes; is it the right file, in the right CRS?")
    if (counts > 0).sum() < 2:
        alone = target.class_table[int(counts.argmax())].name
        raise InputError(f"{labels[0]}: all labels say {alone!r}; a network needs what is not of it to learn from, too")
    shares = {c.name: float(n / counts.sum()) for c, n in zip(target.class_table, counts, strict=True)}
    labelled *= len(scenes) / min(len(scenes), LOOKED_AT)
    return Fingerprint(scenes, target, why, shares, round(labelled), median(sizes) if sizes else 0.0)


def _coarse(scene: Scene, labels: str, target: Target) -> tuple[NDArray[np.int16], float]:
    """Return the class index of every pixel of a coarse map, -1 unknown, and how many scene pixels its side is."""
    times = max(1.0, max(scene.grid.shape) / COARSE_PX)
    grid = scene.grid.resized((max(1, round(scene.grid.height / times)), max(1, round(scene.grid.width / times))))
    raw = open_labels(LabelledScene(scene=scene.files[0], labels=labels, use="train"), target, grid)(grid.box)
    known = raw != UNKNOWN
    index = raw > 0 if isinstance(target, BuildingTarget) else raw % len(target.classes)
    return np.where(known, index, -1).astype(np.int16), times


def _sides(coarse: NDArray[np.int16]) -> list[float]:
    """Return the sides of squares as large as the connected areas of all classes but the most frequent."""
    from scipy.ndimage import label

    counts = np.bincount(coarse[coarse >= 0], minlength=1)
    sides: list[float] = []
    for index in np.flatnonzero(counts):
        if index != counts.argmax():
            areas = np.bincount(label(coarse == index)[0].ravel())[1:]
            sides += np.sqrt(areas[areas >= LEAST_PX]).tolist()
    return sides


def _target(files: dict[str, None], column: str | None, kind: str | None) -> tuple[Target, str]:
    rasters = [file for file in files if is_raster(file)]
    if rasters and len(rasters) < len(files):
        raise ConfigError(f"{rasters[0]}, {next(f for f in files if f not in rasters)}: label all scenes in one way")
    if rasters:
        return _of_rasters(rasters, kind)
    return _of_polygons(list(files), column, kind)


def _of_rasters(files: Sequence[str], kind: str | None) -> tuple[Target, str]:
    found: Counter[int] = Counter()
    table: dict[int, ClassInfo] = {}
    for file in files[:LOOKED_AT]:
        raster = ClassRaster.open(Path(file))
        found.update(raster.present)
        with open_raster(file) as src:
            table |= {c.id: c for c in read_classes(src, 1, [v for v in raster.present if 1 <= v <= 254])}
    values = sorted(v for v in found if v >= 0)
    void = {str(v): None for v in sorted(found) if v < 0}
    if kind == "buildings" or (kind is None and {*values} in MASKS and "build" in Path(files[0]).stem.lower()):
        return BuildingTarget(), "masks of buildings, by their name"
    if {*values} in MASKS[:2]:
        masks = (BUILDING_CLASSES[0], ClassInfo(2, "foreground", (200, 66, 46)))
        return ClassTarget(classes=masks, values={str(values[0]): 1, str(values[1]): 2, **void}), "masks of one thing"
    if len(values) > MOST_CLASSES:
        raise InputError(f"{files[0]}: {len(values)} different values; these are no classes, or name fewer in a config")
    plain = not set(values) - set(range(1, 255))
    ids = {v: v if plain else i for i, v in enumerate(values, 1)}
    known = {v: table.get(v) or ClassInfo(ids[v], f"class {v}", made_up_color(ids[v])) for v in values}
    classes = tuple(ClassInfo(ids[v], c.name, c.color) for v, c in known.items())
    meant = {**{str(v): i for v, i in ids.items()}, **void}
    return ClassTarget(classes=classes, values=meant), f"{len(values)} values of the label rasters"


def _of_polygons(files: Sequence[str], column: str | None, kind: str | None) -> tuple[Target, str]:
    frames = [read_layer(file) for file in files]
    column = None if kind == "buildings" else column or _class_column(frames[0], files[0], kind)
    if column is None:
        return BuildingTarget(), "polygons without a class: footprints"
    texts = sorted(
        {t for frame, file in zip(frames, files, strict=True) for t in class_texts(frame, column, source=file)}
    )
    if not 2 <= len(texts) <= MOST_CLASSES:
        raise InputError(f"{files[0]}: {column} has {len(texts)} different values; 2 to {MOST_CLASSES} are classes")
    classes = tuple(ClassInfo(i, t, made_up_color(i)) for i, t in enumerate(texts, 1))
    values = {t: i for i, t in enumerate(texts, 1)}
    return ClassTarget(column=column, classes=classes, values=values), f"column {column} of the polygons"


def _class_column(frame: "gpd.GeoDataFrame", file: str, kind: str | None) -> str | None:
    """Return the column that holds classes, None where no column looks like one; raises ConfigError where several do.

    Texts come before numbers: a number beside a text that parts the polygons alike is its code.
    """
    few = [
        str(c) for c in frame.columns if c != frame.geometry.name and 2 <= frame[c].nunique() <= max(2, len(frame) // 2)
    ]
    named = [c for c in few if c.lower() in CLASS_COLUMNS]
    texts = [c for c in few if frame[c].dtype.kind not in "iufb"]
    candidates = named[:1] or texts or few
    if not candidates:
        if kind == "classes":
            raise ConfigError(
                f"{file}: no column looks like classes; name it with --column ({', '.join(frame.columns)})"
            )
        return None
    if len(candidates) > 1:
        raise ConfigError(
            f"{file}: which column holds the class? Name it with --column ({', '.join(candidates)}), or say --target "
            f"buildings where all polygons are footprints"
        )
    return candidates[0]
