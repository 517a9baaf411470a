"""What `land-cover` makes of desert and sea, by red, green and blue alone: what it takes the pixels of each label for.

usage: python benchmarks/land_cover_elsewhere.py --data FOLDER [--scene 2 --scene 6]
FOLDER holds dubai_ae_rgb_landcover/ (satellite images of about 1 m, pansharpened); nothing of it is copied. Its labels
are other classes than the model's: buildings are whole blocks with their yards, and land is mostly sand.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from machine import MEMORY_BYTES, describe

from geoseg import RunOptions, load_model, open_scene, predict

LABELS = {1: "building block", 2: "land", 3: "road", 4: "vegetation", 5: "water"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scene", action="append", type=int, choices=range(1, 9))
    args = parser.parse_args()
    print(describe())
    model = load_model("land-cover")
    classes = {c.id: c.name for c in model.spec.classes}
    print(f"| scene | label (pixels) | {' | '.join(classes.values())} |\n{'|---' * (2 + len(classes))}|")
    for number in args.scene or (2, 6):
        path = args.data / "dubai_ae_rgb_landcover" / f"dubai_{number}.tif"
        with tempfile.TemporaryDirectory() as folder:
            scene = open_scene(str(path), bands="red,green,blue")
            predict(scene, model, Path(folder) / "out", options=RunOptions(memory_bytes=MEMORY_BYTES))
            said = read(Path(folder) / "out" / "classes.tif")
        truth = read(path.with_name(f"{path.stem}_lc.tif"))
        for value, name in LABELS.items():
            seen = said[(truth == value) & (said > 0)]
            shares = (f"{np.mean(seen == c):.3f}" for c in classes)
            print(f"| {number} | {name} ({len(seen):,}) | {' | '.join(shares)} |", flush=True)


def read(path: Path) -> np.ndarray:
    """Return the first band of a raster."""
    with rasterio.open(path) as src:
        return src.read(1)


if __name__ == "__main__":
    main()
