"""Nodes: a chain of ONNX operators that is put before or after a network's own."""

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto


def own_prefix(model: "ModelProto") -> str:
    """Return how names begin that are in no use in a model; one that geoseg made before holds the first."""
    used = names_of(model)
    return next(f"geoseg{n or ''}" for n in count() if not any(name.startswith(f"geoseg{n or ''}_") for name in used))


def names_of(model: "ModelProto") -> set[str]:
    """Return the names of all values of a model's graph."""
    graph = model.graph
    return {name for node in graph.node for name in (*node.input, *node.output)} | {v.name for v in graph.initializer}


class Chain:
    """Operators, each of which takes what the one before gives; ``here`` is the name of what the last one gave."""

    def __init__(self, prefix: str) -> None:
        self.here = ""
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._names = (f"{prefix}_{number}" for number in count())

    def begin(self, name: str) -> None:
        """Begin anew at a value; constants are kept."""
        self.here, self.nodes = name, []

    def add(self, kind: str, *inputs: str, gives: str = "", **attributes: Any) -> str:
        """Add an operator, with its inputs after the first, and return the name of what it gives."""
        from onnx import helper

        out = gives or f"{next(self._names)}_{kind}"
        self.nodes.append(helper.make_node(kind, [self.here, *inputs], [out], name=out, **attributes))
        self.here = out
        return out

    def constant(self, values: Any, dtype: str = "f4") -> str:
        """Store an array, or a scalar, and return its name."""
        from onnx import numpy_helper

        name = f"{next(self._names)}_constant"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name
