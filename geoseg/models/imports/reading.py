"""Reading: how an ONNX file's input and answer are laid out, and the graph that geoseg's bundles hold instead.

That graph takes (1, C, h, w) normalised float32 and answers full-size logits (1, K, h, w); the file's own lies within
it unchanged. Nothing is run here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geoseg.errors import ConfigError, ModelError
from geoseg.models.onnx_nodes import Chain, own_prefix
from geoseg.options.exchange import Answers, Layout
from geoseg.untrusted.text import one_line, shown
from geoseg.untrusted.validation import near_or_known

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

LEAST_OPSET, LEAST_IR = 13, 8  # the nodes around a network are written as of them
LEAST_P = 1e-7  # probabilities are at least this before their logarithm
PASSING = {"Identity", "Cast", "Transpose", "Resize", "Upsample", "Squeeze", "Unsqueeze", "Reshape", "DequantizeLinear",
           "QuantizeLinear"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What an ONNX file says of its one input and the output that is taken."""

    input: str
    output: str
    dtype: int
    """Of the input: one of ``onnx.TensorProto``."""
    dims: tuple[int | None, ...]
    """Of the input; None: dynamic."""
    axes: str
    """The same as the file has them, with the names of dynamic ones."""
    last: str
    """The operator that makes the output, those that only move values passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file is read, once it is known."""

    signature: Signature
    layout: Layout
    bands: int
    batch: int
    """Windows that the file takes at once; all are the same one."""
    size_px: int | None
    """Side of the windows where it takes no other."""
    channels: int
    """Of the file's answer; one is the probability of the second of two classes."""
    rank: int
    """Axes of the answer: 4, or 3 where its one channel has none."""
    answers: Answers
    scale: int
    """How many times smaller the answer is than the window."""

    @property
    def logits(self) -> int:
        """Channels of the graph that is made."""
        return max(2, self.channels)


