"""What overlap costs and gives: a scene mapped with windows that overlap more and more, beside one window of all of it.

usage: python benchmarks/overlap.py [--model land-cover] [--size 1024] [--shares 0.25 0.375 0.5]

For the model's own overlap and each share of a window's side (``--window-overlap``): windows, network pixels over the
scene's, CPU seconds of the run and times those of the model's own, labels that differ from those of one window that
holds the whole scene (in fp32, one lane).
"""

import argparse
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import rasterio
from numpy.typing import NDArray
from scenes import laid_out

from geoseg import RunOptions, predict
from geoseg.models.bundle import load_model

DEMO = Path(__file__).resolve().parents[1] / "geoseg" / "demo"
SCENES = {
    "land-cover": ("land_cover.tif", 1.0),
    "buildings": ("scene.tif", 0.26),
    "buildings-banepa": ("scene.tif", 0.26),
}


def mapped(scene: Path, model: str, out: Path, share: float | None) -> tuple[NDArray[np.uint8], float, dict[str, int]]:
    """Return the classes of a run, its CPU seconds, and its windows."""
    options = RunOptions(
        tta="none", precision="fp32", lanes=1, device="cpu", layers=("classes",), window_overlap=share, overwrite=True
    )
    began = time.process_time()
    result = predict(scene, model, out, options=options)
    seconds = time.process_time() - began
    with rasterio.open(out / "classes.tif") as src:
        return src.read(1), seconds, result.run["windows"]


def in_one_window(scene: Path, model: str, folder: Path, size: int) -> NDArray[np.uint8]:
    """Return the classes of a scene that one window holds."""
    from geoseg.models.bundle import save_model

    bundle = load_model(model)
    side = -(-size // bundle.spec.multiple_px) * bundle.spec.multiple_px
    wide = bundle.spec.model_copy(update={"window_px": side, "probed": None})
    save_model(folder / "wide", bundle.network(), spec=wide)
    return mapped(scene, str(folder / "wide"), folder / "whole", None)[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="land-cover", choices=SCENES)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.375, 0.5])
    asked = parser.parse_args()
    print(machine.describe())
    print(f"{asked.model}, {asked.size} px square")
    print("\n| overlap | windows | network px / scene px | CPU s | times the model's own | labels that differ |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder, (name, gsd_m) = Path(scratch), SCENES[asked.model]
        scene = laid_out(DEMO / name, asked.size, folder / "scene.tif", gsd_m=gsd_m)
        whole = in_one_window(scene, asked.model, folder, asked.size)
        side, own = load_model(asked.model).spec.window_px, 0.0
        for share in (None, *asked.shares):
            classes, seconds, windows = mapped(scene, asked.model, folder / "out", share)
            own = own or seconds
            network_px, name = windows["run"] * side**2 / asked.size**2, "its own" if share is None else f"{share:g}"
            print(
                f"| {name} | {windows['run']} | {network_px:.2f} | {seconds:.1f} "
                f"| {seconds / own:.2f} | {(classes != whole).mean():.4%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
