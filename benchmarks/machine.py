"""What a figure was measured on: machine, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

MEMORY_BYTES = 4 * 2**30  # of a plan, where it is to be the same whatever else the machine does
PACKAGES = ("geoseg", "torch", "rasterio", "numpy", "shapely", "dask")


def cpu_name() -> str:
    """Return the CPU's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def describe() -> str:
    """Return one line that every benchmark prints first."""
    commit, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "-uno")
    packages = ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{cpu_name()}, {os.cpu_count()} CPUs, {memory:.0f} GiB; "
        f"Python {platform.python_version()}, {packages}; "
        f"commit {commit or 'unknown'}{' with changes' if changed else ''}"
    )
