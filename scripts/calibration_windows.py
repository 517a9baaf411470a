"""Store calibration windows and border profiles beside the bundles that come with geoseg, from the demo's scenes.

usage: python scripts/calibration_windows.py [FOLDER]    (default: geoseg/models/bundled, replaced)
``spectral`` gets no windows: no scene that comes with geoseg has its bands. Its profile is measured on noise, which
serves as well as any values where each pixel is judged alone. The others keep the profiles that their trainings wrote.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.jobs.calibration import MOST_OF_BORDER, windows_of
from geoseg.models import border
from geoseg.models.bundle import load_model
from geoseg.models.calibration import store
from geoseg.scenes.open import open_scene

PACKAGE = Path(__file__).parents[1] / "geoseg"
SCENES = {
    **dict.fromkeys(("buildings", "buildings-banepa", "buildings-instances"), "scene.tif"),
    "land-cover": "land_cover.tif",
}
SIDE_PX, MOST_BYTES = 64, 200_000  # of a piece, and of all pieces of a bundle


def pieces(windows: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Return ``most`` squares of SIDE_PX from all over windows (N, C, h, w)."""
    n, bands, height, width = windows.shape
    rows, cols = height // SIDE_PX, width // SIDE_PX
    cut = windows[:, :, : rows * SIDE_PX, : cols * SIDE_PX].reshape(n, bands, rows, SIDE_PX, cols, SIDE_PX)
    squares = cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, bands, SIDE_PX, SIDE_PX)
    return squares[np.linspace(0, len(squares) - 1, most).astype(int)]


def write(folder: Path, name: str) -> None:
    """Write those of one bundle under ``folder``."""
    bundle = load_model(name)
    most = MOST_BYTES // (len(bundle.spec.bands) * SIDE_PX**2 * 2)
    squares = pieces(windows_of(open_scene(PACKAGE / "demo" / SCENES[name]), bundle), most)
    (folder / name).mkdir(exist_ok=True)
    print(name, *store(folder / name, squares, bundle.spec))


def write_border(folder: Path, name: str) -> None:
    """Write the border profile of one bundle under ``folder``."""
    bundle = load_model(name)
    side, bands = bundle.spec.window_px, len(bundle.spec.bands)
    if name in SCENES:
        windows = windows_of(open_scene(PACKAGE / "demo" / SCENES[name]), bundle, most=MOST_OF_BORDER)
    else:
        windows = np.random.default_rng(0).random((MOST_OF_BORDER, bands, side, side), np.float32) / 2
    profile = border.measure(bundle, windows)
    if profile is not None:
        (folder / name).mkdir(exist_ok=True)
        border.store(folder / name, profile)
        print(name, profile.in_words())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE / "models" / "bundled"
    for name in SCENES:
        write(target, name)
    for name in ("buildings-banepa", "spectral"):
        write_border(target, name)
