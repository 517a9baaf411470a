"""The names that geoseg shows to type checkers are those that it gives to Python, and each has its home."""

import ast
from pathlib import Path

import geoseg


def test_names_are_the_same_for_type_checkers_and_for_python() -> None:
    tree = ast.parse(Path(geoseg.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    shown = {alias.asname: node.module for node in imports for alias in node.names if alias.asname == alias.name}
    assert shown == geoseg._HOMES
    assert {*geoseg.__all__} == {*shown} < {*dir(geoseg)}


def test_every_name_is_there() -> None:
    for name in geoseg.__all__:
        assert getattr(geoseg, name).__name__ == name
