"""Probe models made to measure of a model and a scene, and the answer that a run of each must give."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.models.architectures import build_network
from geoseg.models.architectures.probes import COL_SHARE, CONSTANT, ROW_SHARE, band_shares
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.scenes.scene import Scene
from geoseg.tasks.semantic import probability_of
from geoseg.tiling.axis import Axis
from geoseg.tiling.ramp import RAMP_ONE
from geoseg.tiling.windows import WindowGrid
from geoseg.values.classes import ClassInfo
from geoseg.values.raster import Raster

STEP = 4e-6  # of the integers that probabilities are summed as, 2^-18, rounded up; float32's own error is far below
CLASSES = (ClassInfo(1, "rest", (230, 230, 230)), ClassInfo(2, "probe", (200, 66, 46)))
LAYER = probability_of(CLASSES[1].name).name  # what is judged


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a run is judged by: the scene with the model's bands, its pixels, and where the windows lie."""

    scene: Scene
    raster: Raster
    windows: WindowGrid

    def physical(self) -> NDArray[np.float32]:
        """Return (C, h, w) pixels in physical units."""
        return self.scene.physical(self.raster.data.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Probe:
    """A network whose answer is known. resampled: whether it runs at the model's resolution, not the scene's own."""

    name: str
    expected: Callable[[Seen, Normalisation], NDArray[np.float64]]
    resampled: bool = False

    def bundle(self, folder: Path, spec: ModelSpec, normalisation: Normalisation) -> ModelBundle:
        """Write the probe as a bundle with the windows and bands of ``spec``."""
        arch = Architecture(name=f"probe-{self.name}")
        own = ModelSpec(
            name=arch.name,
            arch=arch,
            bands=spec.bands,
            gsd_m=spec.gsd_m if self.resampled else None,
            gsd_range_m=spec.gsd_range_m if self.resampled else None,
            normalisation=normalisation,
            window_px=spec.window_px,
            margin_px=spec.margin_px,
            ramp_px=spec.ramp_px,
            multiple_px=spec.multiple_px,
            outputs=(Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in CLASSES)),),
            classes=CLASSES,
        )
        return save_model(folder, build_network(arch, in_channels=len(spec.bands), out_channels=2), spec=own)


def see(scene: Scene, raster: Raster, spec: ModelSpec) -> Seen:
    """Return what probes of the model of ``spec`` are judged by; scene and raster hold its bands."""
    grid = WindowGrid.fit(
        scene.grid.shape,
        window=spec.window_px,
        margin=spec.margin_px,
        ramp=spec.ramp_px,
        multiple=spec.multiple_px,
    )
    return Seen(scene, raster, grid)


def full_range(seen: Seen) -> Normalisation:
    """Return the normalisation that brings the valid pixels of every band to 0..1."""
    values, valid = seen.physical(), seen.raster.valid
    low = [float(band[valid].min()) if valid.any() else 0.0 for band in values]
    high = [float(band[valid].max()) if valid.any() else 1.0 for band in values]
    return Normalisation(mean=tuple(low), std=tuple(h - lo if h > lo else 1.0 for lo, h in zip(low, high, strict=True)))


def deviation_steps(found: NDArray[np.uint8], expected: NDArray[np.float64], valid: NDArray[np.bool_]) -> float:
    """Return by how many of the byte's 254 steps p strays at most, beyond the half that rounding takes; 0 is exact.

    >>> deviation_steps(np.uint8([[1, 128, 0]]), np.array([[0.0, 0.501, 1.0]]), np.array([[True, True, False]]))
    0.0
    >>> deviation_steps(np.uint8([[3]]), np.array([[0.0]]), np.array([[True]]))
    1.5
    """
    off = np.abs(found.astype(np.float64) - 1 - 254 * expected)[valid]
    beyond = float(off.max(initial=0.0)) - 0.5
    return round(beyond, 4) if beyond > 254 * STEP else 0.0


def _identity(seen: Seen, normalisation: Normalisation) -> NDArray[np.float64]:
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (normalisation.mean, normalisation.std))
    p = np.tensordot(band_shares(len(mean)), ((seen.physical() - mean) / std).astype(np.float64), 1)
    return np.clip(p, 0, 1)


def _constant(seen: Seen, _normalisation: Normalisation) -> NDArray[np.float64]:
    return np.full(seen.scene.grid.shape, CONSTANT)


def _ramp(seen: Seen, _normalisation: Normalisation) -> NDArray[np.float64]:
    """Blend the ramp along each axis by itself, window by window: weights sum to one along the other."""
    return ROW_SHARE * _blended_ramp(seen.windows.rows)[:, None] + COL_SHARE * _blended_ramp(seen.windows.cols)


def _blended_ramp(axis: Axis) -> NDArray[np.float64]:
    out = np.zeros(axis.start(axis.count - 1) + axis.window)
    for i in range(axis.count):
        out[axis.start(i) : axis.start(i) + axis.window] += axis.weight(i) / RAMP_ONE * np.linspace(0, 1, axis.window)
    return out[: axis.size]


PROBES = (Probe("identity", _identity), Probe("constant", _constant, resampled=True), Probe("ramp", _ramp))
