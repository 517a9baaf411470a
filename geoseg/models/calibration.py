"""Calibration windows beside a bundle: what its network has seen of scenes that may be passed on; exports ask for them.

They stand in no description: a bundle is the same with and without them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.disk.files import atomic, sha256_of
from geoseg.errors import ModelError
from geoseg.models.spec import ModelSpec

FILE = "calibration.safetensors"
BORDER_FILE = "border_profile.json"  # see border.py
MOST_BYTES = 2 * 10**6
LEAST_PX = 32
LEAST_JUDGED = 30_000  # pixels by which 8 bits are judged: on fewer, of plain ground, they pass where maps do not
KEY = "windows"


def store(folder: Path, windows: NDArray[np.float32], spec: ModelSpec) -> tuple[int, int]:
    """Write windows (N, C, h, w) beside a bundle as fp16, cut to what 2 MB hold; returns their number and side.

    All of them where a side of ``LEAST_PX`` and more allows it, else fewer.
    """
    from safetensors.numpy import save

    count, bands, side = len(windows), windows.shape[1], min(windows.shape[2:])
    multiple = spec.multiple_px if spec.multiple_px <= side else 1
    while count * bands * side**2 * 2 > MOST_BYTES and side > max(LEAST_PX, multiple):
        side -= multiple
    count = max(1, min(count, MOST_BYTES // (bands * side**2 * 2)))
    kept = windows[np.linspace(0, len(windows) - 1, count).astype(int), :, :side, :side]
    with atomic(folder / FILE) as file:
        file.write_bytes(save({KEY: np.ascontiguousarray(kept, np.float16)}))
    return count, side


def stored(folder: Path, spec: ModelSpec) -> NDArray[np.float32] | None:
    """Return the windows beside a bundle, mirrored to its own size, (N, C, h, w); None where there are none.

    Raises ModelError for a file that holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = folder / FILE
    if not file.is_file():
        return None
    try:
        windows = load(file.read_bytes())[KEY].astype(np.float32)
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"{file}: holds no calibration windows ({error}); remove it") from error
    if windows.ndim != 4 or windows.shape[1] != len(spec.bands) or not np.isfinite(windows).all() or not windows.size:
        raise ModelError(f"{file}: holds no windows of {len(spec.bands)} bands; remove it")
    return of_size(windows, spec.window_px)


def fault_in_8_bits(folder: str | Path) -> str:
    """Return why the windows beside a bundle are too few to judge 8 bits by, empty where they, or none, are there.

    Every second window gives the ranges, and the others are judged: their own pixels count, not mirrored ones.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(folder) / FILE, "np") as opened:
            count, _, height, width = opened.get_slice(KEY).get_shape()
    except (OSError, SafetensorError, ValueError):
        return ""  # what reads the windows says so
    judged = count // 2 * height * width
    least = f"its calibration windows judge 8 bits by {judged} pixels, and {LEAST_JUDGED} are the least"
    return "" if judged >= LEAST_JUDGED else least


def digest(folder: str | Path) -> str:
    """Return the sha256 of the windows beside a bundle, empty where there are none: ranges of 8 bits come from them."""
    file = Path(folder) / FILE
    return sha256_of(file) if file.is_file() else ""


def of_size(windows: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return windows (N, C, h, w) mirrored at their far edges to ``side`` pixels."""
    more = [(0, max(0, side - length)) for length in windows.shape[2:]]
    return np.pad(windows, [(0, 0), (0, 0), *more], mode="reflect" if min(windows.shape[2:]) > 1 else "edge")
