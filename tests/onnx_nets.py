"""Small networks as ONNX files, written node by node: no torch, and nothing that is not asked for."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_net(
    *, bands=3, channels=3, size=None, batch=1, layout="nchw", inside=None, last=None, scale=2, dtype=TensorProto.FLOAT,
    opset=17, seed=0, names=("height", "width"), width=8,
):  # fmt: skip
    """Return the model of two convolutions, the first of stride 2, whose answer is brought up ``scale`` times.

    size: of a static window; inside: (mean, std) that the network normalises with; last: Softmax or Sigmoid; dtype: of
    its input; names: of dynamic axes; width: of the layer between.
    """
    random = np.random.default_rng(seed)
    nodes, weights, here = [], [], "image"

    def add(kind, *inputs, **attributes):
        nonlocal here
        out = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [here, *inputs], [out], **attributes))
        here = out

    def weight(name, value):
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    if dtype != TensorProto.FLOAT:
        add("Cast", to=TensorProto.FLOAT)
    if layout == "nhwc":
        add("Transpose", perm=[0, 3, 1, 2])
    if inside is not None:
        mean, std = (np.reshape(np.float32(v), (1, -1, 1, 1)) for v in inside)
        add("Sub", weight("mean", mean))
        add("Div", weight("std", std))
    first = random.standard_normal((width, bands, 3, 3)).astype("f4") / 4
    add("Conv", weight("first", first), strides=[2, 2], pads=[1, 1, 1, 1])
    add("Relu")
    second = random.standard_normal((channels, width, 3, 3)).astype("f4") / 4
    add("Conv", weight("second", second), pads=[1, 1, 1, 1])
    if scale > 1:
        up, roi = weight("scales", np.float32([1, 1, scale, scale])), weight("roi", np.float32([]))
        add("Resize", roi, up, mode="linear", coordinate_transformation_mode="half_pixel")
    if last is not None:
        add(last, **({"axis": 1} if last == "Softmax" else {}))
    if layout == "nhwc":
        add("Transpose", perm=[0, 2, 3, 1])
    height, width = (size, size) if size else names
    order = (lambda c: [batch, height, width, c]) if layout == "nhwc" else (lambda c: [batch, c, height, width])
    shape = order(channels) if scale == 2 else [batch, channels, None, None]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("image", dtype, order(bands))],
        [helper.make_tensor_value_info(here, TensorProto.FLOAT, shape)],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write_net(path, **how):
    """Write ``tiny_net`` and return its path."""
    onnx.save(tiny_net(**how), str(path))
    return path
