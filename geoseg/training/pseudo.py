"""Pseudo-labels: what a model says of a scene where it is sure; the rest is void (Lee 2013).

A network that learns of another one's probabilities is in teacher.py.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.jobs.sums import Blended
from geoseg.models.bundle import ModelBundle
from geoseg.scenes.scene import Scene
from geoseg.training.calibrate import thresholds_of
from geoseg.training.weak import write_labels
from geoseg.trust.calibration import decided, logs, of_classes, scaled
from geoseg.values.classes import NODATA

PART_PX = 1024  # side of what is run at once


def pseudo_labels(scene: Scene, bundle: ModelBundle, *, confidence: float) -> NDArray[np.uint8]:
    """Return class ids (H, W) of pixels whose class has a calibrated probability of ``confidence``, 0..1, or more.

    Others are 0, void. Raises ModelError for a model without classes, and what a run of it over the scene raises.
    """
    spec = bundle.spec
    if spec.softmax is None:
        raise ModelError(f"{spec.name}: has no classes, so nothing to label with; take a model of classes")
    ids_of, thresholds = np.array([c.id for c in spec.classes], np.uint8), thresholds_of(spec)
    blended, out = Blended(scene, [bundle]), np.zeros(scene.grid.shape, np.uint8)
    for box in scene.grid.box.blocks(PART_PX):
        p, valid = blended.read(box)
        of_pixels = of_classes(scaled(logs(p[:, valid]), spec.scaling), spec.class_of_channel)
        at = decided(of_pixels, thresholds)
        sure = of_pixels[np.arange(len(at)), at] >= confidence
        part = out[box.within(scene.grid.box)]
        part[valid] = np.where(sure, ids_of[at], NODATA)
    return out


def write_pseudo_labels(path: Path, scene: Scene, bundle: ModelBundle, *, confidence: float) -> NDArray[np.uint8]:
    """Write pseudo-labels as a raster of classes, and return them.

    Raises what ``pseudo_labels`` does, and OutputError.
    """
    ids = pseudo_labels(scene, bundle, confidence=confidence)
    source = f"{bundle.spec.name} {bundle.digest[:12]}, confidence {confidence:g} and more"
    write_labels(path, ids, scene, bundle.spec.class_map, source=source)
    return ids
