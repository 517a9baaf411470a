"""Accuracy of a building model on ground it has never seen, beside the answer "all building".

usage: python benchmarks/accuracy.py SCENE TRUTH [--model buildings] [--columns A:B] [--tta VIEWS] [--threshold T]
    --columns A:B    judge only these columns of the scene (banepa.tif: validation 0:435, test 2304:3072)

The specialist's figures, with BANEPA from benchmarks/rebuild_banepa.py (one line):
    python benchmarks/accuracy.py BANEPA/banepa.tif BANEPA/banepa_buildings.gpkg --columns 2304:3072
        --model buildings-banepa
"""

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import rasterio
from machine import describe
from shapely import box

from geoseg import PolygonOptions, RunOptions, predict
from geoseg.jobs.evaluate import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--model", default="buildings")
    parser.add_argument("--columns", default="0:")
    parser.add_argument("--split", default="borders")
    parser.add_argument("--method", default="regular")
    parser.add_argument("--tta")
    parser.add_argument("--threshold", type=float)
    args = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        with rasterio.open(args.scene) as src:
            first, _, last = args.columns.partition(":")
            left, top = src.transform @ (int(first or 0), 0)
            right, bottom = src.transform @ (int(last or src.width), src.height)
            ground = gpd.GeoSeries([box(left, bottom, right, top)], crs=src.crs)
        ground.to_file(Path(folder) / "ground.gpkg")
        options = RunOptions(tta=args.tta, threshold=args.threshold)
        polygons = PolygonOptions(method=args.method, split=args.split)
        result = predict(args.scene, args.model, Path(folder) / "out", options=options, polygons=polygons)
        found = evaluate(result.folder, args.truth, aoi=Path(folder) / "ground.gpkg", tolerance_m=1.0).as_json()
    building, objects, base = found["classes"][-1], found["objects"], found["baseline"]
    run = result.run
    print(f"{args.scene.name}, columns {args.columns}, model {run['model']['name']}, tta {run['plan']['tta']}")
    print(f"polygons: split {args.split}, method {args.method}")
    print("| | IoU | F1 | boundary F1 at 1 m | object F1 at IoU 0.5 |\n|---|---|---|---|---|")
    scores = (building["iou"], building["f1"], building["boundary_f1"], objects["f1"])
    print(f"| geoseg | {' | '.join(f'{s:.3f}' for s in scores)} |")
    print(f"| all building | {base['iou']:.3f} | {base['f1']:.3f} | – | – |")


if __name__ == "__main__":
    main()
