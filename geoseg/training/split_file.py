"""The split of a training as a GeoPackage: ground and role, which a bundle keeps, and a later split may keep too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from rasterio.warp import transform_geom

from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.training.data_spec import Split
from geoseg.training.samples import Samples, areas_of
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.values.grid import Grid

NAME = "split.gpkg"
COLOURS = {"train": (120, 144, 156), "validation": (43, 108, 176), "test": (200, 66, 46)}
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("role", pa.string()),
        pa.field("scenes", pa.string()),
        pa.field("labels", pa.string()),
        pa.field("side_m", pa.float64()),
        pa.field("buffer_m", pa.float64()),
        GEOMETRY,
    ]
)
COLUMNS = {
    "key": ("Block", "Row and column of the block, or the group"),
    "role": ("Role", "What the ground is for: train, validation or test"),
    "scenes": ("Scenes", "Scenes that lie in it"),
    "labels": ("Labels", "Pixels of each class in a coarse look"),
    "side_m": ("Side [m]", "Side of a block"),
    "buffer_m": ("Buffer [m]", "Distance that training keeps to the other roles"),
}
Row = tuple[str, str, str, str, float | None, float | None, shapely.Geometry | None]


def write_split(path: Path, spec: TrainSpec, samples: Samples) -> None:
    """Write the blocks, strips and whole scenes of a training, in degrees; raises OutputError."""
    rows = [*_blocks(samples), *_others(spec, samples)]
    *columns, ground = (list(column) for column in zip(*rows, strict=True))
    batch = layer_batch(SCHEMA, columns, np.array(ground, object))
    layer = PolygonLayer(
        name="split",
        schema=SCHEMA,
        crs="EPSG:4326",
        title="Split",
        description="Ground that a network was trained, validated and tested on, made by geoseg",
        columns=COLUMNS,
        style=Style("role", tuple(Category(role, role, color) for role, color in COLOURS.items())),
        provenance={"name": spec.name},
    )
    write_layer(path, layer, [batch])


def _blocks(samples: Samples) -> Iterator[Row]:
    if (plan := samples.plan) is not None:
        for block, ground in zip(plan.blocks, plan.ground(), strict=True):
            labels = ", ".join(f"{name} {n}" for name, n in block.labels.items() if n)
            yield block.key, block.role, ", ".join(block.scenes), labels, plan.side_m, plan.buffer_m, ground


def _others(spec: TrainSpec, samples: Samples) -> Iterator[Row]:
    """Yield the strips of scenes, and scenes that are for one thing."""
    for item in spec.data:
        if item.use != "split" or isinstance(item.split or spec.split, Split):
            scene = open_labelled(item)
            for area in areas_of(item, scene, spec, samples.plan):
                ground = outline(scene.grid.crop(area.box))
                yield f"{scene.name}:{area.role}", area.role, scene.name, "", None, None, ground


def outline(grid: Grid) -> shapely.Geometry | None:
    """Return the ground of a grid in degrees, its sides bent as they are there; None for one without a place."""
    if not grid.has_place:
        return None
    corners = [(0, 0), (grid.width, 0), grid.shape[::-1], (0, grid.height)]
    own = shapely.segmentize(shapely.Polygon([grid.transform @ c for c in corners]), grid.bounds[2] - grid.bounds[0])
    return shapely.geometry.shape(transform_geom(grid.crs, "EPSG:4326", shapely.geometry.mapping(own)))
