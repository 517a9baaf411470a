"""Rasters of class values, building masks and numbers, and coded colours, brought to a grid by the nearest pixel."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import Resampling, reproject, transform_bounds

from geoseg.errors import InputError
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.reading import open_raster
from geoseg.training.label_spec import LabelLayer, refuse_unknown
from geoseg.training.targets import UNKNOWN, BuildingTarget, ClassTarget, Raw
from geoseg.values.box import Box
from geoseg.values.grid import Grid

STRIP_ROWS = 512
Values = NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class LabelRaster:
    """A raster of labels and the grid it is brought to; own: where its pixels are said or taken to lie."""

    layer: LabelLayer
    target: BuildingTarget | ClassTarget
    grid: Grid
    own: Grid
    raw: dict[int, int] | None  # by value; None: values are numbers of buildings

    @classmethod
    def open(cls, layer: LabelLayer, target: BuildingTarget | ClassTarget, grid: Grid, *, scene: str) -> Self:
        """Look at the values of a raster near ``grid``; raises InputError where it is none, or lies elsewhere.

        A raster without a place of its own covers the scene pixel by pixel.
        """
        with open_raster(layer.file) as src:
            own = _own_grid(src, grid, scene)
            box = _needed(own, grid)
            if box is None:
                raise InputError(
                    f"{layer.file}: no pixel lies on the scene {scene}; is it the right file, the right CRS?"
                )
            if target.default_class is not None and not layer.values:
                return cls(layer, target, grid, own, None)
            counts = count_values(src, box, layer)
            raw = _raw_of(counts, _texts(src, counts, target.meanings(layer)), layer, target)
        return cls(layer, target, grid, own, raw)

    def __call__(self, box: Box) -> tuple[Raw, NDArray[np.bool_]]:
        """Return the raw labels of a box of the grid, and where the raster says something."""
        grid = self.grid.crop(box)
        near = _needed(self.own, grid)
        if near is None:
            return np.full(box.shape, UNKNOWN, np.int32), np.zeros(box.shape, np.bool_)
        with open_raster(self.layer.file) as src:
            values, known = _values(src, near, self.layer)
        raw = self._raw(values)
        own = self.own.crop(near)
        if own.crs == grid.crs and own.same_as(grid):
            return raw, known
        moved = np.full(box.shape, UNKNOWN, np.int32), np.zeros(box.shape, np.uint8)
        for source, out in zip((raw, known.astype(np.uint8)), moved, strict=True):
            reproject(
                source, out, src_transform=own.transform, src_crs=own.crs, dst_transform=grid.transform,
                dst_crs=grid.crs, resampling=Resampling.nearest, init_dest_nodata=False,
            )  # fmt: skip
        return moved[0], moved[1] > 0

    def _raw(self, values: Values) -> Raw:
        if self.raw is None:
            numbers = values.astype(np.int64) % np.iinfo(np.int32).max
            raw = self.target.raw(np.full(values.shape, self.target.default_class, np.int64).ravel(), numbers.ravel())
            return np.where(numbers == 0, self.target.elsewhere_raw, raw.reshape(values.shape)).astype(np.int32)
        present, at = np.unique(values, return_inverse=True)
        return np.array([self.raw.get(int(v), UNKNOWN) for v in present], np.int32)[at].reshape(values.shape)


def count_values(src: DatasetReader, box: Box, layer: LabelLayer) -> Counter[int]:
    """Return how many pixels of a box have each value that says something."""
    counts: Counter[int] = Counter()
    for row in range(box.row0, box.row1, STRIP_ROWS):
        values, known = _values(src, Box(row, box.col0, min(row + STRIP_ROWS, box.row1), box.col1), layer)
        present, n = np.unique(values[known], return_counts=True)
        counts.update(dict(zip(present.tolist(), n.tolist(), strict=True)))
    return counts


def value_text(value: int, *, coded: bool) -> str:
    """Return a value as ``target.values`` names it; three bytes of a colour as ``#rrggbb``."""
    return f"#{value:06x}" if coded else str(value)


