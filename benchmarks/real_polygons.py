"""Polygons on what networks really say, beside peers: geoseg, shapes + DP, buildingregulariser, from one raster.

usage: python benchmarks/real_polygons.py --data FOLDER --rasters FOLDER [--model buildings] [--place NAME ...]
--data holds banepa_np/, massachusetts_us/ and so on, as benchmarks/building_places.py names them. --rasters keeps the
probabilities, outside the repository: what is there is not computed again, and Massachusetts takes minutes.

The first table is of matched pairs (IoU of 0.5 or more, one to one): IoU; C-IoU (IoU times the agreement of vertices,
Zorzi et al. 2022); PoLiS (Avbelj et al. 2015); vertices per true vertex, geometric mean, of corners that turn by 5
degrees or more. The other figures are of all polygons: vertices, corners within 5 degrees of a right angle, edges under
0.5 m a polygon, polygons with a corner under 40 degrees, and with an edge under 1.5 m between two turns of 30 to 60
degrees the same way. The row "pixels" holds the network's buildings as the edges of their pixels: no polygon made of
them can have a C-IoU much above its IoU, however it is drawn. buildingregulariser is no part of geoseg:
pip install buildingregulariser==0.2.5 geopandas
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from unittest import mock

import geopandas as gpd
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from building_places import PLACES, judged, true_polygons
from machine import describe
from rasterio.crs import CRS

import geoseg.jobs.drawing
from geoseg import PolygonOptions, RunOptions, predict
from geoseg.scenes.open import open_scene
from geoseg.trust.objects import match_pairs
from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints, label_instances
from geoseg.vector.pixels.instances import border_probability

MIN_AREA_M2, MIN_HOLE_M2, LEAST_SEED_M2 = 5.0, 2.0, 1.0
HEAD = ("IoU", "C-IoU", "PoLiS m", "N-ratio", "vertices", "right angles", "edges < 0.5 m", "spikes", "chamfers")
Raster = dict[str, Any]


class KeptError(Exception):
    """The probabilities are kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rasters", type=Path, required=True)
    parser.add_argument("--model", default="buildings")
    parser.add_argument("--place", action="append", choices=PLACES)
    args = parser.parse_args()
    args.rasters.mkdir(parents=True, exist_ok=True)
    methods = peers() | {"geoseg": with_geoseg}
    print(describe() + f"; model {args.model}")
    print("| place | method | matched of found, true | " + " | ".join(HEAD) + " | polygons/s |")
    print("|---" * (len(HEAD) + 4) + "|")
    for place in args.place or PLACES:
        raster = probabilities(place, args.data, args.model, args.rasters)
        ground = judged(PLACES[place], raster["grid"])
        truth = metric(true_polygons(args.data / PLACES[place].truth, raster["grid"], ground), raster["grid"].crs)
        for name, method in methods.items():
            method(raster)  # compiles
            begin = time.process_time()
            found = method(raster)
            rate = len(found) / (time.process_time() - begin)
            found = metric(found[shapely.within(shapely.point_on_surface(found), ground)], raster["grid"].crs)
            print(f"| {place} | {name} | {row(truth, found)} | {rate:.0f} |", flush=True)
        print(f"| {place} | truth | {' | '.join(['–'] * 5)} | {' | '.join(shapes(truth))} | – |")


def probabilities(place: str, data: Path, model: str, folder: Path) -> Raster:
    """Return p(building) and p(interior) as bytes with their grid, from ``folder`` or the model."""
    path = folder / f"{place.split(maxsplit=1)[0]}.{Path(model).name}.npz"
    if not path.exists():
        scene = open_scene([str(data / name) for name in PLACES[place].scene], bands=PLACES[place].bands)

        def keep(pixels: Callable, grid: Grid, _target: object, **_: object) -> None:
            p, interior = pixels(grid.box)
            interior = np.zeros(0, np.uint8) if interior is None else interior
            np.savez_compressed(path, p=p, i=interior, tr=tuple(grid.transform)[:6], crs=grid.crs.to_wkt())
            raise KeptError

        with (
            tempfile.TemporaryDirectory() as run,
            mock.patch.object(geoseg.jobs.drawing, "drawing_of", keep),
            contextlib.suppress(KeptError),  # nothing else is wanted of the run
        ):
            predict(scene, model, Path(run) / "out", options=RunOptions(), polygons=PolygonOptions())
    kept = np.load(path)
    grid = Grid(CRS.from_wkt(str(kept["crs"])), Affine(*kept["tr"]), kept["p"].shape)
    return {"p": kept["p"], "interior": kept["i"] if kept["i"].size else None, "grid": grid}


def instances(raster: Raster) -> Any:
    """Return the label of the building that each pixel belongs to; None of a network without borders."""
    if raster["interior"] is None:
        return None
    least = max(1, round(LEAST_SEED_M2 / float(np.prod(raster["grid"].ground_resolution_m()))))
    border = border_probability(raster["p"], raster["interior"])
    return label_instances(raster["p"], border, min_seed_px=least)


def with_geoseg(raster: Raster) -> Any:
    labels, grid = instances(raster), raster["grid"]
    rules = FootprintRules(min_area_m2=MIN_AREA_M2, min_hole_m2=MIN_HOLE_M2)
    return extract_footprints(raster["p"], grid, rules, labels=labels).geometries


