"""A scene of numbered discs and bars, some larger than a window, and a detector that is never wrong about them."""

import numpy as np
from conftest import write_tif

from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.detecting import Detecting
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import Band
from geoseg.values.classes import ClassInfo

CLASSES = (
    ClassInfo(1, "ground", (233, 229, 220)),
    ClassInfo(2, "even", (200, 66, 46)),
    ClassInfo(3, "odd", (60, 160, 80)),
)
DETECTING = Detecting(things=("even", "odd"), per_window=2000, min_px=1)


def truth_of(shape, *, large=(130, 60), many=400, most=40, seed=0):
    """Return the numbers of objects (H, W), 0 for none; each is connected, none touches another at a corner alone."""
    rng, ids = np.random.default_rng(seed), np.zeros(shape, np.int32)
    count = 0
    for r in [*large, *rng.integers(4, most, many)]:
        row, col = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        r0, c0 = max(row - r, 0), max(col - r, 0)
        own = ids[r0 : row + r + 1, c0 : col + r + 1]
        y, x = np.ogrid[r0 - row : r0 - row + own.shape[0], c0 - col : c0 - col + own.shape[1]]
        disc, bar = y**2 + x**2 <= r * r, (abs(y) <= r) & (abs(x) <= max(r // 6, 4))
        mask = disc if rng.random() < 0.5 else bar
        if mask.sum() >= 40 and not (own[mask] > 0).any():
            count += 1
            own[mask] = count
    return ids


def spec_of(**changes):
    """Return the description of a detector whose one band holds the numbers of objects."""
    usual = {
        "name": "oracle",
        "task": "objects",
        "arch": Architecture(name="probe-objects"),
        "bands": (Band("b1"),),
        "gsd_m": None,
        "normalisation": Normalisation(mean=(0.0,), std=(1.0,)),
        "window_px": 256,
        "margin_px": 16,
        "ramp_px": 0,
        "outputs": (),
        "classes": CLASSES,
        "objects": DETECTING,
    }
    return ModelSpec(**usual | changes)


def write_oracle(folder, **changes):
    """Write the detector that is never wrong and return its folder."""
    spec = spec_of(**changes)
    network = build_network(spec.arch, in_channels=1, out_channels=len(spec.things))
    save_model(folder, network, spec=spec, half=False, overwrite=True)
    return folder


def write_scene(path, ids, **profile):
    """Write what the oracle sees and return its path."""
    return write_tif(path, ids[None].astype(np.uint16), **profile)
