"""Groups of channels beside the softmax, NAME.tif of each: classes of a sigmoid, vectors, or a quantity in its unit."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import ModelSpec
from geoseg.tiling.blend import to_bytes, to_words
from geoseg.tiling.ramp import FULL
from geoseg.values.layers import Layer, Pixels, probability_layer

MIDDLE = 32768  # of the words 1..65535
MADE: Mapping[str, Callable[[NDArray[np.uint32], NDArray[np.bool_]], Pixels]] = {"uint8": to_bytes, "uint16": to_words}


def groups_of(spec: ModelSpec) -> tuple[Output, ...]:
    """Return the groups of channels beside the classes."""
    return tuple(group for group in spec.outputs if group.activation != "softmax")


def file_of(group: Output) -> str:
    """Return the name of a group's raster."""
    return f"{group.name}.tif"


def files_of_groups(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the rasters of all groups; those that objects are made of stay in the parts."""
    return tuple(file_of(group) for group in groups_of(spec) if group.name not in spec.grouped)


def group_layers(spec: ModelSpec) -> tuple[Layer, ...]:
    """Return a layer for every channel of every group."""
    layers = (_layer(group, channel) for group in groups_of(spec) for channel in group.channels)
    kept = {file_of(group) for group in groups_of(spec)} - {*files_of_groups(spec)}
    return tuple(replace(layer, file=None) if layer.file in kept else layer for layer in layers)


def made_of_groups(
    sums: NDArray[np.uint32], valid: NDArray[np.bool_], spec: ModelSpec
) -> dict[str, Callable[[], Pixels]]:
    """Return what makes each layer of ``group_layers``, by name, of blended channels (K, h, w)."""
    made: dict[str, Callable[[], Pixels]] = {}
    for group in groups_of(spec):
        for channel, own in zip(group.channels, sums[spec.channels_of(group)], strict=True):
            layer = _layer(group, channel)
            of = MADE[layer.dtype] if group.range is None else partial(quantity, span=group.range)
            made[layer.name] = partial(of, own, valid)
    return made


def quantity(sums: NDArray[np.uint32], valid: NDArray[np.bool_], span: tuple[float, float]) -> NDArray[np.float32]:
    """Return values of ``span`` (low, high) of accumulators (h, w); NaN where not ``valid``.

    >>> quantity(np.uint32([[0, FULL // 2, FULL, 9]]), np.array([[True, True, True, False]]), (-10, 30)).tolist()
    [[-10.0, 10.0, 30.0, nan]]
    """
    low, high = span
    out = sums.astype(np.float32)
    out *= np.float32((high - low) / FULL)
    out += np.float32(low)
    out[~valid] = np.nan
    return out


def bytes_of_groups(spec: ModelSpec) -> int:
    """Return what a pixel of all groups takes."""
    return sum(layer.bytes_per_px for layer in group_layers(spec))


def _layer(group: Output, channel: Channel) -> Layer:
    name = group.name if len(group.channels) == 1 else f"{group.name}_{channel.name}"
    if group.range_px is not None:
        said = f"{channel.name}s from a pixel to where it points, in pixels of the network's grid"
        step = group.range_px / (MIDDLE - 1)
        return Layer(name, "number", file_of(group), "uint16", 0, step, -MIDDLE * step, "px", said)
    if group.bits == 16:
        return Layer(name, "number", file_of(group), "uint16", 0, 1 / 65534, -1 / 65534, "", f"p({channel.name})")
    if group.activation == "sigmoid":
        return probability_layer(name, f"p({channel.name})", file=file_of(group))
    return Layer(name, "number", file_of(group), "float32", float("nan"), unit=group.unit, description=channel.name)
