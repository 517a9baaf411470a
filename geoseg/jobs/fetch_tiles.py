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
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from geoseg import __version__
from geoseg.disk.files import atomic
from geoseg.errors import InputError
from geoseg.options.tiles import TileOptions
from geoseg.scenes import remote
from geoseg.scenes.polygons import read_polygons
from geoseg.values.grid import Grid

EDGE_M = 20037508.342789244  # half of Web Mercator's square
MERCATOR = CRS.from_epsg(3857)
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
    tiles: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, options: TileOptions) -> "Wanted":
        """Return those that ``options`` ask for; raises InputError where there are none, or too many."""
        side = 2 * EDGE_M / 2**options.zoom
        everywhere = Grid(MERCATOR, Affine(side, 0, -EDGE_M, 0, -side, EDGE_M), (2**options.zoom,) * 2)
        shapes = np.asarray(read_polygons(options.aoi, layer=None, grid=everywhere).geometry.values, object)
        back = ~everywhere.transform
        area = shapely.union_all(shapely.make_valid(shapely.transform(shapes, lambda xy: np.c_[back @ tuple(xy.T)])))
        world = shapely.box(0, 0, *everywhere.shape)
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
        return cls(options, tuple(zip(y[met].tolist(), x[met].tolist(), strict=True)))

    @property
    def first(self) -> tuple[int, int]:
        """The least row and column."""
        rows, cols = zip(*self.tiles, strict=True)
        return min(rows), min(cols)

    def grid(self, side_px: int = 256) -> Grid:
        """Return the grid of the scene, of tiles of so many pixels."""
        (rows, cols), (row, col) = zip(*self.tiles, strict=True), self.first
        size = 2 * EDGE_M / 2**self.options.zoom / side_px
        corner = Affine(size, 0, -EDGE_M + col * side_px * size, 0, -size, EDGE_M - row * side_px * size)
        return Grid(MERCATOR, corner, ((max(rows) - row + 1) * side_px, (max(cols) - col + 1) * side_px))


def fetch_tiles(path: Path, wanted: Wanted, *, listen: Listen = lambda _done, _total: None) -> int:
    """Fetch tiles into a COG of red, green and blue; returns how many the server does not have: nodata there.

    What is fetched lies in a hidden folder beside ``path`` until the scene is whole, and the same call goes on there.
    listen: is told how many tiles of all are there. Raises InputError, OutputError, and TryAgainError where the server
    does not answer.
    """
    named = f"{wanted.options.url} {wanted.options.zoom}"
    folder = path.with_name(f".{path.name}.{hashlib.sha256(named.encode()).hexdigest()[:8]}.tiles")
    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(wanted.options.connections)
    try:
        files = []
        for file in pool.map(lambda tile: _fetched(folder, wanted.options, tile), wanted.tiles):
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


def _fetched(folder: Path, options: TileOptions, tile: tuple[int, int]) -> Path:
    """Return the file of a tile, empty where its server has none."""
    row, col = tile
    file = folder / f"{row}_{col}"
    if not file.exists():
        content = remote.content_of(options.tile_url(col, row), MOST_BYTES)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(content or b"")
        part.replace(file)
    return file


def _write(path: Path, wanted: Wanted, files: list[Path]) -> None:
    side_px = _pixels(next(file for file in files if file.stat().st_size), wanted.options).shape[1]
    grid = wanted.grid(side_px)
    options = wanted.options
    place = {"crs": grid.crs, "transform": grid.transform, "height": grid.height, "width": grid.width}
    with atomic(path) as temporary, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        plain = temporary.with_name("plain.tif")
        with rasterio.open(plain, "w", **PLAIN, **place, blockxsize=side_px, blockysize=side_px) as dst:
            dst.descriptions = ("red", "green", "blue")
            where = urlsplit(options.url)._replace(query="").geturl()  # queries hold keys
            dst.update_tags(
                TIFFTAG_SOFTWARE=f"geoseg {__version__}", TIFFTAG_COPYRIGHT=options.licence,
                GEOSEG_TILES=where, GEOSEG_ZOOM=options.zoom,
            )  # fmt: skip
            dst.write_mask(np.zeros((side_px, side_px), np.uint8), window=Window(0, 0, side_px, side_px))
            for (row, col), file in zip(wanted.tiles, files, strict=True):
                if file.stat().st_size == 0:
                    continue
                pixels = _pixels(file, options)
                if pixels.shape != (4, side_px, side_px):
                    raise InputError(f"{options.tile_url(col, row)}: {pixels.shape[1:]} px, not {side_px} as others")
                at = (col - wanted.first[1]) * side_px, (row - wanted.first[0]) * side_px
                dst.write(pixels[:3], window=Window(*at, side_px, side_px))
                dst.write_mask(pixels[3], window=Window(*at, side_px, side_px))
        copy(plain, temporary, **COG)
        plain.unlink()


def _pixels(file: Path, options: TileOptions) -> NDArray[np.uint8]:
    """Return a tile as (4, h, w) bytes: red, green, blue, and 255 where they are known."""
    row, col = (int(part) for part in file.name.split("_"))
    url, begins = options.tile_url(col, row), file.read_bytes()[:4]
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
