"""What views of a window (--tta) gain and cost: two bundled models on ground that they have not seen, crops of scenes.

usage: OMP_NUM_THREADS=1 python benchmarks/views.py --data FOLDER [--views VIEWS ...]
FOLDER holds massachusetts_us/22978945_15.tif and banepa_np/banepa.tif with their _buildings.gpkg; nothing is copied.
Scores are of the crop alone; seconds are of CPU, of a whole run with its polygons.
"""

import argparse
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import rasterio
from machine import describe
from rasterio.windows import Window
from shapely import box

from geoseg import PolygonOptions, RunOptions, predict
from geoseg.jobs.evaluate import evaluate

VIEWS = ("none", "flip", "rotate", "d4", "none@0.75,1,1.25", "rotate@0.75,1,1.25")
PLACES = (  # model, scene, columns, rows, width, height: banepa's test quarter, and a town of another country
    ("buildings-banepa", "banepa_np/banepa.tif", Window(2304, 0, 768, 1536)),
    ("buildings", "massachusetts_us/22978945_15.tif", Window(300, 150, 600, 600)),
)


def crop(path: Path, window: Window, folder: Path) -> tuple[Path, Path]:
    """Write a crop of a scene and the polygon of its ground; returns both files."""
    with rasterio.open(path) as src:
        profile = {**src.profile, "width": window.width, "height": window.height, "nodata": None}
        scene, ground = folder / path.name, folder / "ground.gpkg"
        with rasterio.open(scene, "w", **(profile | {"transform": src.window_transform(window)})) as dst:
            dst.write(src.read(window=window))
            area = gpd.GeoSeries([box(*dst.bounds)], crs=dst.crs)
    area.to_file(ground)
    return scene, ground


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--views", nargs="+", default=VIEWS)
    args = parser.parse_args()
    print(describe())
    print("| model | views | IoU | boundary F1 at 1 m | object F1 | CPU s | times |\n|---|---|---|---|---|---|---|")
    for model, name, window in PLACES:
        with tempfile.TemporaryDirectory() as folder:
            scene, ground = crop(args.data / name, window, Path(folder))
            truth, once = (args.data / name).with_name(f"{scene.stem}_buildings.gpkg"), 0.0
            predict(scene, model, Path(folder) / "warm", options=RunOptions(tta="none"), polygons=PolygonOptions())
            for views in args.views:
                out, began = Path(folder) / views.replace(",", "-"), time.process_time()
                predict(scene, model, out, options=RunOptions(tta=views), polygons=PolygonOptions())
                seconds = time.process_time() - began
                once = once or seconds
                found = evaluate(out, truth, aoi=ground, tolerance_m=1.0).as_json()
                of_class = found["classes"][-1]
                scores = (of_class["iou"], of_class["boundary_f1"], found["objects"]["f1"])
                cells = (*(f"{score:.3f}" for score in scores), f"{seconds:.1f}", f"{seconds / once:.1f}")
                print(f"| {model} | {views} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
