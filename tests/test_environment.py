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


LOCKED = """\
# comment
numpy==2.5.5 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
nvidia-cublas==13.4 ; sys_platform == 'linux' \\
    --hash=sha256:cc
torch==2.15.0 \\
    --hash=sha256:dd
torchvision==0.29.2 \\
    --hash=sha256:ee
torchmetrics==1.9.0 \\
    --hash=sha256:ff
triton==3.9.0 ; sys_platform == 'linux' \\
    --hash=sha256:00
"""


@pytest.fixture
def lock(environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCKED, encoding="utf-8")
    monkeypatch.setattr(environment, "LOCK", path)
    monkeypatch.setattr(environment.tempfile, "tempdir", str(tmp_path))
    return path


@pytest.mark.parametrize("uv", ["uv", ""])
def test_all_packages_but_geoseg_itself_are_compared_with_their_hashes(
    environment: ModuleType, lock: Path, uv: str
) -> None:
    packages, geoseg = environment.installs(uv, "")
    assert {"--require-hashes", "--no-deps"} < set(packages)
    assert packages[-2:] == ["-r", lock]
    assert "--require-hashes" not in geoseg
    assert {"--no-deps", "--no-build-isolation"} < set(geoseg)
    assert geoseg[-2:] == ["-e", "."]


def test_torch_for_the_cpu_is_installed_first_and_the_rest_without_cuda(environment: ModuleType, lock: Path) -> None:
    torch, packages, geoseg = environment.installs("uv", "cpu")
    assert torch[-4:] == ["--no-deps", "--torch-backend=cpu", "torch==2.15.0", "torchvision==0.29.2"]
    assert "--require-hashes" in packages
    rest = environment.locked_packages(Path(packages[-1]).read_text(encoding="utf-8"))
    assert list(rest) == ["numpy", "torchmetrics"]
    assert rest["numpy"].count("--hash") == 2
    assert geoseg == environment.installs("uv", "")[-1]


def test_torch_for_the_cpu_takes_uv(environment: ModuleType, lock: Path) -> None:
    with pytest.raises(SystemExit, match="TORCH_BACKEND=cpu needs uv"):
        environment.installs("", "cpu")


def test_the_lock_is_resolved_with_what_developers_need(environment: ModuleType) -> None:
    assert "--extra dev" in environment.RESOLVE
