"""Expected calibration error of shipped models on ground that they have not seen, before and after geoseg calibrate.

usage: python benchmarks/calibration_places.py DATA [--case NAME ...] [--method vector]
DATA holds the folders of building sites; nothing of it is copied. Squares of 128 px like a chessboard's are fitted to,
and the others show the error: they are not seen by training or calibration, but lie beside what calibration saw.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from machine import describe

from geoseg.models.bundle import load_model

BANEPA = ("banepa_np/banepa.tif", "banepa_np/banepa_buildings.gpkg", 0.25)
MASSACHUSETTS = ("massachusetts_us/22978945_15.tif", "massachusetts_us/22978945_15_buildings.gpkg", 0.3)
AUSTIN = ("austin_us/austin.tif", "austin_us/austin_buildings.gpkg", 1.0)
CASES = {  # model, and scene, labels and the share of the scene, from the east, that is looked at
    "buildings, Banepa, its test quarter": ("buildings", BANEPA),
    "buildings, Massachusetts": ("buildings", MASSACHUSETTS),
    "buildings-banepa, Banepa, its test quarter": ("buildings-banepa", BANEPA),
    "buildings-banepa, Austin": ("buildings-banepa", AUSTIN),
}


def row(model: str, ground: tuple[str, str, float], data: Path, work: Path, method: str) -> str:
    """Return what calibrating a model on a ground gives."""
    scene, labels, share = ground
    one: dict[str, Any] = {"scene": scene, "labels": labels, "use": "test"}
    if share < 1:
        one |= {"use": "split", "split": {"validation": {"side": "east", "share": share}, "buffer_px": 0}}
    content = {
        "job": "train", "name": "ground", "data_folder": str(data.resolve()), "data": [one],
        "target": {"kind": "buildings"}, "bands": "red,green,blue",
    }  # fmt: skip
    config, made = work / "ground.yaml", work / "calibrated"
    config.write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [sys.executable, "-m", "geoseg", "calibrate", model, str(config), "-o", str(made), "--method", method, "-q"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return f"refused: {done.stderr.strip().splitlines()[-1]} | | |"
    told = load_model(str(made)).spec.training["calibration"]
    return f"{told['objects'][1]} | {told['before']['ece']:.3f} | {told['after']['ece']:.3f} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--method", choices=("temperature", "vector"), default="temperature")
    asked = parser.parse_args()
    print(describe())
    print(f"{asked.method}\n\n| model, ground | buildings | ECE before | ECE after |\n|---|---|---|---|")
    for name in asked.case:
        with tempfile.TemporaryDirectory() as work:
            print(f"| {name} | {row(*CASES[name], asked.data, Path(work), asked.method)}", flush=True)


if __name__ == "__main__":
    main()