def signature(model: "ModelProto", where: str, *, output: str | None) -> Signature:
    """Return what a file says of its input and of ``output``; raises ModelError where geoseg cannot feed or read it."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in stored]
    if len(inputs) != 1:
        raise ModelError(f"{where}: takes {len(inputs)} inputs ({_names(inputs)}); geoseg feeds one, the image")
    outputs = {one.name: one for one in model.graph.output}
    if output is not None and output not in outputs:
        raise ConfigError(f"{where}: no output {output!r}; {near_or_known(output, outputs)}")
    if output is None and len(outputs) != 1:
        raise ModelError(
            f"{where}: gives {len(outputs)} outputs ({_names(model.graph.output)}); choose one: --output NAME"
        )
    name = output or next(iter(outputs))
    tensor = inputs[0].type.tensor_type
    dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    if len(dims) != 4:
        raise ModelError(
            f"{where}: its input {shown(inputs[0].name)} has {len(dims)} axes ({_axes(inputs[0])}); an image has 4: "
            f"windows, bands, rows, columns"
        )
    return Signature(
        input=inputs[0].name,
        output=name,
        dtype=tensor.elem_type,
        dims=dims,
        axes=_axes(inputs[0]),
        last=_maker(model, name),
    )


def layout_of(found: Signature, where: str, *, bands: int, asked: Layout | None) -> tuple[Layout, bool]:
    """Return the order of the input's axes, and whether it is assumed; raises ConfigError for another count of bands.

    An axis of bands is hardly ever dynamic: where none is fixed to their number, both must be.
    """
    fits: dict[Layout, int | None] = {"nchw": found.dims[1], "nhwc": found.dims[3]}
    known = {asked: fits[asked]} if asked is not None else fits
    sure: list[Layout] = [name for name, count in known.items() if count == bands]
    if not sure and any(known.values()):
        said = " or ".join(f"{count} bands ({name})" for name, count in known.items() if count is not None)
        raise ConfigError(f"{where}: takes {said}, and {bands} are named by --bands")
    return next(iter(sure or known)), asked is None and len(sure) != 1


def size_of(found: Signature, where: str, layout: Layout) -> int | None:
    """Return the side of the windows that a file takes, None for any; raises ModelError where they are not square."""
    rows, cols = found.dims[2:] if layout == "nchw" else found.dims[1:3]
    if rows and cols and rows != cols:
        raise ModelError(f"{where}: takes windows of {rows} x {cols} px alone; geoseg's are square, export it so")
    return rows or cols


def upgraded(model: "ModelProto", where: str) -> "ModelProto":
    """Return a model with operators of ``LEAST_OPSET`` or later; raises ModelError where that cannot be."""
    from onnx import version_converter

    opset = next((int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset < LEAST_OPSET:
        try:
            model = version_converter.convert_version(model, LEAST_OPSET)
        except RuntimeError as error:
            told = f"of opset {opset}, which cannot be brought to {LEAST_OPSET} ({one_line(error)}); export it anew"
            raise ModelError(f"{where}: {told}") from error
    model.ir_version = max(model.ir_version, LEAST_IR)
    return model


def made_over(model: "ModelProto", reading: Reading) -> bytes:
    """Return the ONNX file of a bundle: the model, between nodes that bring windows in and logits out."""
    from onnx import TensorProto, helper

    prefix = own_prefix(model)
    around = _Around(reading, prefix)
    side = reading.size_px
    sides: list[int | str] = [side or "height", side or "width"]
    graph = model.graph
    before, after = around.before(), around.after()
    nodes = [*before, *graph.node, *after]
    shapes = [1, reading.bands, *sides], [1, reading.logits, *sides]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.extend([helper.make_tensor_value_info(around.input, TensorProto.FLOAT, shapes[0])])
    graph.output.extend([helper.make_tensor_value_info(around.output, TensorProto.FLOAT, shapes[1])])
    graph.initializer.extend(around.chain.constants)
    del model.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    return bytes(model.SerializeToString(deterministic=True))


class _Around:
    """The nodes before and after a network."""

    def __init__(self, reading: Reading, prefix: str) -> None:
        self.reading = reading
        self.chain = Chain(prefix)
        self.input, self.output = f"{prefix}_windows", f"{prefix}_logits"

    def before(self) -> "list[NodeProto]":
        """Return the nodes that make the file's input of a window."""
        from onnx import TensorProto

        reading, chain = self.reading, self.chain
        chain.begin(self.input)
        if reading.batch > 1:
            chain.add("Tile", chain.constant([reading.batch, 1, 1, 1], "i8"))
        if reading.layout == "nhwc":
            chain.add("Transpose", perm=[0, 2, 3, 1])
        if reading.signature.dtype != TensorProto.FLOAT:
            chain.add("Cast", to=reading.signature.dtype)
        chain.add("Identity", gives=reading.signature.input)
        return chain.nodes

    def after(self) -> "list[NodeProto]":
        """Return the nodes that make full-size logits of the file's answer."""
        from onnx import TensorProto

        reading, chain = self.reading, self.chain
        chain.begin(reading.signature.output)
        chain.add("Cast", to=TensorProto.FLOAT)
        if reading.batch > 1:
            chain.add("Slice", *(chain.constant([v], "i8") for v in (0, 1, 0)))
        if reading.rank == 3:
            chain.add("Unsqueeze", chain.constant([1], "i8"))
        elif reading.layout == "nhwc":
            chain.add("Transpose", perm=[0, 3, 1, 2])
        if reading.answers != "logits":
            self._to_logits()
        if reading.scale > 1:
            larger = chain.constant([1, 1, reading.scale, reading.scale])
            chain.add("Resize", "", larger, mode="linear", coordinate_transformation_mode="half_pixel")
        if reading.channels == 1:  # the softmax of (0, x) is the sigmoid of x
            of_one = chain.here
            chain.add("Mul", chain.constant(0))
            chain.add("Concat", of_one, axis=1)
        chain.add("Identity", gives=self.output)
        return chain.nodes

    def _to_logits(self) -> None:
        """Add what brings probabilities back to logits: their logarithm, less that of the rest for sigmoids."""
        chain = self.chain
        least, most = chain.constant(LEAST_P), chain.constant(1 - LEAST_P)
        p = chain.add("Clip", least, most)
        log = chain.add("Log")
        if self.reading.answers == "sigmoid":
            chain.here = p
            chain.add("Neg")
            chain.add("Add", chain.constant(1))
            rest = chain.add("Log")
            chain.here = log
            chain.add("Sub", rest)


def _maker(model: "ModelProto", name: str) -> str:
    """Return the operator that makes a value, those that only move values passed over."""
    makers = {out: node for node in model.graph.node for out in node.output}
    node = makers.get(name)
    while node is not None and node.op_type in PASSING and node.input:
        node = makers.get(node.input[0])
    return "" if node is None else str(node.op_type)


def _names(values: "Any") -> str:
    return ", ".join(shown(one.name).strip("'") for one in list(values)[:8]) or "none"


def _axes(value: "ValueInfoProto") -> str:
    return ", ".join(str(d.dim_value or d.dim_param or "?") for d in value.type.tensor_type.shape.dim) or "none"
