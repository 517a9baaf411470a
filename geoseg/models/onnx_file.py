"""An ONNX file from a stranger: parsed and checked before anything runs it. Nothing here runs a network."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import MissingExtraError, ModelError
from geoseg.untrusted.text import shown

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Operators of other domains come in libraries of code, which are never loaded. Of ONNX Runtime's own, those that call
# Python or read files of their own are refused.
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
RUN_CODE = {"ATen", "EPContext", "PythonOp", "PythonOpGrad"}
LARGEST = 2**31 - 1  # bytes of a protobuf message
MOST_TOLD = 5
EXTRA = "onnxruntime and onnx are not installed; type: pip install 'geoseg[onnx]'"


def require_onnx() -> None:
    """Raise ConfigError where the libraries of the extra are not installed."""
    from importlib.util import find_spec

    if not all(map(find_spec, ("onnx", "onnxruntime"))):
        raise MissingExtraError(EXTRA)


def parsed(content: bytes, where: str) -> "ModelProto":
    """Return the model of an ONNX file's bytes, whose weights are all inside.

    Raises ModelError where it is none, its weights lie in other files, or it holds operators that geoseg does not run.
    """
    model = _message(content, where)
    if outside := [tensor for tensor in tensors(model) if tensor.external_data]:
        raise ModelError(
            f"{where}: the weights {shown(outside[0].name)} lie in another file; "
            f"geoseg import brings file and weights into a bundle"
        )
    refuse_unknown(model, where)
    return model


def read_model(path: Path) -> "ModelProto":
    """Return the model of an ONNX file, with the weights that lie in files beside it.

    Raises ModelError as ``parsed`` does, and where such a file lies elsewhere than in the model's folder.
    """
    from onnx import external_data_helper

    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{path}: holds more than 2 GiB, which no ONNX file does")
        model = _message(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    for tensor in tensors(model):
        if tensor.external_data:
            _refuse_elsewhere(tensor, path)
            try:
                external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            except (OSError, ValueError) as error:
                raise ModelError(f"{path}: weights {shown(tensor.name)} cannot be read ({error})") from error
            del tensor.external_data[:]
            tensor.data_location = tensor.DEFAULT
    refuse_unknown(model, str(path))
    return model


def _message(content: bytes, where: str) -> "ModelProto":
    require_onnx()
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(f"{where}: not an ONNX file ({error})") from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{where}: not an ONNX file (it holds no graph)")
    return model


def _refuse_elsewhere(tensor: "TensorProto", path: Path) -> None:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    file = path.parent / location
    inside = location and Path(location).name == location and file.is_file() and not file.is_symlink()
    if not inside:
        raise ModelError(
            f"{path}: its weights are said to lie in {shown(location)}; only a file in its own folder is read"
        )


def refuse_unknown(model: "ModelProto", where: str) -> None:
    """Raise ModelError, naming them, where a model holds operators that geoseg does not run."""
    own = {function.domain for function in model.functions}
    unknown = Counter(
        f"{node.domain or 'ai.onnx'}:{node.op_type}"
        for node in nodes(model)
        if node.domain not in DOMAINS | own or (node.domain == "com.microsoft" and node.op_type in RUN_CODE)
    )
    if unknown:
        named = ", ".join(shown(name).strip("'") for name, _ in unknown.most_common(MOST_TOLD))
        raise ModelError(
            f"{where}: holds the operators {named}, which no ONNX Runtime runs without code from elsewhere; "
            f"export it with operators of ONNX alone"
        )


def nodes(model: "ModelProto") -> Iterator["NodeProto"]:
    """Yield the nodes of a model, those of its functions and of the graphs inside nodes too."""
    for holder in (*_graphs(model), *model.functions):
        yield from holder.node


def tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    """Yield every stored tensor of a model: weights, and constants in nodes."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    defaults = (attribute for function in model.functions for attribute in function.attribute_proto)
    for attribute in (*(attribute for node in nodes(model) for attribute in node.attribute), *defaults):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)


def _graphs(model: "ModelProto") -> Iterator["GraphProto"]:
    yield model.graph
    for holder in (model.graph, *model.functions):
        for node in holder.node:
            yield from _inside(node)


def _inside(node: "NodeProto") -> Iterator["GraphProto"]:
    """Yield the graphs that are attributes of a node, such as the branches of an If, and those inside them."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for inner in graph.node:
                yield from _inside(inner)
