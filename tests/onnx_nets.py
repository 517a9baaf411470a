"""Small networks as ONNX files, written node by node: no torch, and nothing that is not asked for."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from geoseg.models.bundle import load_model, write_bundle
from geoseg.models.spec import Architecture


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


def yolo_net(*, classes=2, masks=8, size=128, end_to_end=False, seed=0, metadata=None):
    """Return a network of the outputs of a YOLO of masks, random but for where its boxes lie: on a lattice of 8 px."""
    random, n = np.random.default_rng(seed), (size // 8) ** 2
    ends = 6 if end_to_end else 4 + classes

    def conv(name, channels, px, gain):
        return numpy_helper.from_array(gain * random.standard_normal((channels, 3, px, px)).astype("f4") / px, name)

    at = 8 * np.stack(np.divmod(np.arange(n, dtype="f4"), size // 8)[::-1]) + 4  # centres: column, row
    base, gain = np.zeros((ends, n), "f4"), np.ones((ends, 1), "f4")
    base[:2], base[2:4], gain[:4] = (at - 10, at + 10, 3) if end_to_end else (at, 22, 4)
    if end_to_end:
        base[5], gain[5] = np.arange(n) % classes, 0
    scores = slice(4, 5) if end_to_end else slice(4, ends)
    flat = np.zeros((ends, 1), "f4")
    flat[scores] = 1
    weights = [
        conv("heads", ends + masks, 8, 1), conv("maps", masks, 4, 2), numpy_helper.from_array(flat[None], "scored"),
        numpy_helper.from_array(base[None], "base"), numpy_helper.from_array(gain[None], "gain"),
        numpy_helper.from_array(np.array([1, ends + masks, -1], "i8"), "shape"),
        numpy_helper.from_array(np.array([ends, masks], "i8"), "parts"),
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["images", "heads"], ["raw"], strides=[8, 8]),
        helper.make_node("Reshape", ["raw", "shape"], ["rows"]),
        helper.make_node("Split", ["rows", "parts"], ["said", "coefficients"], axis=1),
        helper.make_node("Sigmoid", ["said"], ["shares"]),
        helper.make_node("Where", ["is_score", "shares", "said"], ["mixed"]),
        helper.make_node("Mul", ["mixed", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "base"], ["placed"]),
        helper.make_node("Concat", ["placed", "coefficients"], ["all" if end_to_end else "output0"], axis=1),
        helper.make_node("Conv", ["images", "maps"], ["output1"], strides=[4, 4]),
    ]
    nodes.insert(0, helper.make_node("Cast", ["scored"], ["is_score"], to=TensorProto.BOOL))
    if end_to_end:
        nodes.append(helper.make_node("Transpose", ["all"], ["output0"], perm=[0, 2, 1]))
    image, *outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("images", [1, 3, size, size]),
            ("output0", [1, None, None]),
            ("output1", [1, masks, None, None]),
        )
    )
    model = helper.make_model(
        helper.make_graph(nodes, "yolo", [image], outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    return model


def onnx_bundle(folder, like, content=None):
    """Write a bundle of a tiny ONNX network for what the bundle ``like`` is for."""
    arch = Architecture(name="onnx", options={"call_bytes": 10**6})
    spec = load_model(like).spec.model_copy(update={"arch": arch, "multiple_px": 2, "name": folder.name})
    write_bundle(folder, content or tiny_net().SerializeToString(), spec=spec, file="model.onnx")
    return folder