def by_pixels(raster: Raster) -> Any:
    """Return the buildings that geoseg draws, as the edges of their pixels."""
    labels = instances(raster)
    labels = (raster["p"] >= 128).astype(np.int32) if labels is None else labels
    found = rasterio.features.shapes(labels, mask=labels > 0, transform=raster["grid"].transform)
    polygons = np.array([shapely.geometry.shape(s) for s, _ in found], object)
    series = gpd.GeoSeries(polygons, crs=raster["grid"].crs)
    return polygons[np.asarray(series.to_crs(series.estimate_utm_crs()).area) >= MIN_AREA_M2]


def peers() -> dict[str, Callable[[Raster], Any]]:
    """Return the peers that are installed."""
    found: dict[str, Callable[[Raster], Any]] = {"pixels": by_pixels, "shapes + DP 2 px": simplified}
    try:
        version("buildingregulariser")
    except PackageNotFoundError:
        return found
    return found | {"buildingregulariser": regularised}


def outlines(raster: Raster) -> Any:
    """Return what is connected, in metres of the local UTM zone."""
    mask = (raster["p"] >= 128).astype(np.uint8)
    found = rasterio.features.shapes(mask, mask=mask > 0, transform=raster["grid"].transform)
    series = gpd.GeoSeries([shapely.geometry.shape(s) for s, _ in found], crs=raster["grid"].crs)
    series = series.to_crs(series.estimate_utm_crs())
    return series[series.area >= MIN_AREA_M2]


def simplified(raster: Raster) -> Any:
    pixel_m = float(np.sqrt(np.prod(raster["grid"].ground_resolution_m())))
    return np.asarray(outlines(raster).simplify(2 * pixel_m).to_crs(raster["grid"].crs).values)


def regularised(raster: Raster) -> Any:
    from buildingregulariser import regularize_geodataframe

    frame = gpd.GeoDataFrame(geometry=outlines(raster))
    return np.asarray(regularize_geodataframe(frame, num_cores=1).to_crs(raster["grid"].crs).geometry.values)


def metric(polygons: Any, crs: CRS) -> Any:
    """Return valid polygons in metres of the local UTM zone."""
    series = gpd.GeoSeries(polygons, crs=crs)
    parts = shapely.get_parts(shapely.make_valid(np.asarray(series.to_crs(series.estimate_utm_crs()).values)))
    return parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]


def row(truth: Any, found: Any) -> str:
    """Return the cells of a method."""
    pairs = match_pairs(truth, found)
    measured = []
    for t, p, iou in zip(*pairs, strict=True):
        n, m = turns(found[p]), turns(truth[t])
        measured.append((iou, iou * (1 - abs(n - m) / (n + m)), polis(truth[t], found[p]), np.log(n / m)))
    iou, c_iou, far, ratio = np.mean(measured, axis=0) if measured else np.full(4, np.nan)
    matched = f"{len(measured)} of {len(found)}, {len(truth)}"
    return " | ".join([matched, f"{iou:.3f}", f"{c_iou:.3f}", f"{far:.3f}", f"{np.exp(ratio):.2f}", *shapes(found)])


def corners(ring: Any) -> tuple[Any, Any]:
    """Return the turn at each corner of a ring in degrees, signed, and the length of the edge after it."""
    xy = shapely.get_coordinates(ring)[:-1]
    before, after = xy - np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0) - xy
    across = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return np.degrees(np.arctan2(across, (before * after).sum(axis=1))), np.hypot(*after.T)


def turns(polygon: Any) -> int:
    """Return the number of corners that turn by 5 degrees or more, three for each ring at least."""
    return sum(max(int((np.abs(corners(ring)[0]) >= 5).sum()), 3) for ring in shapely.get_rings(polygon))


def polis(a: Any, b: Any) -> float:
    """Return the mean distance of the corners of each polygon from the boundary of the other, in metres."""
    far = [shapely.distance(shapely.points(shapely.get_coordinates(p)[:-1]), q.boundary) for p, q in ((a, b), (b, a))]
    return float(np.mean([one.mean() for one in far]))


def shapes(polygons: Any) -> list[str]:
    """Return the cells that need no truth."""
    count = right = corner = short = spikes = chamfers = 0
    for polygon in polygons:
        spiked = chamfered = False
        for ring in shapely.get_rings(polygon):
            turn, edge = corners(ring)
            sharp = np.abs(turn)
            count, short = count + len(turn), short + int((edge < 0.5).sum())
            corner, right = corner + int((sharp >= 10).sum()), right + int((np.abs(sharp - 90) <= 5).sum())
            half = (sharp > 30) & (sharp < 60)
            follows = np.roll(half, -1) & (np.sign(turn) == np.sign(np.roll(turn, -1)))
            spiked |= bool((sharp > 140).any())
            chamfered |= bool((half & follows & (edge < 1.5)).any())
        spikes, chamfers = spikes + spiked, chamfers + chamfered
    n = max(len(polygons), 1)
    shares = (count / n, right / max(corner, 1), short / n, spikes / n, chamfers / n)
    return [f"{value:.2f}" for value in shares]


if __name__ == "__main__":
    main()
