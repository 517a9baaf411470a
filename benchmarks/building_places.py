"""Building models side by side on every labelled place: pixels, boundaries, objects, and whether confidence sifts.

usage: python benchmarks/building_places.py --data FOLDER --model buildings --model OTHER [--place NAME] [--tta VIEWS]
FOLDER holds banepa_np/, massachusetts_us/ and so on; nothing of it is copied. Places that a model was trained on say
so: their figures are no measure of other ground. With fewer than 50 buildings only IoU and counts are of use.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import shapely
from machine import MEMORY_BYTES, describe
from numpy.typing import NDArray

from geoseg import PolygonOptions, RunOptions, predict
from geoseg.jobs.evaluate import evaluate
from geoseg.scenes.labelled import burn
from geoseg.scenes.open import open_scene
from geoseg.trust import match_objects
from geoseg.values.grid import Grid

SIFTED = (0.0, 0.5, 0.8)  # confidences from which polygons count
VEGAS = "vegas_us_rgbn/SpaceNet_AOI_2_Las_Vegas-056155973080_01_P001-WV03"


@dataclass(frozen=True)
class Place:
    """A labelled scene, and the part of it that is judged."""

    scene: tuple[str, ...]
    truth: str
    columns: tuple[int, int] | None = None  # the part that is judged; None: all of it
    bands: str | None = None


@dataclass(frozen=True)
class Run:
    """A model's outputs over a place, and its truth."""

    folder: Path
    labels: Path
    grid: Grid
    ground: Any  # the polygon that is judged
    truth: Any
    predicted: gpd.GeoDataFrame  # polygons on that ground
    seconds: float  # of CPU


