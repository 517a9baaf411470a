"""YAML as geoseg reads it: plain values alone. No aliases, no key given twice, no nesting without end."""

from typing import Any

import yaml

from geoseg.untrusted.text import fault_of_text, one_line, shown

DEEPEST = 20  # levels; configs have five


def parse_yaml(content: bytes) -> Any:
    """Return the value of a YAML text in UTF-8; raises ValueError with the line of what is wrong.

    Aliases are refused: nine lines of them stand for a billion values.
    """
    text = content.decode("utf-8-sig")
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise ValueError(line + str(error.problem or error.context)) from error
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from error


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's loader of plain values, which would expand aliases and keep the last of two equal keys."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise _refusal(f"alias *{event.anchor}: aliases are not read, write the value out", event.start_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise _refusal(f"more than {DEEPEST} levels of nesting", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        fault = fault_of_text(value) if isinstance(value, str) else None
        if fault:
            raise _refusal(fault, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise _refusal("a key is no plain word", key_node.start_mark)
            if key in seen:
                raise _refusal(f"key {shown(key)} is given twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refusal(words: str, mark: yaml.Mark) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, words, mark)
