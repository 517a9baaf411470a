"""Fine-tuning `buildings` on six tiles of a town that it never saw: what five minutes give on ground beside them.

usage: python benchmarks/fine_tuning.py DATA [--row NAME ...] [--steps 96]
DATA holds massachusetts_us. Tiles of 192 m stand in for what somebody would draw: four to learn of, two to watch. All
rows are scored on the eastern 30 % of the scene, through `geoseg predict` and `geoseg evaluate`, as a user would.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import shapely
import yaml
from machine import describe

from geoseg import PolygonOptions, predict
from geoseg.cli import main as geoseg
from geoseg.jobs.evaluate import evaluate
from geoseg.models.bundle import load_model
from geoseg.scenes.open import open_scene

SCENE, LABELS = "massachusetts_us/22978945_15.tif", "massachusetts_us/22978945_15_buildings.gpkg"
SIDE, TILES = 192, ((0, 100), (0, 500), (260, 100), (260, 500), (640, 100), (640, 500))  # rows, columns
EAST = 0.3
ROWS: dict[str, dict[str, Any] | None] = {
    "buildings, as it comes": None,
    "encoder frozen": {"start_from": "buildings", "encoder": {"freeze_epochs": 1000}},
    "encoder at a third of the rate": {"start_from": "buildings", "encoder": {"rate": 0.3}},
    "no start": {},
}


def tiles(data: Path, folder: Path) -> tuple[Path, Path]:
    """Write the tiles that are labelled, and the ground that all are scored on."""
    with rasterio.open(data / SCENE) as src:
        place, crs, width, height = src.transform, src.crs, src.width, src.height
    squares = [shapely.box(*(place @ (col, row + SIDE)), *(place @ (col + SIDE, row))) for row, col in TILES]
    test = shapely.box(*(place @ (round(width * (1 - EAST)), height)), *(place @ (width, 0)))
    for name, shapes in (("tiles", squares), ("test", [test])):
        gpd.GeoSeries(shapes, crs=crs).to_file(folder / f"{name}.gpkg")
    return folder / "tiles.gpkg", folder / "test.gpkg"


def config(data: Path, folder: Path, area: Path, row: dict[str, Any], steps: int) -> Path:
    """Write what is trained."""
    donor = load_model("buildings").spec
    content = {
        "job": "train", "name": "fine-tuned", "data_folder": str(data.resolve()), "out": str(folder / "model"),
        "data": [{"scene": SCENE, "labels": LABELS, "area": str(area)}],
        "split": {
            "test": {"side": "east", "share": EAST}, "validation": {"side": "north", "share": 0.2}, "buffer_px": 64,
        },
        "target": {"kind": "buildings"}, "bands": "red,green,blue",
        "gsd_m": donor.gsd_m, "gsd_range_m": list(donor.gsd_range_m or ()) or None,
        "arch": donor.arch.model_dump(mode="json"), "window_px": donor.window_px, "margin_px": donor.margin_px,
        "ramp_px": donor.ramp_px, "tta": donor.tta, "calibrate": "none",
        "schedule": {
            "epochs": 4, "steps_per_epoch": steps // 4, "batch": 4, "crop_px": 224, "learning_rate": 1e-3,
            "ema": 0.98, "precision": "fp32", "keep": "last",
        },
        **row,
    }  # fmt: skip
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def score(data: Path, model: str, folder: Path, test: Path) -> str:
    """Return the scores of a model on the ground that no row has seen."""
    found = predict(open_scene(str(data / SCENE)), model, folder / "out", polygons=PolygonOptions())
    said = evaluate(found.folder, data / LABELS, aoi=test, nodata="none").as_json()
    building = said["classes"][-1]
    return f"{building['iou']:.3f} | {building['boundary_f1']:.3f} | {said['objects']['f1']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--row", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=96)
    asked = parser.parse_args()
    print(describe())
    print("| start | building IoU | boundary F1 | object F1 | minutes | CPU minutes |\n|---|---|---|---|---|---|")
    for name in asked.row:
        with tempfile.TemporaryDirectory() as text:
            folder, row = Path(text), ROWS[name]
            area, test = tiles(asked.data, folder)
            model, began, worked = "buildings", time.perf_counter(), time.process_time()
            if row is not None:
                file = config(asked.data, folder, area, row, asked.steps)
                if geoseg(["train", str(file), "-q"]) != 0:
                    raise SystemExit(f"{name}: the training failed")
                model = str(folder / "model")
            minutes = ((time.perf_counter() - began) / 60, (time.process_time() - worked) / 60)
            told = " | ".join("–" if row is None else f"{m:.1f}" for m in minutes)
            print(f"| {name} | {score(asked.data, model, folder, test)} | {told} |", flush=True)


if __name__ == "__main__":
    main()
