"""Scenes as bytes: every band between its own percentiles, for methods that count bands alike."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.scenes.reading import read
from geoseg.scenes.sample import sample
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box

TAIL = 0.02  # share of a band's pixels at either end that is as dark, or as bright, as can be


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneAsBytes:
    """A scene, and what of each band becomes 0 and 255; picklable."""

    scene: Scene
    """With the bands that count."""
    range: tuple[tuple[float, float], ...]
    """Of each band, the physical values that become 0 and 255."""

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Take the percentiles of a sample from all over the scene; raises InputError where nothing is valid."""
        found = sample(scene).quantiles(scene, TAIL)
        if found is None:
            raise InputError(f"{scene.name}: no valid pixel was found in a sample of it; see its nodata and masks")
        ends = tuple((float(low), float(high) if high > low else float(low) + 1) for low, _, high in found)
        return cls(scene=scene, range=ends)

    def values(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return physical values (C, h, w) of a box, and which pixels are valid."""
        raster = read(self.scene, box)
        return self.scene.physical(raster.data.astype(np.float32)), raster.valid

    def image(self, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the bands of a box as bytes (C, h, w), and which pixels are valid."""
        values, valid = self.values(box)
        low, high = np.array(self.range, np.float32).T[:, :, None, None]
        values = (values - low) * (255 / (high - low))
        return np.rint(np.clip(np.where(valid, values, 0), 0, 255)).astype(np.uint8), valid