def _texts(src: DatasetReader, values: Iterable[int], meanings: Iterable[str]) -> dict[int, str]:
    """Return what ``target.values`` call each value: a colour where the raster or its palette has colours alone."""
    coded = _is_coded(src)
    texts = {v: value_text(v, coded=coded) for v in values}
    if coded or not any(name.startswith("#") for name in meanings):
        return texts
    with suppress(ValueError):  # it has no palette
        texts |= {v: "#{:02x}{:02x}{:02x}".format(*c[:3]) for v, c in src.colormap(1).items() if v in texts}
    return texts


def _raw_of(
    counts: Counter[int], texts: dict[int, str], layer: LabelLayer, target: BuildingTarget | ClassTarget
) -> dict[int, int]:
    """Return the raw label of every value present; raises InputError for those that nothing is said of."""
    values = target.meanings(layer)
    refuse_unknown(Counter({texts[v]: n for v, n in counts.items()}), values, source=f"{layer.file}: value")
    ids = np.array([values[texts[v]] or 0 for v in counts], np.int64)
    raw = np.where(ids == 0, UNKNOWN, target.raw(ids, np.ones(len(ids), np.int64)))
    return dict(zip(counts, raw.tolist(), strict=True))


def _own_grid(src: DatasetReader, grid: Grid, scene: str) -> Grid:
    """Return where a raster's pixels lie; one without a place covers the scene, whose shape it has."""
    if src.crs is not None and not src.transform.is_identity:
        return Grid(src.crs, src.transform, src.shape)
    ratio = [own / there for own, there in zip(src.shape, grid.shape, strict=True)]
    if abs(ratio[0] / ratio[1] - 1) > 0.01:
        raise InputError(
            f"{src.name}: {src.height} x {src.width} px without a CRS, which do not cover the scene {scene} pixel by "
            f"pixel; give it a CRS and a geotransform (gdal_edit -a_srs -a_ullr)"
        )
    return grid.resized(src.shape)


def _needed(own: Grid, grid: Grid) -> Box | None:
    """Return the pixels of ``own`` that may lie on ``grid``, None where there are none."""
    try:
        bounds = transform_bounds(grid.crs, own.crs, *grid.bounds, densify_pts=21)
    except RasterioError:
        return own.box
    to_own = ~own.transform
    corners = [to_own @ (x, y) for x in bounds[::2] for y in bounds[1::2]]
    cols, rows = zip(*corners, strict=True)
    if not np.isfinite(corners).all():
        return own.box
    aligned = own.crs == grid.crs and all(abs(v - round(v)) < 1e-3 for v in (*cols, *rows))
    edges = min(rows), min(cols), max(rows), max(cols)
    near = Box(*map(round, edges)) if aligned else Box(*(int(np.floor(v)) for v in edges)).grown(2)
    return near.clip(own.box)


def _is_coded(src: DatasetReader) -> bool:
    """Whether its bands are red, green and blue, which stand for classes together."""
    return src.count - sum(c is ColorInterp.alpha for c in src.colorinterp) == 3 and src.dtypes[0] == "uint8"


def _values(src: DatasetReader, box: Box, layer: LabelLayer) -> tuple[Values, NDArray[np.bool_]]:
    """Return the values of a box, red, green and blue as one number, and which of them say something."""
    window = raster_window(box)
    colours = sum(c is not ColorInterp.alpha for c in src.colorinterp)
    if colours != 1 and not _is_coded(src):
        raise InputError(
            f"{src.name}: {colours} bands of {src.dtypes[0]}; labels are one band of whole numbers, or three of colours"
        )
    try:
        bands = src.read(list(range(1, colours + 1)), window=window)
        known = src.read_masks(1, window=window) > 0 if layer.nodata is None else np.ones(box.shape, np.bool_)
    except RasterioError as error:
        raise InputError(f"{src.name}: cannot be read as a raster of labels ({str(error).splitlines()[0]})") from error
    if bands.dtype.kind == "f":
        known &= np.isfinite(bands[0])
        odd = bands[0][known & (bands[0] != np.round(bands[0]))]
        if len(odd):
            raise InputError(f"{src.name}: holds {odd[0]:g}; labels are whole numbers")
        bands = np.where(known, bands, 0)
    values = bands.astype(np.int64)
    value = values[0] if colours == 1 else (values[0] << 16) + (values[1] << 8) + values[2]
    return value, known if layer.nodata in (None, "none") else known & (value != layer.nodata)
