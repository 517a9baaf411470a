"""A scene of touching boxes and discs on two kinds of ground, and a network that is never wrong about it."""

import numpy as np
from affine import Affine
from conftest import GSD_M, write_tif
from scipy import ndimage

from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.grouping import Grouping
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.training.things import bumps_and_offsets
from geoseg.values.bands import Band
from geoseg.values.classes import ClassInfo
from geoseg.values.layers import FIRST_OBJECT

RANGE_PX = 32
CLASSES = (
    ClassInfo(1, "ground", (233, 229, 220)),
    ClassInfo(2, "water", (70, 110, 200)),
    ClassInfo(3, "box", (200, 66, 46)),
    ClassInfo(4, "disc", (60, 160, 80)),
)
GROUPING = Grouping(things=("box", "disc"), peak_px=3, reach_px=4, min_px=12)


def truth_of(shape, *, seed=0, radius=(5, 15), density=1.2e-3):
    """Return classes 1..4 (H, W) and the numbers of objects (H, W), 0 for none."""
    rng = np.random.default_rng(seed)
    field = ndimage.zoom(rng.standard_normal((shape[0] // 50 + 2, shape[1] // 50 + 2)), 50, order=1)
    classes = np.where(field[: shape[0], : shape[1]] > 0.35, 2, 1).astype(np.uint8)
    ids, count = np.zeros(shape, np.int32), 0
    for _ in range(round(shape[0] * shape[1] * density)):
        r, kind = int(rng.integers(*radius)), int(rng.integers(2))
        row, col = (int(rng.integers(0, n)) for n in shape)
        r0, c0 = max(row - r, 0), max(col - r, 0)
        own = ids[r0 : row + r + 1, c0 : col + r + 1]
        y, x = np.ogrid[r0 - row : r0 - row + own.shape[0], c0 - col : c0 - col + own.shape[1]]
        mask = (abs(y) <= 0.6 * r) & (abs(x) <= 0.9 * r) if kind == 0 else y**2 + x**2 <= r**2
        if own[mask].any() or mask.sum() < 30:
            continue
        count += 1
        own[mask] = count
        classes[r0 : row + r + 1, c0 : col + r + 1][mask] = 3 + kind
    return classes, ids


def answers_of(classes, ids):
    """Return the logits (7, H, W) of a network that knows the truth."""
    bumps, offsets = bumps_and_offsets(ids, sigma_px=2)
    share = np.clip(np.concatenate([bumps[None], (offsets / RANGE_PX + 1) / 2]), 1e-4, 1 - 1e-4)
    one_hot = np.stack([np.where(classes == c.id, 6, -6) for c in CLASSES])
    return np.concatenate([one_hot, np.log(share / (1 - share))]).astype(np.float32)


def spec_of(**changes):
    """Return the description of a panoptic model of seven bands that are its logits."""
    usual = {
        "name": "oracle",
        "task": "panoptic",
        "arch": Architecture(name="probe-bands"),
        "bands": tuple(Band(f"b{i}") for i in range(1, 8)),
        "gsd_m": None,
        "normalisation": Normalisation(mean=(0.0,) * 7, std=(1.0,) * 7),
        "window_px": 256,
        "margin_px": 0,
        "ramp_px": 64,
        "outputs": (
            Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in CLASSES)),
            Output(name="centre", activation="sigmoid", bits=16, channels=(Channel(name="centre"),)),
            Output(
                name="offset",
                activation="signed",
                channels=(Channel(name="row"), Channel(name="col")),
                range_px=RANGE_PX,
            ),
        ),
        "classes": CLASSES,
        "grouping": GROUPING,
    }
    return ModelSpec(**usual | changes)


def write_oracle(folder, **changes):
    """Write the network that is never wrong and return its folder."""
    spec = spec_of(**changes)
    save_model(folder, build_network(spec.arch, in_channels=7, out_channels=7), spec=spec, half=False)
    return folder


def write_scene(path, classes, ids, **profile):
    """Write what the oracle sees and return its path."""
    return write_tif(path, answers_of(classes, ids), **profile)


def transform():
    """Return where ``write_tif`` puts a scene."""
    return Affine(GSD_M, 0, 3e5, 0, -GSD_M, 3.06e6)


def write_areas(folder):
    """Write a network of four bands that are its logits, whose objects are areas, and return its folder."""
    normalisation = Normalisation(mean=(0.0,) * 4, std=(1.0,) * 4)
    bands = tuple(Band(f"b{i}") for i in range(1, 5))
    grouping = Grouping(things=("box", "disc"), by="areas", min_px=12)
    spec = spec_of(bands=bands, normalisation=normalisation, outputs=spec_of().outputs[:1], grouping=grouping)
    save_model(folder, build_network(spec.arch, in_channels=4, out_channels=4), spec=spec, half=False)
    return folder


def contents(run):
    """Return the bytes of a run's outputs by name, run.json left out."""
    return {name: path.read_bytes() for name, path in run.paths.items() if name != "run.json"}


def found_of(ids, found):
    """Return which true objects, (N,), a panoptic raster holds whole (IoU above 0.5), and which of them twice.

    Twice: more than half of the pixels of two objects or more lie in it.
    """
    found = np.where(found >= FIRST_OBJECT, found, 0).astype(np.int64)
    pair, common = np.unique(ids.astype(np.int64) << 32 | found, return_counts=True)
    true, said = pair >> 32, pair & (2**32 - 1)
    of_true, of_said = np.bincount(ids.ravel()), np.bincount(found.ravel())
    both = (true > 0) & (said > 0)
    iou = common / (of_true[true] + of_said[said] - common)
    whole, inside = (
        np.bincount(true[both & right], minlength=len(of_true))[1:] for right in (iou > 0.5, 2 * common > of_said[said])
    )
    return whole > 0, inside > 1


def assert_same_objects(found, ids):
    """Assert that the objects of a panoptic raster are those of the truth, pixel for pixel."""
    assert len(np.unique(found[found >= FIRST_OBJECT])) == ids.max()
    assert np.unique(np.stack([ids.ravel(), found.ravel()])[:, ids.ravel() > 0], axis=1).shape[1] == ids.max()
    assert (found[ids == 0] < FIRST_OBJECT).all()
