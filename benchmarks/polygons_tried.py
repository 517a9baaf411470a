"""What building polygons would gain by a last fit of their walls to the probability, and by arcs: why there is neither.

usage: python benchmarks/polygons_tried.py POLYBENCH [--sites A,B] [--gsd 0.3,0.5] [--level std] [--seeds 0,1,2]
    POLYBENCH    the folder of polybench.py with its truth/

The last fit moves each wall of the finished polygons to where the probability across it, summed over three pixels to
either side, says that the edge lies, and lets the walls meet again. Arcs are looked for in the true footprints: three
or more corners in a row that turn the same way, by 45° or more together, within 0.3 m of one circle.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import shapely
from affine import Affine
from machine import describe
from numpy.typing import NDArray
from polygons_table import OURS, load
from scipy import ndimage

REACH_PX, STEP_PX = 3.0, 0.25  # across a wall
ALONG_PX, TRIM_PX = 0.5, 1.5  # along it; blur rounds its ends
PARALLEL = 0.3  # sine of the angle between walls below which their corner only moves along with them
ARC_CORNERS, ARC_TURN_DEG, CORNER_TURN_DEG, ARC_MISFIT_M = 3, 45, (3, 50), 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polybench", type=Path)
    parser.add_argument("--sites", default="vegas,atlanta1,bubenec,soho,saratov")
    parser.add_argument("--gsd", default="0.3,0.5")
    parser.add_argument("--level", default="std")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    bench = load(args.polybench / "polybench.py")
    sites, seeds = args.sites.split(","), [int(seed) for seed in args.seeds.split(",")]
    print(describe())
    print("\n| site | GSD m | IoU | after a last fit | PoLiS m | after a last fit |")
    print("|---" * 6 + "|")
    for gsd in map(float, args.gsd.split(",")):
        for site in sites:
            rows = np.mean([last_fit(bench, site, gsd, args.level, seed) for seed in seeds], axis=0)
            print(f"| {site} | {gsd} | {rows[0, 0]:.4f} | {rows[1, 0]:.4f} | {rows[0, 1]:.3f} | {rows[1, 1]:.3f} |")
    print("\n| site | buildings | with an arc | share of all walls |")
    print("|---" * 4 + "|")
    for site in sites:
        truth = bench.load_truth(site)
        arcs = [sum(arc_lengths(building)) for building in truth]
        share = sum(arcs) / shapely.length(truth).sum()
        print(f"| {site} | {len(truth)} | {np.count_nonzero(arcs)} | {100 * share:.1f} % |")


def last_fit(bench: ModuleType, site: str, gsd: float, level: str, seed: int) -> list[list[float]]:
    """Return IoU and PoLiS of the polygons as they are, and after the last fit."""
    truth, probability, transform = bench.get_case(site, gsd, level, seed)
    drawn = np.asarray(bench.METHODS[OURS](probability, transform, gsd), object)
    scale = probability.astype(np.float32) / 255
    moved = np.array([refit(polygon, scale, transform) for polygon in drawn], object)
    return [[float(bench.score(truth, p, gsd, 1)[name]) for name in ("IoU", "PoLiS")] for p in (drawn, moved)]


def refit(polygon: shapely.Polygon, probability: NDArray[np.float32], transform: Affine) -> shapely.Polygon:
    """Return the polygon with its walls where the probability has them; as it is where that makes it invalid."""
    pixels = shapely.transform(polygon, lambda xy: np.column_stack(~transform * xy.T))
    rings = [moved(shapely.get_coordinates(ring)[:-1], probability) for ring in shapely.get_rings(pixels)]
    after = shapely.transform(shapely.Polygon(rings[0], rings[1:]), lambda xy: np.column_stack(transform * xy.T))
    return after if after.is_valid else polygon


def moved(corners: NDArray[np.float64], probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the corners (col, row) of a ring after each wall has moved to its edge in the probability."""
    wall = np.roll(corners, -1, axis=0) - corners
    along = wall / np.hypot(*wall.T)[:, None]
    across = np.column_stack([-along[:, 1], along[:, 0]])
    offset = np.array([edge_offset(*line, probability) for line in zip(corners, wall, across, strict=True)])
    coming = np.roll(along, 1, axis=0)
    sine = coming[:, 0] * along[:, 1] - coming[:, 1] * along[:, 0]
    before, after = np.roll(across, 1, axis=0), across
    a, b = np.roll(offset, 1), offset
    with np.errstate(divide="ignore", invalid="ignore"):
        meet = (a[:, None] * along - b[:, None] * coming) / sine[:, None]
    beside = 0.5 * (a[:, None] * before + b[:, None] * after)
    return corners + np.where(np.abs(sine)[:, None] > PARALLEL, meet, beside)


def edge_offset(
    begin: NDArray[np.float64], wall: NDArray[np.float64], across: NDArray[np.float64], probability: NDArray[np.float32]
) -> float:
    """Return how far across a wall its edge lies: where a step would hold as much probability as there is."""
    length = np.hypot(*wall)
    trim = min(TRIM_PX, length / 4)
    places = np.arange(trim, length - trim, ALONG_PX) / length
    steps = np.arange(-REACH_PX, REACH_PX + STEP_PX / 2, STEP_PX)
    if not len(places):
        return 0.0
    xy = begin + places[:, None, None] * wall + steps[:, None] * across
    profile = ndimage.map_coordinates(probability, [xy[..., 1] - 0.5, xy[..., 0] - 0.5], order=1, mode="nearest")
    lean = profile[:, steps > 0].sum() - profile[:, steps < 0].sum()
    mass = np.trapezoid(profile, dx=STEP_PX, axis=1).mean() - REACH_PX
    return float(-mass if lean > 0 else mass)


def arc_lengths(building: shapely.Polygon) -> Iterator[float]:
    """Yield the lengths of a footprint's arcs."""
    for ring in shapely.get_rings(building):
        corners = shapely.get_coordinates(ring)[:-1]
        wall = np.roll(corners, -1, axis=0) - corners
        angle = np.arctan2(wall[:, 1], wall[:, 0])
        turn = np.degrees((np.roll(angle, -1) - angle + np.pi) % (2 * np.pi) - np.pi)
        slight = (np.abs(turn) > CORNER_TURN_DEG[0]) & (np.abs(turn) < CORNER_TURN_DEG[1])
        first, n = 0, len(corners)
        while first < n:
            last = first
            while last < first + n and slight[last % n] and np.sign(turn[last % n]) == np.sign(turn[first]):
                last += 1
            run = np.arange(first, last)
            points = corners[np.arange(first, last + 2) % n]
            if len(run) >= ARC_CORNERS and abs(turn[run % n].sum()) >= ARC_TURN_DEG and is_arc(points):
                yield float(np.hypot(*np.diff(points, axis=0).T).sum())
            first = max(last, first + 1)


def is_arc(points: NDArray[np.float64]) -> bool:
    """Whether all points lie on the circle that fits them best (Kasa 1976)."""
    local = points - points.mean(axis=0)
    solution = np.linalg.lstsq(np.column_stack([2 * local, np.ones(len(local))]), (local**2).sum(axis=1), rcond=None)[0]
    radius = np.sqrt(solution[2] + solution[0] ** 2 + solution[1] ** 2)
    return bool(np.abs(np.hypot(*(local - solution[:2]).T) - radius).max() <= ARC_MISFIT_M)


if __name__ == "__main__":
    main()
