"""Oracle: objects of known shapes, and a detector that is never wrong: each must come back as it was drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.models.architectures import build_network
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.detecting import Detecting
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.outputs.check import Finding
from geoseg.scenes.open import open_scene
from geoseg.scenes.scene import Scene
from geoseg.values.bands import Band
from geoseg.values.classes import ClassInfo
from geoseg.values.grid import Grid
from geoseg.values.layers import FIRST_OBJECT

NAME = "oracle"
SIDES = (700, 300, 130, 70)  # of the largest objects, in pixels; others are of 8 to 40
PX_EACH, MOST = 2500, 1500  # pixels of the scene for each object that is tried, and how many are at most
WINDOWS = ("window_px", "margin_px", "ramp_px", "multiple_px")  # keys of a bundle
THINGS = ("even", "odd")
CLASSES = (
    ClassInfo(1, "ground", (233, 229, 220)), ClassInfo(2, "even", (200, 66, 46)), ClassInfo(3, "odd", (60, 160, 80)),
)  # fmt: skip


def numbered(shape: tuple[int, int], *, whole_px: int) -> NDArray[np.uint16]:
    """Return the numbers of discs and bars, 0 for none, (H, W); they may touch.

    Nothing touches objects larger than ``whole_px``, which windows see in pieces: those of two that touch may be one.
    """
    rng, ids, taken = np.random.default_rng(0), np.zeros(shape, np.uint16), np.zeros(shape, np.bool_)
    small = rng.integers(4, 21, min(shape[0] * shape[1] // PX_EACH, MOST))
    for r in [*(side // 2 for side in SIDES if side <= min(shape)), *small.tolist()]:
        row, col, kind = (int(rng.integers(n)) for n in (*shape, 2))
        top, left = max(row - r - 1, 0), max(col - r - 1, 0)
        here = slice(top, row + r + 2), slice(left, col + r + 2)
        y, x = np.ogrid[top - row : top - row + ids[here].shape[0], left - col : left - col + ids[here].shape[1]]
        own = y**2 + x**2 <= r * r if kind else (abs(y) <= r) & (abs(x) <= max(r // 6, 3))
        if not (taken[here] & own).any():
            ids[here][own] = ids.max() + 1
            taken[here] |= own if 2 * r < whole_px else ndimage.binary_dilation(own, np.ones((3, 3)))
    return ids


def write_detector(folder: Path, rules: Detecting, **windows: int) -> ModelBundle:
    """Write the bundle of a detector that knows the numbered objects of a scene; windows: see ``WINDOWS``."""
    arch = Architecture(name="probe-objects")
    spec = ModelSpec(
        name=NAME,
        task="objects",
        arch=arch,
        bands=(Band("number"),),
        gsd_m=None,
        normalisation=Normalisation(mean=(0.0,), std=(1.0,)),
        outputs=(),
        classes=CLASSES,
        objects=rules,
        **windows,
    )
    return save_model(folder, build_network(arch, in_channels=1, out_channels=len(spec.things)), spec=spec)


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """A scene of numbered objects, and the detector that knows them."""

    scene: Scene
    """As large as the one that is verified, and where it is."""
    ids: NDArray[np.uint16]
    """The numbers of its objects, 0 for none, (H, W)."""
    model: str
    """The folder of the detector's bundle."""

    @classmethod
    def write(cls, folder: Path, grid: Grid, spec: ModelSpec) -> Self:
        """Write both into ``folder``, with the windows of the detector of ``spec`` and its rules of one object."""
        assert spec.objects is not None  # it is one of objects
        rules = spec.objects.model_copy(update={"things": THINGS, "per_window": 2000, "min_px": 1})
        ids = numbered(grid.shape, whole_px=2 * spec.margin_px + spec.ramp_px - 2 * rules.edge_px)
        path, (height, width) = folder / f"{NAME}.tif", grid.shape
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": height, "width": width}
        with rasterio.open(path, "w", **profile, crs=grid.written_crs, transform=grid.transform) as dst:
            dst.write(ids, 1)
        own = write_detector(folder / NAME, rules, **{key: getattr(spec, key) for key in WINDOWS})
        return cls(open_scene(path, no_crs=not grid.has_place), ids, own.path)

    def judged(self, out: Path, way: str) -> Finding:
        """Return whether panoptic.tif in ``out`` has every object pixel for pixel, and no other."""
        with rasterio.open(out / "panoptic.tif") as src:
            found = src.read(1).astype(np.int64)
        pairs, first = np.unique(self.ids.astype(np.int64) << 32 | found, return_index=True)
        drawn, seen = pairs >> 32, pairs & (2**32 - 1)
        alone = (np.bincount(drawn)[drawn] == 1) & (np.bincount(seen)[seen] == 1)
        right = np.where(drawn > 0, alone & (seen >= FIRST_OBJECT), seen == CLASSES[0].id)
        name, count = f"{NAME}: {way} gives every object back", int(self.ids.max())
        if right.all():
            return Finding(name, True, f"{count} objects")
        row, col = divmod(int(first[~right].min()), found.shape[1])
        wrong = len(np.unique(drawn[~right & (drawn > 0)]))
        return Finding(
            name, False, f"{wrong} of {count} objects differ from those drawn, first at row {row}, column {col}"
        )
