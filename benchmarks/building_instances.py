"""Buildings told apart in two ways on ground that neither has seen: by the border class, and by centres and offsets.

usage: python benchmarks/building_instances.py --data FOLDER --instances BUNDLE [--border buildings] [--place NAME]
FOLDER is that of building_places.py. The border way gives the polygons of `geoseg buildings`, ranked by confidence; the
other those of instances.gpkg, ranked by score, as they are and after `geoseg regularize`. All leave out objects below
5 m2, and the parts of a place that are not judged. With fewer than 50 buildings a row says little.

The rule, set before anything was scored: centres replace the border as the default of `geoseg buildings` where object
F1 and AP are no worse at either place with 50 buildings or more, and one of them is better by 0.01 at both.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely
from building_places import PLACES, Place, judged, true_polygons
from machine import describe

from geoseg import PolygonOptions, RunOptions, predict
from geoseg.scenes.open import open_scene
from geoseg.trust import average_precision, match_objects
from geoseg.values.grid import Grid
from geoseg.vector.footprints.regularize import regularize

UNSEEN = ("banepa (test quarter)", "massachusetts", "quebec", "vegas", "tanzania")
LEAST_M2 = 5.0
BORDER, CENTRES, STRAIGHT = "border", "centres", "centres, regularised"
FILES = {
    BORDER: ("buildings.gpkg", "buildings", "confidence"),
    CENTRES: ("instances.gpkg", "instances", "score"),
    STRAIGHT: ("straight.gpkg", "instances", "score"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--border", default="buildings")
    parser.add_argument("--instances", required=True)
    parser.add_argument("--place", action="append", choices=PLACES)
    parser.add_argument("--only", choices=("border", "centres"))
    args = parser.parse_args()
    print(describe())
    print("| place | buildings | way | found | object F1 | mean IoU of those found | AP50 | AP |\n" + "|---" * 8 + "|")
    for name in args.place or UNSEEN:
        for ways, model in (((BORDER,), args.border), ((CENTRES, STRAIGHT), args.instances)):
            if args.only not in (None, ways[0]):
                continue
            with tempfile.TemporaryDirectory() as folder:
                for row in score(PLACES[name], args.data, ways, model, Path(folder)):
                    print(f"| {name} | {' | '.join(row)} |", flush=True)


def score(place: Place, data: Path, ways: tuple[str, ...], model: str, folder: Path) -> Iterator[list[str]]:
    """Run a model over the part of a place that is judged and yield the cells of a row for each way."""
    scene = open_scene([str(data / name) for name in place.scene], bands=place.bands)
    ground, aoi = judged(place, scene.grid), folder / "ground.gpkg"
    gpd.GeoSeries([ground], crs=scene.grid.crs).to_file(aoi)
    polygons = PolygonOptions(min_area_m2=LEAST_M2) if BORDER in ways else None
    out = predict(scene, model, folder / "out", options=RunOptions(aoi=str(aoi)), polygons=polygons).folder
    if STRAIGHT in ways:
        regularize(out / FILES[CENTRES][0], out / FILES[STRAIGHT][0], layer=FILES[CENTRES][1])
    truth = true_polygons(data / place.truth, scene.grid, ground)
    for way in ways:
        predicted, sure = found(out, way, scene.grid, ground)
        matched = match_objects(truth, predicted)
        precisions = average_precision(truth, predicted, sure)
        yield [
            f"{len(truth)} | {way} | {len(predicted)}",
            *(f"{v:.3f}" for v in (matched.f1, matched.mean_iou, precisions[0], precisions.mean())),
        ]


def found(out: Path, way: str, grid: Grid, ground: Any) -> tuple[Any, Any]:
    """Return the polygons of a run on the ground that is judged, and how sure each is."""
    file, layer, column = FILES[way]
    frame = gpd.read_file(out / file, layer=layer).to_crs(grid.crs)
    frame = frame[(frame["area_m2"] >= LEAST_M2) & frame.representative_point().within(ground)]
    return shapely.make_valid(frame.geometry.values), frame[column].to_numpy()


if __name__ == "__main__":
    main()
