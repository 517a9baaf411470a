"""scripts/licences.py: what a package states, and what is allowed."""

import importlib.util
from email.message import Message
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "licences.py"


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "licence", "allowed"),
    [
        ("a", "MIT", True),
        ("a", "Apache-2.0 AND MIT", True),
        ("a", "GPL-3.0-only OR MIT", True),
        ("a", "GPL-3.0-only OR MIT AND BSD-3-Clause", True),
        ("a", "ISC License (ISCL)", True),
        ("a", "GPL-3.0-only", False),
        ("a", "MIT AND GPL-3.0-only", False),
        ("a", "MIT OR", False),
        ("a", "", False),
        ("nvidia-cublas", "LicenseRef-NVIDIA-Proprietary", True),
        ("nvidia-anything", "LicenseRef-NVIDIA-Proprietary", False),
    ],
)
def test_a_licence_is_allowed_by_list(licences: ModuleType, name: str, licence: str, allowed: bool) -> None:
    assert licences.is_allowed(name, licence) == allowed


@pytest.mark.parametrize(
    ("fields", "stated"),
    [
        ([("License-Expression", "MIT"), ("License", "GPL")], "MIT"),
        (
            [("License", "Many\nlines"), ("Classifier", "License :: OSI Approved :: BSD License")],
            "BSD License",
        ),
        (
            [("Classifier", "License :: OSI Approved :: MIT License"), ("Classifier", "License :: Other/Proprietary")],
            "MIT License AND Other/Proprietary",
        ),
        ([("Classifier", "License :: OSI Approved"), ("License", " BSD\n")], "BSD"),
        ([], ""),
    ],
)
def test_the_most_exact_statement_counts(
    licences: ModuleType, monkeypatch: pytest.MonkeyPatch, fields: list, stated: str
) -> None:
    package = Message()
    for key, value in fields:
        package.add_header(key, value)
    monkeypatch.setattr(licences, "metadata", lambda name: package)
    assert licences.stated_licence("a") == stated


def test_what_is_not_installed_states_nothing(licences: ModuleType) -> None:
    assert licences.stated_licence("geoseg-that-is-not-there") is None


def test_one_package_that_is_not_allowed_fails_and_is_named(
    licences: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(licences, "stated_licence", lambda name: "AGPL-3.0-only" if name == "numpy" else "MIT")
    with pytest.raises(SystemExit, match="1"):
        licences.main()
    assert "licences: numpy: AGPL-3.0-only: not on the list" in capsys.readouterr().err
