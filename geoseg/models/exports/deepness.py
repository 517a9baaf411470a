"""Deepness: the keys that the QGIS plugin of that name reads in an ONNX file's metadata, each as JSON.

Deepness feeds bytes over 255, whatever the raster holds, cuts tiles without blending them, and asks for a probability
above its threshold before it takes the likeliest class.
"""

import json
from typing import Any

from geoseg.errors import ConfigError
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import ModelSpec

CM = 100  # Deepness has resolutions in centimetres


def metadata(bundle: ModelBundle) -> dict[str, str]:
    """Return the keys of a bundle; raises ConfigError for one without a resolution, which Deepness asks for."""
    spec = bundle.spec
    resolution_m = spec.gsd_m or (None if spec.span_m is None else spec.span_m[0])
    if resolution_m is None:
        raise ConfigError(f"{bundle.path}: is for any resolution, and Deepness asks for one")
    known: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {str(i): c.name for i, c in enumerate(spec.classes)},
        "resolution": resolution_m * CM,
        "tile_size": spec.window_px,
        "tiles_size": spec.window_px,  # the plugin's documentation has this name, its code the other
        "tiles_overlap": overlap(spec),
        "seg_thresh": threshold(spec),
        "seg_small_segment": 0,
        "bands": list(spec.band_set.names),
    }
    return {key: json.dumps(value) for key, value in known.items()}


def overlap(spec: ModelSpec) -> int:
    """Return how much of a tile its neighbour repeats, in per cent, so that no margin is shown."""
    return round(100 * (2 * spec.margin_px + spec.ramp_px) / spec.window_px)


def threshold(spec: ModelSpec) -> float:
    """Return what a class must reach: the share that the likeliest one always has, or the polygons' own of two."""
    return spec.threshold if len(spec.classes) == 2 else 1 / len(spec.classes)
