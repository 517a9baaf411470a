"""What a figure was measured on: machine, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("geoseg", "torch", "rasterio", "numpy", "shapely", "dask")


def cpu_name() -> str:
    """Return the CPU's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe() -> str:
    """Return one line that every benchmark prints first."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False).stdout.strip()
    packages = ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{cpu_name()}, {os.process_cpu_count()} CPUs, {memory:.0f} GiB; Python {platform.python_version()}, {packages}; "
        f"commit {commit or 'unknown'}{' with changes' if changed else ''}"
    )