PLACES = {
    "banepa (test quarter)": Place(("banepa_np/banepa.tif",), "banepa_np/banepa_buildings.gpkg", (2304, 3072)),
    "massachusetts": Place(("massachusetts_us/22978945_15.tif",), "massachusetts_us/22978945_15_buildings.gpkg"),
    "quebec": Place(("quebec_ca/tiled_image_1.tif",), "quebec_ca/tiled_label_1.tif"),
    "vegas": Place(tuple(f"{VEGAS}-{b}.tif" for b in "RGB"), f"{VEGAS}.gpkg", bands="red,green,blue"),
    "tanzania": Place(("tanzania_tz/tanzania.tif",), "tanzania_tz/tanzania_buildings.gpkg"),
    "austin": Place(("austin_us/austin.tif",), "austin_us/austin_buildings.gpkg"),
    "chicago": Place(("chicago_us/chicago_strip.tif",), "chicago_us/chicago_strip_buildings.gpkg"),
    "kitsap": Place(("kitsap_us/kitsap.tif",), "kitsap_us/kitsap_buildings.gpkg"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--place", action="append", choices=PLACES)
    parser.add_argument("--tta", action="append", help="views of a window, such as none; unset: the model's")
    args = parser.parse_args()
    print(describe())
    print(head())
    for name in args.place or PLACES:
        for model in args.model:
            for tta in args.tta or [None]:
                with tempfile.TemporaryDirectory() as folder:
                    row = score(PLACES[name], args.data, model, Path(folder), tta=tta)
                print(f"| {name} | {Path(model).name} | {tta or 'its own'} | {' | '.join(row)} |", flush=True)


def head() -> str:
    """Return the head of the table."""
    sifted = " | ".join(f"P/R of polygons, confidence ≥ {c:g}" for c in SIFTED)
    names = f"| place | model | views | IoU | boundary F1 at 1 m | object F1 | {sifted} | ECE | CPU s |"
    return f"{names}\n{'|---' * (8 + len(SIFTED))}|"


def score(place: Place, data: Path, model: str, folder: Path, *, tta: str | None) -> list[str]:
    """Run a model over a place and return the cells of its row."""
    run = run_place(place, data, model, folder, tta=tta)
    return cells(run, run.predicted.confidence.to_numpy(float))


def run_place(place: Place, data: Path, model: str, folder: Path, *, tta: str | None = None) -> Run:
    """Run a model over a place, with its outputs under ``folder``."""
    scene = open_scene([str(data / name) for name in place.scene], bands=place.bands)
    options, began = RunOptions(probabilities=True, tta=tta, memory_bytes=MEMORY_BYTES), time.process_time()
    result = predict(scene, model, folder / "out", options=options, polygons=PolygonOptions())
    seconds = time.process_time() - began
    with rasterio.open(folder / "out" / "classes.tif") as src:
        grid = Grid(src.crs, src.transform, src.shape)
    ground = judged(place, grid)
    truth = true_polygons(data / place.truth, grid, ground)
    predicted = gpd.read_file(folder / "out" / "buildings.gpkg", layer="buildings").to_crs(grid.crs)
    predicted = predicted[predicted.representative_point().within(ground)]
    return Run(result.folder, data / place.truth, grid, ground, truth, predicted, seconds)


def cells(run: Run, confidence: NDArray[np.float64]) -> list[str]:
    """Return the cells of a run's row; confidence: of its polygons, (N,)."""
    aoi = run.folder.parent / "ground.gpkg"
    gpd.GeoSeries([run.ground], crs=run.grid.crs).to_file(aoi)
    found = evaluate(run.folder, run.labels, aoi=aoi, nodata="none").as_json()
    building, objects = found["classes"][-1], found["objects"]
    out = [f"{building['iou']:.3f}", f"{building['boundary_f1']:.3f}"]
    out.append("–" if objects is None else f"{objects['f1']:.3f}")
    out += [precision_recall(run.truth, run.predicted[confidence >= least]) for least in SIFTED]
    return [*out, f"{calibration_error(run.folder, run.truth, run.grid, run.ground):.3f}", f"{run.seconds:.1f}"]


def judged(place: Place, grid: Grid) -> Any:
    """Return the polygon of the ground that is judged."""
    first, last = place.columns or (0, grid.width)
    corners = [(first, 0), (last, 0), (last, grid.height), (first, grid.height)]
    return shapely.Polygon([grid.transform @ c for c in corners])


def true_polygons(path: Path, grid: Grid, ground: Any) -> Any:
    """Return the true buildings on the ground that is judged; of a mask, what is connected."""
    if path.suffix == ".tif":
        with rasterio.open(path) as src:
            mask = (src.read(1) > 0).astype(np.uint8)
            shapes = [
                shapely.geometry.shape(s) for s, v in rasterio.features.shapes(mask, transform=src.transform) if v
            ]
        polygons = gpd.GeoSeries(shapes, crs=grid.crs)
    else:
        polygons = gpd.read_file(path).to_crs(grid.crs).geometry
    parts = shapely.get_parts(shapely.make_valid(polygons.values))
    parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return parts[shapely.within(shapely.point_on_surface(parts), ground)]


def precision_recall(truth: Any, predicted: Any) -> str:
    """Return precision / recall of polygons: each matches at most one true building, with IoU of 0.5 or more."""
    found = match_objects(truth, shapely.make_valid(predicted.geometry.values))
    return f"{found.precision:.2f}/{found.recall:.2f} ({found.tp + found.fp} of {found.tp + found.fn})"


def calibration_error(out: Path, truth: Any, grid: Grid, ground: Any, bins: int = 15) -> float:
    """Return the expected calibration error of p(building) over pixels (Naeini et al. 2015), equal-width bins."""
    with rasterio.open(out / "probabilities.tif") as src:
        names = [src.descriptions[i] or "" for i in range(src.count)]
        band = next((i for i, n in enumerate(names) if "building" in n.lower()), src.count - 1) + 1
        value = src.read(band)
    known = (value > 0) & (burn([ground], [1], grid) > 0)
    p = (value[known].astype(np.float64) - 1) / 254
    right = burn(truth, [1] * len(truth), grid)[known] > 0
    at = np.minimum((p * bins).astype(int), bins - 1)
    count, said, seen = (np.bincount(at, w, bins) for w in (None, p, right))
    return float(np.abs(said - seen).sum() / max(count.sum(), 1))


if __name__ == "__main__":
    main()
