"""Every raster of a folder: `geoseg info`, and `geoseg predict` of its first band with the identity probe.

python benchmarks/corpus.py --data FOLDER

Prints a line for each: the share of its pixels that are mapped, how far the map is from the pixels themselves, and what
is said of the scene; or the sentence that refuses it. Exit code 1 where one ends as nothing of geoseg's own.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from geoseg.cli import main as geoseg
from geoseg.errors import GeosegError
from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.tile_lists import RASTERS
from geoseg.values.bands import BandSet
from geoseg.values.box import Box
from geoseg.values.classes import BUILDING_CLASSES

MOST_PX = 2048  # along an axis that are compared
KNOWN_CODES = {0, 3}


def probe(folder: Path, low: float, high: float) -> Path:
    """Save the identity probe of one band, whose p is 0 at ``low`` and 1 at ``high``."""
    arch = Architecture(name="probe-identity")
    spec = ModelSpec(
        name=folder.name, arch=arch, bands=BandSet.parse("red").bands, gsd_m=None, classes=BUILDING_CLASSES,
        normalisation=Normalisation(mean=(low,), std=(max(high - low, 1e-6),)), window_px=256, margin_px=16, ramp_px=32,
        channels=(Channel(name="low", class_id=1), Channel(name="high", class_id=2)),
    )  # fmt: skip
    save_model(folder, build_network(arch, in_channels=1, out_channels=2), spec=spec, overwrite=True)
    return folder


def tried(path: Path, folder: Path) -> tuple[int, str]:
    """Return the exit code of a raster, and a line of what came out."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = geoseg(["info", str(path)])
    if code:
        return code, said.getvalue().strip().splitlines()[-1]
    scene = open_scene(path, bands="1")
    box = Box(0, 0, *(min(n, MOST_PX) for n in scene.grid.shape))
    raster = read(scene, box)
    values = scene.physical(raster.data.astype(np.float32))[0]
    seen = values[raster.valid]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    flags = ["--bands", "1", "--probabilities", "--device", "cpu", "--overwrite", "--fresh", "-q"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = geoseg(
            ["predict", str(path), "-m", str(probe(folder / "probe", low, high)), "-o", str(folder / "out"), *flags]
        )
    if code:
        return code, said.getvalue().strip().splitlines()[-1]
    with rasterio.open(folder / "out" / "probabilities.tif") as src:
        p = src.read(2)[: box.row1, : box.col1]
    wrong = int(((p != 0) != raster.valid).sum())
    exact = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 254 + 1
    off = float(np.abs(p - exact)[raster.valid].max()) if seen.size else 0.0
    notes = "; ".join(scene.notes)
    return code, f"mapped {raster.valid.mean():.1%}, {wrong} pixels masked otherwise, p off by {off:.2f} of 254 {notes}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    worst = 0
    suffixes = (*RASTERS, ".gtif")
    for path in sorted(p for p in args.data.rglob("*") if p.suffix.lower() in suffixes):
        with tempfile.TemporaryDirectory() as name:
            try:
                code, line = tried(path, Path(name))
            except GeosegError as error:
                code, line = error.exit_code, str(error)
        worst |= code not in KNOWN_CODES
        print(f"{path.relative_to(args.data)}  {code}  {line}", flush=True)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
