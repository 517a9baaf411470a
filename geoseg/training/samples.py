"""Labelled scenes to pixels in memory, area by area, at the model's resolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.tiling.resample import Resampling, resample_valid
from geoseg.tiling.taps import Taps, source_box
from geoseg.training.augment import AreaPixels
from geoseg.training.labels import IGNORE, crop, label_raster
from geoseg.training.spec import TrainSpec
from geoseg.training.split import Area, Role, split_scene
from geoseg.values.bands import BandSet
from geoseg.values.box import Box


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The areas of all scenes, by role."""

    train: tuple[AreaPixels, ...]
    validation: tuple[AreaPixels, ...]

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (mean, std) per band over the valid training pixels."""
        values = [area.image[:, area.valid] for area in self.train]
        count = sum(v.shape[1] for v in values)
        if count == 0:
            raise ConfigError("the training areas hold no valid pixel; see nodata, masks and the split")
        mean = sum(v.sum(1, dtype=np.float64) for v in values) / count
        square = sum(((v - mean[:, None]) ** 2).sum(1, dtype=np.float64) for v in values) / count
        return mean.astype(np.float32), np.maximum(np.sqrt(square), 1e-6).astype(np.float32)


def load_samples(spec: TrainSpec) -> Samples:
    """Read the training and validation areas of every scene; test areas are left unread.

    Raises ConfigError where no training area holds a label.
    """
    bands = BandSet.parse(spec.bands, sensor=spec.sensor)
    found: dict[Role, list[AreaPixels]] = {"train": [], "validation": [], "test": []}
    for item in spec.data:
        source = [item.scene] if isinstance(item.scene, str) else list(item.scene)
        scene = open_scene(source, bands=item.bands, sensor=item.sensor, nodata=item.nodata).select(bands)
        resampling = Resampling.to_resolution(scene.grid, spec.gsd_m)
        labels = label_raster(item, spec.target, scene.grid.resized(resampling.working_shape))
        for area in split_scene(scene.grid.shape, spec.split):
            if area.role != "test":
                found[area.role].append(area_pixels(scene, resampling, working_box(area, resampling), labels))
    for role in ("train", "validation"):
        if not any((a.labels != IGNORE).any() for a in found[role]):
            raise ConfigError(f"the {role} areas hold no label; move the split or add labels")
    return Samples(_labelled(found["train"]), _labelled(found["validation"]))


def _labelled(areas: Sequence[AreaPixels]) -> tuple[AreaPixels, ...]:
    return tuple(a for a in areas if (a.labels != IGNORE).any())


def working_box(area: Area, resampling: Resampling) -> Box:
    """Return the working pixels that are made of an area's scene pixels alone; raises ConfigError where there are none.

    Found from the taps themselves: a bilinear pixel that lies inside an area may still mix in one beside it.
    """
    rows, cols = resampling.to_working(Box(0, 0, *resampling.working_shape))
    row0, row1 = _made_of(rows, area.box.row0, area.box.row1)
    col0, col1 = _made_of(cols, area.box.col0, area.box.col1)
    if row0 >= row1 or col0 >= col1:
        raise ConfigError(f"split: the {area.role} area {area.box} is smaller than a pixel of the model; cut it wider")
    return Box(row0, col0, row1, col1)


def _made_of(taps: Taps, lo: int, hi: int) -> tuple[int, int]:
    """Return the range of target pixels whose taps all lie in source pixels [lo, hi)."""
    index = np.where(taps.weight > 0, taps.index + taps.source[0], taps.index[:, :1] + taps.source[0])
    found = np.flatnonzero((index >= lo).all(1) & (index < hi).all(1))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)


def area_pixels(scene: Scene, resampling: Resampling, box: Box, labels: NDArray[np.uint8]) -> AreaPixels:
    """Read the working pixels of ``box``, as a run would, with their labels; ``labels`` covers the working grid."""
    taps = resampling.to_working(box)
    raster = read(scene, source_box(taps))
    image, valid = resample_valid(raster.data, raster.valid, taps)
    image = scene.physical(image)
    own = np.where(valid, crop(labels, box), IGNORE).astype(np.uint8)
    return AreaPixels(np.where(valid, image, np.float32(0)), valid, own)
