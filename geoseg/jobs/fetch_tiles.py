"""fetch-tiles: tiles of a map service, fetched once, as a COG: a run never depends on what a server gives today."""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.errors import InputError
from geoseg.options.tiles import TileOptions
from geoseg.scenes import remote
from geoseg.scenes.polygons import read_polygons
from geoseg.scenes.tile_service import TileMatrix, tile_matrix
from geoseg.values.box import Box
from geoseg.values.grid import Grid

MOST_TILES = 100_000
MOST_BYTES = 2**24  # of a tile
# How files begin. GDAL is told which it is: what a server sends must not make it read other files, as a VRT would.
FORMATS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP"}
PLAIN = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB", "tiled": True, "bigtiff": "IF_SAFER"}
COG = {"driver": "COG", "compress": "DEFLATE", "predictor": 2, "overview_resampling": "AVERAGE", "bigtiff": "IF_SAFER"}
Listen = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Tiles (row, col) of a zoom level that an area touches, and the square of rows and columns that they lie in."""

    options: TileOptions
    matrix: TileMatrix
    tiles: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, options: TileOptions) -> "Wanted":
        """Return those that ``options`` ask for; raises InputError where there are none, or too many."""
        matrix = tile_matrix(options)
        everywhere, limits = matrix.grid, matrix.limits
        shapes = np.asarray(read_polygons(options.aoi, layer=None, grid=everywhere).geometry.values, object)
        back = ~everywhere.transform
        area = shapely.union_all(shapely.make_valid(shapely.transform(shapes, lambda xy: np.c_[back @ tuple(xy.T)])))
        world = shapely.box(limits.col0, limits.row0, limits.col1, limits.row1)
        if not area.intersects(world):
            raise InputError(f"{options.aoi}: none of its polygons lies where there are tiles")
        left, top, right, bottom = area.intersection(world).bounds
        cols, rows = range(int(left), int(np.ceil(right))), range(int(top), int(np.ceil(bottom)))
        if len(cols) * len(rows) > MOST_TILES:
            raise InputError(
                f"{options.aoi}: {len(cols) * len(rows):,} tiles at zoom {options.zoom}, {MOST_TILES:,} at most; take "
                f"less ground or a smaller --zoom"
            )
        y, x = (v.ravel() for v in np.meshgrid(rows, cols, indexing="ij"))
        met = shapely.area(shapely.intersection(area, shapely.box(x, y, x + 1, y + 1))) > 0
        return cls(options, matrix, tuple(zip(y[met].tolist(), x[met].tolist(), strict=True)))

    @property
    def first(self) -> tuple[int, int]:
        """The least row and column."""
        rows, cols = zip(*self.tiles, strict=True)
        return min(rows), min(cols)

    def grid(self, side_px: int) -> Grid:
        """Return the grid of the scene, of tiles of so many pixels."""
        (rows, cols), (row, col) = zip(*self.tiles, strict=True), self.first
        grid = self.matrix.grid.crop(Box(row, col, max(rows) + 1, max(cols) + 1))
        return grid.resized((grid.height * side_px, grid.width * side_px))


def fetch_tiles(path: Path, wanted: Wanted, *, listen: Listen = lambda _done, _total: None) -> int:
    """Fetch tiles into a COG of red, green and blue; returns how many the server does not have: nodata there.

    What is fetched lies in a hidden folder beside ``path`` until the scene is whole, and the same call goes on there.
    listen: is told how many tiles of all are there. Raises InputError, OutputError, and TryAgainError where the server
    does not answer.
    """
    named = f"{wanted.matrix.address} {wanted.matrix.zoom}"
    folder = path.with_name(f".{path.name}.{hashlib.sha256(named.encode()).hexdigest()[:8]}.tiles")
    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(wanted.options.connections)
    try:
        files = []
        for file in pool.map(lambda tile: _fetched(folder, wanted.matrix, tile), wanted.tiles):
            files.append(file)
            listen(len(files), len(wanted.tiles))
    finally:
        pool.shutdown(cancel_futures=True)
    lacking = [file.stat().st_size == 0 for file in files]
    if all(lacking):
        shutil.rmtree(folder)
        raise InputError(f"{wanted.options.url}: none of {len(files)} tiles is there; check the address and the zoom")
    _write(path, wanted, files)
    shutil.rmtree(folder)
    return sum(lacking)


def _fetched(folder: Path, matrix: TileMatrix, tile: tuple[int, int]) -> Path:
    """Return the file of a tile, empty where its server has none."""
    row, col = tile
    file = folder / f"{row}_{col}"
    if not file.exists():
        content = remote.content_of(matrix.url(col, row), MOST_BYTES)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(content or b"")
        part.replace(file)
    return file


def _write(path: Path, wanted: Wanted, files: list[Path]) -> None:
    side_px = _pixels(next(file for file in files if file.stat().st_size), wanted.matrix).shape[1]
    grid = wanted.grid(side_px)
    options, matrix = wanted.options, wanted.matrix
    place = {"crs": grid.crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
    with atomic(path) as temporary, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        plain = temporary.with_name("plain.tif")
        with rasterio.open(plain, "w", **PLAIN, **place) as dst:
            dst.descriptions = ("red", "green", "blue")
            where = urlsplit(matrix.address)._replace(query="").geturl()  # queries hold keys
            dst.update_tags(
                TIFFTAG_SOFTWARE=f"geoseg {__version__}", TIFFTAG_COPYRIGHT=options.licence,
                GEOSEG_TILES=f"{where} {matrix.layer}".strip(), GEOSEG_ZOOM=matrix.zoom,
            )  # fmt: skip
            dst.write_mask(np.zeros((side_px, side_px), np.uint8), window=Window(0, 0, side_px, side_px))
            for (row, col), file in zip(wanted.tiles, files, strict=True):
                if file.stat().st_size == 0:
                    continue
                pixels = _pixels(file, matrix)
                if pixels.shape != (4, side_px, side_px):
                    raise InputError(f"{matrix.url(col, row)}: {pixels.shape[1:]} px, not {side_px} as others")
                at = (col - wanted.first[1]) * side_px, (row - wanted.first[0]) * side_px
                dst.write(pixels[:3], window=Window(*at, side_px, side_px))
                dst.write_mask(pixels[3], window=Window(*at, side_px, side_px))
        copy(plain, temporary, **COG)
        plain.unlink()


def _pixels(file: Path, matrix: TileMatrix) -> NDArray[np.uint8]:
    """Return a tile as (4, h, w) bytes: red, green, blue, and 255 where they are known."""
    row, col = (int(part) for part in file.name.split("_"))
    url, begins = matrix.url(col, row), file.read_bytes()[:4]
    driver = next((name for magic, name in FORMATS.items() if begins.startswith(magic)), None)
    try:
        with rasterio.open(file, driver=driver or "PNG") as src:
            data, known = src.read(), src.dataset_mask()
            colours = src.colormap(1) if src.count == 1 and src.colorinterp[0].name == "palette" else None
    except (RasterioError, ValueError) as error:
        file.unlink()  # is fetched anew
        raise InputError(f"{url}: is no PNG, JPEG or WebP ({str(error).splitlines()[0]})") from error
    if data.dtype != np.uint8:
        raise InputError(f"{url}: {data.dtype} pixels; tiles of pictures hold bytes")
    if colours is not None:
        table = np.zeros((256, 4), np.uint8)
        table[list(colours)] = list(colours.values())
        return np.moveaxis(table[data[0]], -1, 0)
    colour = data[:3] if len(data) >= 3 else np.repeat(data[:1], 3, axis=0)
    return np.concatenate([colour, known[None]])
