"""Imagery as people look at it: three bands of a scene, or one, on any grid. Pictures only; no run reads it."""

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.grid import Grid

Shown = tuple[NDArray[np.float32], NDArray[np.bool_]]  # bands (C, H, W), and where they are known


def colors_of(scene: Scene) -> list[int]:
    """Return the places of red, green and blue among a scene's bands; else of its first three, or its first."""
    names = [name.removesuffix("@1") for name in scene.bands.names]
    colors = [names.index(c) for c in ("red", "green", "blue") if c in names]
    return colors if len(colors) == 3 else list(range(3 if len(names) >= 3 else 1))


def shown(scene: Scene, grid: Grid) -> Shown:
    """Return the red, green and blue of a scene on a grid, bilinear; else its first three bands, or its first.

    Nothing is known where the scene does not reach. Raises InputError where its blocks cannot be decoded.
    """
    chosen = colors_of(scene)
    out, weight = np.zeros((len(chosen), *grid.shape), np.float32), np.zeros(grid.shape, np.float32)
    box = _box_of(grid, scene.grid)
    if box is None:
        return out, weight > 0
    part = read(scene, box)
    source = {"src_crs": scene.grid.crs, "src_transform": part.grid.transform}
    target = {"dst_crs": grid.crs, "dst_transform": grid.transform, "resampling": Resampling.bilinear}
    for layer, i in zip(out, chosen, strict=True):
        reproject(np.where(part.valid, part.data[i], 0).astype(np.float32), layer, **source, **target)
    reproject(part.valid.astype(np.float32), weight, **source, **target)
    known = weight > 0.5
    return np.where(known, out / np.maximum(weight, 0.5), 0).astype(np.float32), known


def _box_of(grid: Grid, scene: Grid) -> Box | None:
    """Return the scene's pixels under a grid, and two around them; None where they share no ground."""
    left, bottom, right, top = transform_bounds(grid.crs, scene.crs, *grid.bounds)
    corners = [~scene.transform @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    cols, rows = ([corner[axis] for corner in corners] for axis in (0, 1))
    around = Box(int(min(rows)) - 2, int(min(cols)) - 2, int(max(rows)) + 3, int(max(cols)) + 3)
    return around.clip(scene.box)
