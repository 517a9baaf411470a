"""A finished output folder of a made-up scene, as a run leaves it; for the tests of check and QGIS."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geoseg.disk.files import write_json
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.parts import PartEncoder, write_part
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.geopackage.footprints import buildings_batch, write_buildings
from geoseg.outputs.pam import write_pam
from geoseg.tiling.overviews import levels_within
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.grid import Grid
from geoseg.values.layers import Layer, class_layer, probability_layer
from geoseg.vector.footprints.extract import Footprints

CLASSES = ClassMap(
    (
        ClassInfo(1, "background", (225, 225, 220)),
        ClassInfo(2, "Wälder & <Wiesen>", (60, 140, 70)),
        ClassInfo(4, "building", (200, 60, 40)),
    )
)
GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), (700, 1100))
LAYERS = (
    class_layer("classes", CLASSES, file="classes.tif"),
    probability_layer("confidence", "Probability of the class", file="confidence.tif"),
    probability_layer("probability_building", "p", file="probabilities.tif"),
)
PROVENANCE = {
    "software": "geoseg",
    "version": "0.1.0",
    "model": {"name": "test", "sha256": "ab" * 32},
    "input": ["a.tif"],
}


def layers_of(grid: Grid, *, seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """Return class blocks with noise and a nodata corner, and bytes that go with them, all of the grid's shape."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: grid.height, : grid.width]
    classes = np.array([1, 2, 4], np.uint8)[(rows // 61 + cols // 97) % 3]
    classes[rng.random(grid.shape) < 0.02] = 4
    classes[:90, :200] = 0
    confidence = rng.integers(1, 256, grid.shape, np.uint8) * (classes > 0)
    return {
        "classes": classes,
        "confidence": confidence,
        "probability_building": np.where(classes > 0, 255 - confidence // 2, 0).astype(np.uint8),
    }


def write_parts(folder: Path, grid: Grid, layers: dict[str, NDArray[np.uint8]], *, chunk_px: int) -> dict[Box, Path]:
    """Write the layers as parts; returns their paths by box."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for row in range(0, grid.height, chunk_px):
        for col in range(0, grid.width, chunk_px):
            box = Box(row, col, min(row + chunk_px, grid.height), min(col + chunk_px, grid.width))
            path = folder / f"r{row:05}_c{col:05}.tif"
            cut = {name: layer[box.within(grid.box)] for name, layer in layers.items()}
            encoder = PartEncoder(
                box.shape, [layer for layer in LAYERS if layer.name in cut], overviews=levels_within(chunk_px, TILE_PX)
            )
            encoder.add(cut)
            write_part(path, encoder.finish(), grid=grid.crop(box), record={"id": path.stem})
            parts[box] = path
    return parts


def houses(grid: Grid, count: int, *, seed: int = 0) -> Footprints:
    """Return ``count`` turned rectangles inside the grid, some with a court, in the CRS of the grid."""
    rng = np.random.default_rng(seed)
    size = np.array([12.0, 7.0])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size
    shapes = []
    for i in range(count):
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = rng.uniform((15, 100), (grid.width - 15, grid.height - 15))
        ring = corners @ turn + centre
        court = [corners * 0.3 @ turn + centre] if i % 3 == 0 else []
        shapes.append(shapely.transform(shapely.Polygon(ring, court), lambda xy: np.array(grid.transform @ xy.T).T))
    geometries = np.empty(count, object)
    geometries[:] = shapes
    return Footprints(geometries, rng.uniform(0.5, 1, count), np.full(count, 50, np.int64))


def finished_folder(
    folder: Path, *, grid: Grid = GRID, count: int = 40, overviews_of: Callable[[Layer], Layer] = lambda layer: layer
) -> Path:
    """Write a complete, sound output folder; overviews_of may spoil the layer that classes.tif is made from."""
    layers = layers_of(grid)
    parts = write_parts(folder.parent / f"{folder.name}_parts", grid, layers, chunk_px=512)
    folder.mkdir()
    p = (probability_layer(f"probability_{c.name}", "p", file="probabilities.tif") for c in CLASSES)
    wanted = {"classes.tif": {0: LAYERS[0]}, "confidence.tif": {1: LAYERS[1]}, "probabilities.tif": dict(enumerate(p))}
    for name, made_of in wanted.items():
        bands = {i: overviews_of(layer) if layer.classes else layer for i, layer in made_of.items()}
        assemble(parts, grid, bands, folder / name, tags={"GEOSEG_MODEL": "test"})
    per_row = np.array([np.bincount(row, minlength=256) for row in layers["classes"]])
    counts = {c.id: int(per_row[:, c.id].sum()) for c in CLASSES}
    area_ha = {c.id: float(grid.row_areas_m2() @ per_row[:, c.id]) / 1e4 for c in CLASSES}
    write_pam(folder / "classes.tif", CLASSES, counts=counts, area_ha=area_ha)
    building = CLASSES.by_name("building")
    write_buildings(
        folder / "buildings.gpkg",
        [buildings_batch(houses(grid, count), crs=grid.crs, target=building)],
        fitted=False,
        crs=grid.crs,
        target=building,
        classes=CLASSES,
        provenance=PROVENANCE,
    )
    run = {
        **PROVENANCE,
        "grid": {"crs": grid.crs.to_string(), "transform": list(grid.transform)[:6], "shape": list(grid.shape)},
        "layers": [layer.as_json() for bands in wanted.values() for layer in bands.values()],
        "classes": [{**row, "pixels": counts[c.id]} for row, c in zip(CLASSES.as_json(), CLASSES, strict=True)],
        "polygons": {"file": "buildings.gpkg", "count": count},
    }
    write_json(folder / "run.json", run)
    restate(folder)
    return folder


def restate(folder: Path, **changes: object) -> None:
    """Write run.json anew with the digests that the files now have, and ``changes``."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8")) | changes
    files = sorted(p for p in folder.iterdir() if p.name != "run.json")
    run["outputs"] = {
        p.name: {"sha256": hashlib.sha256(p.read_bytes()).hexdigest(), "bytes": p.stat().st_size} for p in files
    }
    write_json(folder / "run.json", run)


def sql(*statements: str) -> Callable[[Path], None]:
    """Return an edit that runs ``statements`` on a finished folder's GeoPackage."""

    def edit(out: Path) -> None:
        with closing(sqlite3.connect(out / "buildings.gpkg", isolation_level=None)) as db:
            for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):  # the triggers call them
                db.create_function(function, 1, lambda _: 0.0)
            for statement in statements:
                db.execute(statement)

    return edit
