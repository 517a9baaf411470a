"""review: where a map is least sure, as polygons to be corrected; what is corrected becomes labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import rasterio
import shapely
from numpy.typing import NDArray

from geoseg.disk.places import vector_target
from geoseg.errors import InputError
from geoseg.outputs.geopackage.layer import GEOMETRY, PolygonLayer, layer_batch
from geoseg.outputs.geopackage.styles import Category, Style
from geoseg.outputs.geopackage.superpixels import COLUMNS as OF_LABELS
from geoseg.outputs.geopackage.superpixels import UNSEEN
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.outputs.run_json import RunJson, finished_run
from geoseg.scenes.raster_grid import raster_window
from geoseg.values.box import Box
from geoseg.vector.ground import geodesic_measures
from geoseg.vector.pixels.labels import label_polygons

LAYER = "review"
SURE = 255  # the byte of a probability of 1; 0 is nodata
LEAST_KNOWN = 4  # a window counts where one pixel of so many is known
COLUMNS = {
    "rank": ("Rank", "1: the least sure of all windows"),
    "class": OF_LABELS["class"],
    "review": OF_LABELS["review"],
    "score": ("Doubt", "One minus the mean probability of the window's pixels, 0 to 1"),
    "reason": ("Reason", "Why the window is worth a look"),
    "area_m2": OF_LABELS["area_m2"],
}
SCHEMA = pa.schema(
    [
        pa.field("rank", pa.int32()),
        pa.field("class", pa.string()),
        pa.field("review", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("reason", pa.string()),
        pa.field("area_m2", pa.float64()),
        GEOMETRY,
    ]
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """How sure a map is of a window."""

    box: Box
    """The window, of a lattice of the map."""
    doubt: int
    """Sum over its pixels of how far their probability is below 1, in 254ths."""
    known: int
    """How many of its pixels are known."""
    class_id: int
    """The class of which most is in doubt."""

    @property
    def score(self) -> float:
        """One minus the mean probability."""
        return self.doubt / (self.known * (SURE - 1))


def review(folder: Path, out: Path, *, count: int, side_px: int, overwrite: bool = False) -> tuple[Doubt, ...]:
    """Write the classes of the ``count`` windows of a map that are most in doubt, and return these windows in order.

    A row is a patch of one class within its window.
    Windows of one class and windows that touch give way to others. Raises InputError where the folder holds no
    finished run with probabilities, and OutputError.
    """
    run = finished_run(folder)
    try:
        (class_file, class_band), (sure_file, sure_band) = run.band(run.first.name), run.band("confidence")
    except (KeyError, ValueError) as error:
        raise InputError(f"{folder}: no confidence.tif; run it with --layers classes,confidence") from error
    path = vector_target(out, overwrite=overwrite, inputs=[folder / class_file, folder / sure_file])
    with rasterio.open(folder / class_file) as classes, rasterio.open(folder / sure_file) as sure:
        shape = classes.shape
        strips = (Box(row, 0, min(row + side_px, shape[0]), shape[1]) for row in range(0, shape[0], side_px))
        doubts = [
            doubt
            for strip in strips
            for doubt in doubts_of(
                classes.read(class_band, window=raster_window(strip)),
                sure.read(sure_band, window=raster_window(strip)),
                strip,
                side_px,
            )
        ]
        picked = tuple(pick(doubts, count))
        names = {c.id: c.name for c in run.classes}
        layer = PolygonLayer(
            name=LAYER,
            schema=SCHEMA,
            crs=run.grid.crs.to_wkt(),
            title="Review",
            description="Windows of a map that are least sure, by class, to be corrected and trained with, by geoseg",
            columns=COLUMNS,
            style=Style("class", tuple(Category(c.name, c.name, c.color) for c in run.classes)),
            provenance={key: run.facts[key] for key in ("software", "version", "model", "input")},
        )
        rows = (
            _rows(rank, doubt, classes.read(class_band, window=raster_window(doubt.box)), run, names)
            for rank, doubt in enumerate(picked, start=1)
        )
        write_layer(path, layer, rows)
    return picked


def doubts_of(classes: NDArray[np.uint8], sure: NDArray[np.uint8], strip: Box, side_px: int) -> Iterator[Doubt]:
    """Yield the doubt of each window of a strip, (h, w), that has enough known pixels; sure: 1..255, 0 is unknown.

    >>> one = np.full((2, 2), 1, np.uint8)
    >>> [d.score for d in doubts_of(one, np.uint8([[255, 1], [1, 255]]), Box(0, 0, 2, 2), 2)]
    [0.5]
    """
    below = np.where(sure > 0, SURE - sure.astype(np.int64), 0)
    for box in strip.blocks(side_px):
        at = box.within(strip)
        known = int((sure[at] > 0).sum())
        if known * LEAST_KNOWN < box.shape[0] * box.shape[1] or not known:
            continue
        of_class = np.bincount(classes[at].ravel(), weights=below[at].ravel(), minlength=2)
        of_class[0] = -1
        yield Doubt(box, int(below[at].sum()), known, int(of_class.argmax()))


def pick(doubts: Sequence[Doubt], count: int) -> Iterator[Doubt]:
    """Yield up to ``count`` windows, the most doubtful first: classes take turns, and neighbours wait until the end."""
    ranked = sorted(doubts, key=lambda d: (-d.score, d.box))
    queues: dict[int, list[Doubt]] = {}
    for doubt in ranked:
        queues.setdefault(doubt.class_id, []).append(doubt)
    taken: list[Box] = []
    left: list[Doubt] = []
    while any(queues.values()) and len(taken) < count:
        turn = sorted((queue[0] for queue in queues.values() if queue), key=lambda d: (-d.score, d.box))
        for doubt in turn[: count - len(taken)]:
            queues[doubt.class_id].pop(0)
            if any(doubt.box.grown(1).clip(box) for box in taken):
                left.append(doubt)
            else:
                taken.append(doubt.box)
                yield doubt
    for doubt in sorted(left, key=lambda d: (-d.score, d.box))[: count - len(taken)]:
        yield doubt


def _rows(rank: int, doubt: Doubt, classes: NDArray[np.uint8], run: RunJson, names: dict[int, str]) -> pa.RecordBatch:
    ids, shapes = label_polygons(classes.astype(np.int32), (doubt.box.row0, doubt.box.col0), run.grid.transform)
    patches, at = shapely.get_parts(shapes, return_index=True)  # each is judged by itself
    ids, polygons = ids[at], shapely.multipolygons(patches[:, None])
    areas, _ = geodesic_measures(np.asarray(polygons, object), run.grid.crs)
    reason = f"mean probability {1 - doubt.score:.2f}, most in doubt: {names.get(doubt.class_id, doubt.class_id)}"
    columns = {
        "rank": [rank] * len(ids),
        "class": [names.get(int(i), str(i)) for i in ids],
        "review": [UNSEEN] * len(ids),
        "score": [doubt.score] * len(ids),
        "reason": [reason] * len(ids),
        "area_m2": areas,
    }
    return layer_batch(SCHEMA, columns.values(), shapely.normalize(polygons))
