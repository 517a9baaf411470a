"""regularize: footprints that come from elsewhere, fitted as those of rasters are, with all their attributes.

Three passes, each in batches: fit every outline by itself; settle those whose polygons may reach into each other; write
in the order of the file. Memory grows by some 120 bytes per footprint, by what GDAL's spatial index takes (both: about
500), and by the largest group of linked neighbours.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.disk.places import vector_files, vector_target
from geoseg.errors import InputError
from geoseg.options.polygons import RegularizeOptions
from geoseg.outputs.disk_list import Spool, spooled
from geoseg.outputs.geopackage.columns import fitted_batch, fitted_features, fitted_layer
from geoseg.outputs.geopackage.writer import write_layer
from geoseg.outputs.provenance import model_of_layers
from geoseg.scenes.polygons import split_layer
from geoseg.scenes.vectors import VectorLayer, open_vectors
from geoseg.values.grid import lonlat
from geoseg.vector.adjacent.overlaps import REACH_PX, linked_boxes
from geoseg.vector.fit.fit import UNCHANGED
from geoseg.vector.footprints.imported import VectorRules, fit_polygons, settle_polygons
from geoseg.vector.footprints.staircase import find_steps
from geoseg.vector.footprints.touching import share_walls
from geoseg.vector.ground import LocalMetres, geodesic_area_m2
from geoseg.vector.tiles.outlines import Fit
from geoseg.vector.tiles.warmup import compiling_told

SETTLED_AT_ONCE = 5_000
SURVEYED_M = 0.25  # how exact outlines are that follow no pixels, as from surveys and by hand


class _Features(NamedTuple):
    """What is known of each feature, (N,): whether it was invalid, has heights, is smaller than asked for."""

    repaired: NDArray[np.bool_]
    high: NDArray[np.bool_]
    left_out: NDArray[np.bool_]


class _Parts(NamedTuple):
    """What is known of each single polygon of the features, in their order; the polygons themselves are in spools.

    feature: whose it is. cell: the whole degrees (lat, lon) it lies in. box: all that it may cover in the end.
    """

    feature: NDArray[np.int64]
    cell: NDArray[np.int16]
    box: NDArray[np.float64]
    fit: Fit


@dataclass(slots=True)
class _Work:
    """The layer, what is asked for, and where the polygons wait between the passes."""

    layer: VectorLayer
    options: RegularizeOptions
    outlines: Spool
    drawn: Spool
    rules: VectorRules | None = None  # known once some outlines have been seen

    def local(self, cell: NDArray[np.int16]) -> LocalMetres:
        """Return metres about the middle of a cell."""
        return LocalMetres.about(self.layer.crs, float(cell[1]) + 0.5, float(cell[0]) + 0.5)


@compiling_told()
def regularize(
    source: str | Path,
    out: str | Path,
    *,
    layer: str | None = None,
    options: RegularizeOptions | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the footprints of ``source`` with straight walls and right corners; return what became of them.

    All attributes stay, and columns tell how each shape came about; features keep their order and CRS. layer: needed
    where the file has several. Neighbours do not overlap but where they did before, and share their walls vertex by
    vertex where they touched all along. Raises InputError, OutputError and ConfigError.
    """
    options = options or RegularizeOptions()
    inputs = vector_files(split_layer(source)[0])
    path = vector_target(out, vector_format=options.vector_format, overwrite=overwrite, inputs=inputs)
    given = open_vectors(source, layer=layer)
    with spooled(path.parent) as outlines, spooled(path.parent) as drawn:
        work = _Work(given, options, outlines, drawn)
        features, parts = _fit(work)
        _settle(work, parts)
        tally = _write(work, features, parts, path)
    pixel_m = None if work.rules is None else round(work.rules.pixel_m, 6)
    return {"file": str(path), **tally, "pixel_m": pixel_m}


def _fit(work: _Work) -> tuple[_Features, _Parts]:
    """Fit every outline by itself, and spool it with its polygon."""
    features, parts = [], []
    count = 0
    for geometries, _ in work.layer.batches(attributes=False):
        seen, fitted = _fit_batch(work, geometries)
        features.append(seen)
        parts.append(fitted._replace(feature=fitted.feature + count))
        count += len(geometries)
    if not features:
        features.append(_Features(*(np.empty(0, bool) for _ in range(3))))
        parts.append(_fit_batch(work, np.empty(0, object))[1])
    return _Features(*map(np.concatenate, zip(*features, strict=True))), _Parts(
        feature=np.concatenate([p.feature for p in parts]),
        cell=np.concatenate([p.cell for p in parts]),
        box=np.concatenate([p.box for p in parts]),
        fit=Fit.joined([p.fit for p in parts]),
    )


