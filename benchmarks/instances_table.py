"""Touching buildings told apart: F1 at IoU 0.5 on footprints that were not dissolved, with a simulated border class.

usage: python benchmarks/instances_table.py POLYBENCH [--sites bubenec,soho] [--seeds 1,2,3]
    POLYBENCH    the folder of polybench.py and instances.py with its truth/

The border class is a band of 0.35 m around walls that two buildings share, 15 % of the walls missed, blurred and noisy;
each seed draws another. It prints the row of docs/polygons.md for the labels of ``label_instances``, each as the edges
of its pixels, and for the polygons that are fitted to them; and what nobody can reach who does not guess: the true
footprints, merged along the missed walls. Needs OpenCV beside geoseg, for the border class:
    pip install opencv-python-headless
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import shapely
from affine import Affine
from machine import describe
from numpy.typing import NDArray
from polygons_table import load
from rasterio import features
from rasterio.crs import CRS
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints, label_instances

GSD_M, LEVEL = 0.3, "std"
METRES = CRS.from_epsg(32633)
MISSED = 0.15  # share of walls that instances.py leaves out, by the same random numbers as here
REACH_M, BAND_M = 0.3, 0.35

Shapes = NDArray[np.object_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polybench", type=Path)
    parser.add_argument("--sites", default="bubenec,soho")
    parser.add_argument("--seeds", default="1,2,3")
    args = parser.parse_args()
    bench = load(args.polybench / "polybench.py")
    simulate = border_simulation(args.polybench / "instances.py")
    seeds = [int(seed) for seed in args.seeds.split(",")]
    print(describe())
    print(f"| site | seeds | labels | fitted | walls missed | at best |\n{'|---' * 6}|")
    for site in args.sites.split(","):
        truth = bench.load_truth(site, dissolve=False)
        _, probability, transform = bench.get_case(site, GSD_M, LEVEL)
        rows = []
        for seed in seeds:
            labels = label_instances(probability, simulate(truth, probability.shape, transform, seed))
            missed = missed_walls(truth, seed)
            found = (
                pixel_polygons(labels, transform),
                fitted_polygons(probability, labels, transform, bench),
                merged(truth, missed),
            )
            labelled, fitted, best = (bench.score(truth, bench.tidy(p), GSD_M, 1)["F1@50"] for p in found)
            rows.append((f"{labelled:.3f}", f"{fitted:.3f}", f"{len(missed)}", f"{best:.3f}"))
        cells = (", ".join(values) for values in zip(*rows, strict=True))
        print(f"| {site} | {args.seeds} | {' | '.join(cells)} |")


def border_simulation(path: Path) -> Callable[..., NDArray[np.uint8]]:
    """Return ``simulate_border`` of instances.py, without running the rest of that script."""
    source = path.read_text(encoding="utf-8")
    begin = source.index("def simulate_border")
    names: dict[str, object] = {"np": np, "shapely": shapely, "features": features, "cv2": import_module("cv2")}
    exec(source[begin : source.index("\ndef ", begin)], names)
    return names["simulate_border"]  # type: ignore[return-value]


def missed_walls(truth: Shapes, seed: int) -> list[tuple[int, int]]:
    """Return the pairs of touching buildings whose wall the simulated border of this seed misses."""
    rng = np.random.default_rng(seed)
    pairs = shapely.STRtree(truth).query(truth, predicate="dwithin", distance=REACH_M)
    return [(int(i), int(j)) for i, j in pairs.T[pairs[0] < pairs[1]] if rng.random() <= MISSED]


def pixel_polygons(labels: NDArray[np.int32], transform: Affine) -> list[shapely.Polygon]:
    """Return each label as the edges of its pixels."""
    return [shapely.geometry.shape(g) for g, _ in features.shapes(labels, mask=labels > 0, transform=transform)]


def fitted_polygons(
    probability: NDArray[np.uint8], labels: NDArray[np.int32], transform: Affine, bench: ModuleType
) -> Shapes:
    rules = FootprintRules(min_area_m2=bench.MIN_AREA, min_hole_m2=bench.MIN_HOLE)
    grid = Grid(METRES, transform, probability.shape)
    return extract_footprints(probability, grid, rules, labels=labels).geometries


def merged(truth: Shapes, walls: list[tuple[int, int]]) -> list[shapely.Geometry]:
    """Return the footprints with those one that share one of the walls."""
    links = coo_array((np.ones(len(walls), bool), np.array(walls).reshape(-1, 2).T), shape=(len(truth), len(truth)))
    group = connected_components(links, directed=False)[1]
    return [shapely.union_all(truth[group == k]).buffer(BAND_M).buffer(-BAND_M) for k in range(group.max() + 1)]


if __name__ == "__main__":
    main()
