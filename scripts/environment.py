"""Build .venv: the packages of requirements.lock, each compared with its hash, then geoseg itself.

usage: python3 scripts/environment.py [lock]    (run by make; any Python >= 3.7 will do)

``lock`` resolves pyproject.toml anew and writes requirements.lock instead. TORCH_BACKEND=cpu in the environment lets uv
take torch and torchvision from PyTorch's own index, without hashes, and leaves the packages of CUDA out.

geoseg needs Python >= 3.12. One is looked for on PATH and in pyenv; where there is none, uv fetches one. uv itself is
taken from PATH or installed into .venv-uv; where it cannot be had, the environment is built by venv and pip.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
UV_FOLDER = ROOT / ".venv-uv"
LOCK = ROOT / "requirements.lock"
MINORS = (13, 12, 14)  # geoseg is developed with 3.13
TORCH = ("torch", "torchvision")
CUDA = ("cuda-", "nvidia-", "triton")  # how the names of the packages begin that only torch for CUDA needs
RESOLVE = "pip compile --extra dev --universal --python-version 3.12 --generate-hashes --no-annotate --upgrade --quiet"
ACCEPT = "import sys; print(sys.executable if sys.version_info >= (3, 12) else '')"


def main() -> None:
    """Build the environment, or bring the one that stands up to date."""
    python = find_python()
    uv = find_uv() or install_uv(python)
    if not python and not uv:
        sys.exit("environment: no Python >= 3.12, and no uv to fetch one, nor pip to install it: install one of them")
    print(f"environment: {python or 'Python 3.13, fetched by uv'}, {uv or 'pip'} -> {VENV.name}", flush=True)
    if not answer(VENV_PYTHON, "-c", ACCEPT):
        shutil.rmtree(VENV, ignore_errors=True)
        run(*([uv, "venv", "--python", python or "3.13"] if uv else [python, "-m", "venv"]), VENV)
    for command in installs(uv, os.environ.get("TORCH_BACKEND", "")):
        run(*command)


def lock() -> None:
    """Write requirements.lock for Python >= 3.12 on any system; it names no package index."""
    uv = find_uv() or install_uv(find_python())
    if not uv:
        sys.exit("environment: no uv, which alone resolves for all systems at once, nor pip to install it: install uv")
    written = ["--no-emit-index-url", "--custom-compile-command", "make lock", "--output-file", LOCK.name]
    run(uv, *RESOLVE.split(), *written, "pyproject.toml")


def installs(uv: str, torch_backend: str) -> list:
    """Return the commands that fill .venv, in order.

    The lock is complete, so that no dependency has to be looked for; setuptools, which builds geoseg, is in it.
    """
    if torch_backend and not uv:
        sys.exit(f"environment: TORCH_BACKEND={torch_backend} needs uv: install it, or leave TORCH_BACKEND unset")
    install = [uv, "pip", "install", "--python", VENV_PYTHON] if uv else [VENV_PYTHON, "-m", "pip", "install"]
    install.append("--no-deps")
    hashed = [*install, "--require-hashes", *(["--build-constraints", LOCK] if uv else []), "-r"]
    geoseg = [*install, "--no-build-isolation", "-e", "."]
    if not torch_backend:
        return [[*hashed, LOCK], geoseg]
    locked = locked_packages(LOCK.read_text(encoding="utf-8"))
    torch = [re.match(r"\S+", locked[name]).group() for name in TORCH]
    rest = [text for name, text in locked.items() if name not in TORCH and not name.startswith(CUDA)]
    handle, path = tempfile.mkstemp(suffix=".lock", text=True)
    with os.fdopen(handle, "w") as file:
        file.writelines(rest)
    return [[*install, f"--torch-backend={torch_backend}", *torch], [*hashed, path], geoseg]


def locked_packages(text: str) -> dict:
    """Return the lines of each package of a lock, version and hashes, by its name."""
    found = re.findall(r"^(([\w.-]+)==.*\n(?:[ ].*\n)*)", text, re.MULTILINE)
    return {name: lines for lines, name in found}


def find_python() -> str:
    """Return the path of a Python >= 3.12, or ""."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [path for minor in MINORS for path in on_path(f"python3.{minor}")]
    candidates += on_path("python3")
    candidates += [path for minor in MINORS for path in sorted(pyenv.glob(f"3.{minor}.*/bin/python"))]
    return next(filter(None, (answer(path, "-c", ACCEPT) for path in candidates)), "")


def find_uv() -> str:
    """Return the path of a uv, or ""."""
    candidates = [*on_path("uv"), UV_FOLDER / "bin" / "uv"]
    return next((str(path) for path in candidates if answer(path, "--version")), "")


def install_uv(python: str) -> str:
    """Install uv into its own folder with whichever Python has pip, and return its path, or "" where that fails.

    Debian and Ubuntu leave pip out of their python3; then the Python that was found may have it.
    """
    print(f"environment: installing uv into {UV_FOLDER.name}", flush=True)
    target = ["install", "--quiet", "--no-user", "--only-binary", ":all:", "--upgrade", "--target", UV_FOLDER, "uv"]
    for program in filter(None, (sys.executable, python)):
        if answer(program, "-m", "pip", "--version"):
            subprocess.run([program, "-m", "pip", *map(str, target)], check=False)
            break
    return find_uv()


def on_path(name: str) -> list:
    """Return every file called ``name`` on PATH: the first may be a pyenv shim that runs nothing."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return [folder / name for folder in folders if (folder / name).is_file()]


def answer(*command) -> str:
    """Return what ``command`` prints, or "" where it cannot be run or fails."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run(*command) -> None:
    """Run ``command`` in the repository, or end with its exit code and its name."""
    done = subprocess.run([str(part) for part in command], cwd=str(ROOT), check=False)
    if done.returncode:
        print("environment: failed: " + " ".join(map(str, command)), file=sys.stderr)
        sys.exit(done.returncode)


if __name__ == "__main__":
    lock() if sys.argv[1:] == ["lock"] else main()
