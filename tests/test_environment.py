"""scripts/environment.py: only programs that run count as found."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "environment.py"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module, on a machine with an empty PATH, no pyenv and no uv of its own."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "UV_FOLDER", tmp_path / ".venv-uv")
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return module


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_shim_that_runs_nothing_is_passed_over(environment: ModuleType, tmp_path: Path) -> None:
    program(tmp_path / "first" / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    program(tmp_path / "second" / "python3.13", "echo /the/real/python")
    assert environment.find_python() == "/the/real/python"


def test_python_too_old_is_passed_over_for_pyenv(environment: ModuleType, tmp_path: Path) -> None:
    program(tmp_path / "first" / "python3", "echo ''")  # what the question answers where it is older than 3.12
    assert environment.find_python() == ""
    program(tmp_path / "pyenv" / "versions" / "3.12.9" / "bin" / "python", "echo 3.12")
    assert environment.find_python() == "3.12"
    program(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python", "echo 3.13")
    assert environment.find_python() == "3.13"


def test_uv_must_run(environment: ModuleType, tmp_path: Path) -> None:
    program(tmp_path / "first" / "uv", "exit 127")
    assert environment.find_uv() == ""
    program(tmp_path / ".venv-uv" / "bin" / "uv", "echo uv 1.0")
    assert environment.find_uv() == str(tmp_path / ".venv-uv" / "bin" / "uv")


def test_nothing_to_start_from_is_said(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "install_uv", lambda python: "")
    with pytest.raises(SystemExit, match=r"no Python >= 3\.12, and no uv"):
        environment.main()


def test_uv_comes_from_whichever_python_has_pip(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A python3 without pip, as Debian ships it, and a found Python with it that "installs" a uv."""
    bare, found = tmp_path / "bare" / "python3", tmp_path / "found" / "python3.13"
    program(bare, "exit 1")
    uv = tmp_path / ".venv-uv" / "bin" / "uv"
    program(found, f"mkdir -p {uv.parent}; printf '#!/bin/sh\\necho uv 1.0\\n' > {uv}; chmod +x {uv}; echo pip")
    monkeypatch.setattr(environment.sys, "executable", str(bare))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert environment.install_uv("") == ""
    assert environment.install_uv(str(found)) == str(uv)
