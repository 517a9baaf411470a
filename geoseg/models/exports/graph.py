"""Graph: a bundle's network as an ONNX model of one window size, with what goes before and after it put in.

It takes (1, C, h, w) float32: normalised, physical or, for Deepness, bytes over 255; and answers probabilities.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from geoseg.errors import ModelError
from geoseg.models.bundle import ModelBundle
from geoseg.models.onnx_file import parsed
from geoseg.models.onnx_nodes import Chain, names_of, own_prefix
from geoseg.models.spec import ModelSpec
from geoseg.untrusted.text import one_line

if TYPE_CHECKING:
    from onnx import ModelProto

Takes = Literal["normalised", "physical", "bytes"]
INPUT, CHANNELS, CLASSES = "windows", "probabilities", "class_probabilities"
OPSET, IR = 17, 8  # what ONNX Runtime 1.13 and later take; Deepness asks for one before 1.18
SPEC_KEY, TAKES_KEY = "geoseg:spec", "geoseg:takes"  # of the file's metadata
BYTE = 255.0
ACTIVATIONS = {"softmax": "Softmax", "sigmoid": "Sigmoid", "signed": "Sigmoid", "linear": "Identity"}


def exported(bundle: ModelBundle, *, takes: Takes, per_class: bool = False) -> "ModelProto":
    """Return the ONNX model of a bundle's network for windows of its own size.

    takes: what it is fed; per_class: it answers the sum over the channels of each class. Raises ModelError where
    neither of torch's exporters writes the network.
    """
    from onnx import TensorProto, helper

    spec, side = bundle.spec, bundle.spec.window_px
    model = logits(bundle, (side, side))
    graph = model.graph
    chain = Chain(own_prefix(model))
    own_input, own_output = graph.input[0].name, graph.output[0].name
    inside = names_of(model)  # of a network that geoseg exported before
    fed, answers = (
        f"{chain.prefix}_{name}" if name in inside else name for name in (INPUT, CLASSES if per_class else CHANNELS)
    )
    before = _before(chain, spec, takes, names=(fed, own_input))
    after = _after(chain, spec, names=(own_output, answers), per_class=per_class)
    nodes = [*before, *graph.node, *after]
    count = len(spec.classes) if per_class else spec.out_channels
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(chain.constants)
    graph.input.append(helper.make_tensor_value_info(fed, TensorProto.FLOAT, [1, len(spec.bands), side, side]))
    graph.output.append(helper.make_tensor_value_info(answers, TensorProto.FLOAT, [1, count, side, side]))
    model.ir_version, model.producer_name, graph.name = IR, "geoseg", "geoseg"
    if not per_class:
        told = spec.model_dump_json(exclude={"arch", "training"})
        helper.set_model_props(model, {SPEC_KEY: told, TAKES_KEY: takes})
    return model


def logits(bundle: ModelBundle, shape: tuple[int, int]) -> "ModelProto":
    """Return the network itself for windows of one shape (h, w): normalised ones in, logits out.

    Raises ModelError for networks that list objects, and where neither of torch's exporters writes it.
    """
    if bundle.spec.objects is not None:
        raise ModelError(f"{bundle.spec.name}: lists objects, and only answers for every pixel are exported")
    if bundle.backend == "onnx":
        return _of_shape(parsed(bundle.content(), bundle.path), shape)
    return with_single_grids(parsed(_by_torch(bundle, shape), bundle.path))


def with_single_grids(model: "ModelProto") -> "ModelProto":
    """Return a model whose places to sample at are float32: attention by transformers has them in float64.

    ONNX Runtime samples by no others.
    """
    from onnx import TensorProto, helper

    nodes = []
    for node in model.graph.node:
        if node.op_type == "GridSample":
            single = f"{node.output[0]}_grid"
            nodes.append(helper.make_node("Cast", [node.input[1]], [single], to=TensorProto.FLOAT))
            node.input[1] = single
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _of_shape(model: "ModelProto", shape: tuple[int, int]) -> "ModelProto":
    """Return a model whose windows have one shape (h, w)."""
    for value in (*model.graph.input, *model.graph.output):
        for dim, side in zip(list(value.type.tensor_type.shape.dim)[2:], shape, strict=True):
            dim.dim_value = side
    return model


def _by_torch(bundle: ModelBundle, shape: tuple[int, int]) -> bytes:
    """Return what torch writes: by tracing, which is quick, else by its newer exporter, which takes more networks."""
    import torch

    network, window = bundle.network(), torch.zeros(1, len(bundle.spec.bands), *shape)
    told = []
    for newer in (False, True):
        out = io.BytesIO()
        try:
            with warnings.catch_warnings(), _silence(), torch.no_grad():
                warnings.simplefilter("ignore")  # about what tracing keeps fixed: the size is meant to be
                target: Any = None if newer else out  # a buffer, which tracing takes
                made: Any = torch.onnx.export(network, (window,), target, opset_version=OPSET, dynamo=newer)
            return bytes(made.model_proto.SerializeToString()) if newer else out.getvalue()
        except Exception as error:  # the exporters raise whatever an operator meets
            told.append(one_line(error))
    raise ModelError(f"{bundle.path}: torch writes no ONNX of it ({'; '.join(told)})")


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing that libraries print, from C++ too, reach stdout and stderr."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no path of a file
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                yield
        finally:
            for number, own in zip((1, 2), kept, strict=True):
                os.dup2(own, number)
                os.close(own)


def _before(chain: Chain, spec: ModelSpec, takes: Takes, *, names: tuple[str, str]) -> list[Any]:
    """Return the nodes that make normalised windows of what is fed; bytes of 0 in all bands are no data."""
    chain.begin(names[0])
    if takes == "bytes":
        chain.add("Mul", chain.constant(BYTE))
    fed = chain.here
    if takes != "normalised":
        normal = spec.normalisation
        mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (normal.mean, normal.std))
        chain.add("Sub", chain.constant(mean))
        chain.add("Div", chain.constant(std))
    if takes == "bytes":
        normalised, chain.here = chain.here, fed
        chain.add("ReduceMax", axes=[1], keepdims=1)
        chain.add("Sign")
        chain.add("Mul", normalised)
    chain.add("Identity", gives=names[1])
    return chain.nodes


def _after(chain: Chain, spec: ModelSpec, *, names: tuple[str, str], per_class: bool) -> list[Any]:
    """Return the nodes that make probabilities of logits."""
    logits, answers = names
    chain.begin(logits)
    parts = []
    for group in spec.outputs:
        own, chain.here = spec.channels_of(group), logits
        chain.add("Slice", *(chain.constant([v], "i8") for v in (own.start, own.stop, 1)))
        axis: dict[str, Any] = {"axis": 1} if group is spec.softmax else {}
        parts.append(chain.add(ACTIVATIONS[group.activation], **axis))
    if per_class:
        chain.here = parts[[group.activation for group in spec.outputs].index("softmax")]
        sums = np.zeros((len(spec.classes), len(spec.channels), 1, 1), np.float32)
        sums[spec.class_of_channel, range(len(spec.channels))] = 1
        chain.add("Conv", chain.constant(sums), gives=answers)
    else:
        chain.here = parts[0]
        chain.add("Concat", *parts[1:], axis=1) if parts[1:] else None
        chain.add("Identity", gives=answers)
    return chain.nodes
