"""The labels that networks contradict most, on ground they were not trained on, as polygons to be reviewed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
import torch
from numpy.typing import NDArray
from rasterio.warp import transform_geom
from scipy.ndimage import label
from torch import nn

from geoseg.errors import ConfigError
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.models.spec import ModelSpec
from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.training.areas import AreaPixels, LabelledArea, blocks, shown
from geoseg.training.audit.doubts import Doubt, find_doubts
from geoseg.training.data_spec import BlockSplit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.stream import StreamedArea
from geoseg.training.targets import IGNORE, BuildingTarget
from geoseg.values.box import Box

MOST = 20
CONTEXT_PX = 64  # around a block, so that its edges are seen as a run sees them
COLOURS = {"missing": (43, 108, 176), "invented": (200, 66, 46), "swapped": (107, 70, 193), "shifted": (183, 121, 31)}
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("review", "kind", "label", "network", "site")),
        pa.field("score", pa.float64()),
        GEOMETRY,
    ]
)
COLUMNS = {
    "review": ("Review", "unseen, accepted, rejected or edited"),
    "kind": ("Kind", "What the network says of the label: missing, invented, swapped or shifted"),
    "label": ("Label", "Class that is drawn"),
    "network": ("Network", "Class that the network sees"),
    "site": ("Site", "Scene or site"),
    "score": ("Score", "Mean difference of probabilities, 0 to 1"),
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A doubt on the ground: its shape in degrees."""

    doubt: Doubt
    site: str
    shape: shapely.Geometry


def contradicted(spec: TrainSpec, bundles: Sequence[str], *, most: int = MOST) -> list[Placed]:
    """Return the labels that the bundles contradict most; each judges the ground its split kept from it.

    Raises ConfigError where a bundle was trained with another split, or the scenes have no place.
    """
    found: list[Placed] = []
    for path in bundles:
        bundle = load_model(path)
        own = _as_trained(spec, bundle)
        samples = load_samples(own, tests=True)
        network = bundle.network().eval()
        for area in (*samples.validation, *samples.test):
            found += of_area(area, network, bundle.spec, spec)
    return sorted(found, key=lambda d: -d.doubt.score)[:most]


def _as_trained(spec: TrainSpec, bundle: ModelBundle) -> TrainSpec:
    """Return the run with the fold that the bundle's training left out."""
    config = dict(bundle.spec.training.get("config") or {})
    split = dict(config.get("split") or {})
    fold = split.pop("fold", None)
    wanted = {} if spec.split is None else spec.split.model_dump(mode="json", exclude={"fold", "keep"})
    split.pop("keep", None)
    if split != wanted:
        raise ConfigError(f"{bundle.path}: trained with another split, so nobody knows which ground it has not seen")
    with_folds = isinstance(spec.split, BlockSplit) and spec.split.folds is not None
    return spec.with_fold(int(fold or 0)) if with_folds else spec


def of_area(area: LabelledArea, network: nn.Module, model: ModelSpec, spec: TrainSpec) -> Iterator[Placed]:
    """Yield the doubts about an area's labels, block by block."""
    if not isinstance(area, StreamedArea) or not area.grid.has_place:
        raise ConfigError(f"{area.site}: has no place; doubts are polygons on the ground")
    target, ids = spec.target, [c.id for c in spec.target.class_table]
    table = np.full(IGNORE + 1, -1, np.int64)
    table[: len(target.channels)] = [ids.index(c.class_id or 0) for c in target.channels]
    for box in blocks(area):
        around = box.grown(CONTEXT_PX).clip(Box(0, 0, *area.shape))
        assert around is not None  # it holds the block
        pixels, channels = shown(area, around, target)
        classes = np.where(pixels.valid, table[channels], -1)
        buildings = isinstance(target, BuildingTarget)
        objects = np.maximum(pixels.labels, 0) if buildings else _components(classes, len(ids))
        background = 0 if buildings else None
        p = probabilities(network, model, pixels)
        for doubt in find_doubts(classes, _renumbered(objects), p, background=background):
            ground = shapely.transform(doubt.shape, _to_ground(area, around))
            middle = doubt.shape.centroid
            if box.row0 <= around.row0 + middle.y < box.row1 and box.col0 <= around.col0 + middle.x < box.col1:
                mapped = transform_geom(area.grid.crs, "EPSG:4326", shapely.geometry.mapping(ground))
                yield Placed(doubt, Path(area.site).name, shapely.geometry.shape(mapped))


def _to_ground(area: StreamedArea, box: Box):  # type: ignore[no-untyped-def]  # a function of (N, 2) arrays
    transform = area.grid.crop(box).transform
    return lambda xy: np.column_stack(transform @ tuple(xy.T))


def _components(classes: NDArray[np.int64], number: int) -> NDArray[np.int32]:
    """Return numbers of the connected areas of each class, 0 for void."""
    out, first = np.zeros(classes.shape, np.int32), 0
    for one in range(number):
        parts, count = label(classes == one)
        out += np.where(parts > 0, parts + first, 0).astype(np.int32)
        first += count
    return out


def _renumbered(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.unique(objects, return_inverse=True)[1].reshape(objects.shape).astype(np.int32) + (objects.min() > 0)


@torch.inference_mode()
def probabilities(network: nn.Module, model: ModelSpec, pixels: AreaPixels) -> NDArray[np.float32]:
    """Return the probability of every class of the class table, (K, H, W)."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (model.normalisation.mean, model.normalisation.std))
    seen = pixels.image[: len(mean)]  # truth of outputs follows
    known = pixels.valid & ~np.isnan(seen)
    image = np.where(known, (seen - mean) / std, np.float32(0)).astype(np.float32)
    pad = [(0, -n % model.multiple_px) for n in pixels.shape]
    x = torch.from_numpy(np.pad(image, ((0, 0), *pad), mode="symmetric"))[None]
    p = torch.softmax(network(x).float(), 1)[0, :, : pixels.shape[0], : pixels.shape[1]].numpy()
    position = np.array(model.class_of_channel)
    return np.stack([p[position == i].sum(0) for i in range(len(model.classes))]).astype(np.float32)


def write_doubts(path: Path, spec: TrainSpec, found: Sequence[Placed]) -> None:
    """Write doubts as a layer to be reviewed; raises OutputError."""
    names = [c.name for c in spec.target.class_table]
    rows = [("unseen", d.doubt.kind, names[d.doubt.own], names[d.doubt.other], d.site, d.doubt.score) for d in found]
    columns = [[row[i] for row in rows] for i in range(6)]
    batch = layer_batch(SCHEMA, columns, np.array([d.shape for d in found], object))
    layer = PolygonLayer(
        name="doubts",
        schema=SCHEMA,
        crs="EPSG:4326",
        title="Doubtful labels",
        description="Labels that a network contradicts most on ground it was not trained on, made by geoseg",
        columns=COLUMNS,
        style=Style("kind", tuple(Category(kind, kind, color) for kind, color in COLOURS.items())),
        provenance={"name": spec.name},
    )
    write_layer(path, layer, [batch])