def _fit_batch(work: _Work, geometries: NDArray[np.object_]) -> tuple[_Features, _Parts]:
    repaired = ~shapely.is_missing(geometries) & ~shapely.is_valid(geometries)
    sound = shapely.force_2d(geometries)
    sound[repaired] = shapely.make_valid(sound[repaired], method="structure", keep_collapsed=False)
    outlines, feature = shapely.get_parts(sound, return_index=True)
    outlines, feature = outlines[shapely.area(outlines) > 0], feature[shapely.area(outlines) > 0]
    cell = _cells(work.layer, outlines)
    metres = _by_cell(work, outlines, cell, to_metres=True)
    filled = _fill_small_holes(metres, work.options.min_hole_m2)
    outlines[filled] = _by_cell(work, metres[filled], cell[filled], to_metres=False)
    large = shapely.area(metres) >= work.options.min_area_m2
    outlines, metres, cell = outlines[large], metres[large], cell[large]
    if work.rules is None and len(metres):
        work.rules = _rules(metres, work.options)
    drawn, fit = fit_polygons(metres, work.rules or _rules(metres, work.options))
    drawn = np.where(fit.status == UNCHANGED, outlines, _by_cell(work, drawn, cell, to_metres=False))
    work.outlines.append(outlines)
    work.drawn.append(drawn)
    own, new = shapely.bounds(outlines), shapely.bounds(drawn)
    box = np.hstack([np.minimum(own[:, :2], new[:, :2]), np.maximum(own[:, 2:], new[:, 2:])])
    before, after = (np.bincount(f, minlength=len(geometries)) > 0 for f in (feature, feature[large]))
    return _Features(repaired, shapely.has_z(geometries), before & ~after), _Parts(feature[large], cell, box, fit)


def _by_cell(
    work: _Work, polygons: NDArray[np.object_], cell: NDArray[np.int16], *, to_metres: bool
) -> NDArray[np.object_]:
    """Return polygons of the layer's CRS in metres about the middles of their cells, or the other way round."""
    out = polygons.copy()
    for one in np.unique(cell, axis=0):
        chosen, local = (cell == one).all(axis=1), work.local(one)
        out[chosen] = shapely.transform(polygons[chosen], local.forward if to_metres else local.back)
    return out


def _cells(layer: VectorLayer, polygons: NDArray[np.object_]) -> NDArray[np.int16]:
    """Return the whole degrees (lat, lon) of each polygon's place, (N, 2); raises InputError where there is none."""
    box = shapely.bounds(polygons)
    lon, lat = lonlat(layer.crs, (box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2)
    if not (np.isfinite(lon).all() and (np.abs(lat) <= 90).all()):
        raise InputError(
            f"{layer.path}: polygons with no place on Earth in {layer.crs.to_string()}; is it the right CRS?"
        )
    return np.floor(np.column_stack([lat, lon])).astype(np.int16)


def _rules(metres: NDArray[np.object_], options: RegularizeOptions) -> VectorRules:
    """Return the rules for a layer of which these are the first outlines."""
    steps = find_steps(metres)
    pixel_m = options.pixel_m or (steps.size if steps else SURVEYED_M)
    return VectorRules(pixel_m=pixel_m, tolerance_m=options.tolerance_m, steps=steps)


def _fill_small_holes(polygons: NDArray[np.object_], min_hole_m2: float) -> NDArray[np.intp]:
    """Fill, in place, the holes below ``min_hole_m2``, and return which polygons had some."""
    filled = []
    for i in np.flatnonzero(shapely.get_num_interior_rings(polygons)):
        shell, *rings = shapely.get_rings(polygons[i])
        large = [ring for ring in rings if shapely.Polygon(ring).area >= min_hole_m2]
        if len(large) < len(rings):
            polygons[i] = shapely.Polygon(shell, large)
            filled.append(i)
    return np.array(filled, np.intp)


def _settle(work: _Work, parts: _Parts) -> None:
    """Let no polygon reach into a neighbour: groups that may touch are settled whole, in the cell of their first."""
    linked = _in_company(linked_boxes(parts.box))
    if not len(linked):
        return
    box = parts.box.copy()
    box[linked] = _reach(work, parts.box[linked], parts.cell[linked])
    group = linked_boxes(box)
    linked = _in_company(group)
    cell = parts.cell[group[linked]]
    linked = linked[np.lexsort((linked, group[linked], cell[:, 1], cell[:, 0]))]
    for chosen in _packs(group[linked], parts.cell[group[linked]]):
        _settle_pack(work, parts, linked[chosen], work.local(parts.cell[group[linked[chosen.start]]]))


def _in_company(group: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return who is not alone in a group."""
    return np.flatnonzero(np.bincount(group, minlength=len(group))[group] > 1)


def _reach(work: _Work, box: NDArray[np.float64], cell: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return boxes grown by what a polygon of a block may leave them, (N, 4)."""
    assert work.rules is not None
    low, high = np.hsplit(shapely.bounds(_by_cell(work, shapely.box(*box.T), cell, to_metres=True)), 2)
    far = REACH_PX * work.rules.pixel_m
    grown = shapely.box(*(low - far).T, *(high + far).T)
    return np.asarray(shapely.bounds(_by_cell(work, grown, cell, to_metres=False)))


def _packs(group: NDArray[np.int64], cell: NDArray[np.int16]) -> Iterator[slice]:
    """Yield stretches of whole groups of one cell, of about SETTLED_AT_ONCE polygons."""
    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(group)) if len(group) else np.empty(0, np.intp)
    begin = 0
    for k, end in enumerate(ends):
        last = k + 1 == len(ends) or (cell[end] != cell[begin]).any()
        if last or ends[k + 1] - begin > SETTLED_AT_ONCE:
            yield slice(begin, int(end))
            begin = int(end)


def _settle_pack(work: _Work, parts: _Parts, numbers: NDArray[np.intp], local: LocalMetres) -> None:
    assert work.rules is not None
    outlines = work.outlines.read(numbers)
    polygons, contours = (shapely.transform(p, local.forward) for p in (work.drawn.read(numbers), outlines))
    fit = parts.fit.take(numbers)
    walled, shared, in_block = share_walls(polygons, contours, fit, work.rules)
    settled, after, trimmed = settle_polygons(walled, contours, shared, work.rules)
    given_up = (after.status == UNCHANGED) & (fit.status != UNCHANGED)
    work.drawn.replace(numbers[given_up], outlines[given_up])
    redrawn = trimmed | (in_block & (after.status != UNCHANGED))
    work.drawn.replace(numbers[redrawn], shapely.transform(settled[redrawn], local.back))
    parts.fit.put(numbers, after)


def _write(work: _Work, features: _Features, parts: _Parts, path: Path) -> dict[str, Any]:
    """Write all features in their order, and return how many there are of which kind."""
    layer = work.layer
    start = np.searchsorted(parts.feature, np.arange(len(features.repaired) + 1))
    source = {"software": "geoseg", "version": __version__, "input": [Path(layer.path).name]}
    if (model := model_of_layers(layer.path)) is not None:
        source["model"] = model
    rules = {name: value for name, value in asdict(work.options).items() if name != "vector_format"}
    made = fitted_layer(layer, high=bool(features.high.any()), provenance=source | rules)
    status: Counter[str] = Counter()
    areas, left_out = [0.0], [0]

    def finished() -> Iterator[pa.RecordBatch]:
        row = 0
        for given, attributes in layer.batches():
            rows = slice(row, row + len(given))
            row = rows.stop
            numbers = np.arange(start[rows.start], start[rows.stop])
            drawn, before = work.drawn.read(numbers), parts.feature[numbers] - rows.start
            large = geodesic_area_m2(drawn, layer.crs) >= work.options.min_area_m2  # fits and trimming change areas
            owner = before[large]
            whole = fitted_features(given, drawn[large], owner, parts.fit.take(numbers[large]), crs=layer.crs)
            kept = ~features.left_out[rows]
            kept[np.setdiff1d(before, owner)] = False
            left_out.append(int((~kept).sum()))
            status.update(whole.status[kept].tolist())
            areas.append(float(whole.area_m2[kept].sum()))
            yield fitted_batch(made, attributes, whole, features.repaired[rows]).filter(pa.array(kept))

    count = write_layer(path, made, finished())
    return {
        "count": count,
        "area_m2": round(sum(areas), 3),
        "status": dict(sorted(status.items())),
        "repaired": int(features.repaired.sum()),
        "left_out": sum(left_out),
    }
