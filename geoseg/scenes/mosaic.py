"""Mosaic: many rasters beside and over each other as one scene, without a VRT; windows see across their borders.

The grid is that of the first tile, which reaches as far as all of them do. Tiles on it are read as they are, others are
brought to it as the bands of a stack are: by ``Regridded`` in its CRS, by ``Warped`` from another.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor

import numpy as np

from geoseg.disk.places import RASTER_FILES
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.band_names import label_of_name
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.onto import onto
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import BandSource
from geoseg.scenes.stack import recipe as stack
from geoseg.scenes.tiff_header import read_header
from geoseg.scenes.tile_lists import Listed, listed_tiles
from geoseg.scenes.warped import bounds_in, north_up, of_grid, stated_crs
from geoseg.values.box import Box
from geoseg.values.grid import Grid

ON_GRID_PX = 1e-3  # tiles that lie so near to whole pixels of the grid are on it
MOST_PX = 2**46  # of a mosaic: tiles that lie further apart are a mistake
CELLS = 512  # along each axis, by which the share of gaps is told
Describe = Callable[[str], Described]


def recipe(given: Given) -> Described | None:
    """Return the mosaic of a folder, a pattern or an index, or of several files of the same bands on other ground."""
    if len(given.paths) == 1:
        listed = listed_tiles(given.paths[0])
    else:
        listed = [Listed(path) for path in given.paths] if _are_tiles(given) else None
    if listed is None:
        return None
    described = Describing(given)
    tiles = [(tile, described(tile.path)) for tile in listed]
    names = [tile.labels for _, tile in tiles]
    if len(set(names)) > 1 and {len(labels) for labels in names} == {1}:
        if len(set(names)) == len(names) and (None,) not in names:  # the bands of one place, a file each
            return stack(replace(given, paths=tuple(tile.path for tile in listed)))
        _refuse_bands_of_one_ground([known for _, known in tiles])
        tiles = [(tile, replace(known, labels=(None,))) for tile, known in tiles]  # counts in names, no bands
    return mosaic(tiles, given, lone=described.lone)


def _refuse_bands_of_one_ground(tiles: Sequence[Described]) -> None:
    """Raise InputError where files that are named as bands lie over each other: a product, not a mosaic."""
    first = tiles[0]
    for tile in tiles:
        if tile.labels != first.labels and tile.grid.crs == first.grid.crs and _meet(tile.grid, first.grid):
            raise InputError(
                f"{tile.sources[0].file}: is named as another band ({_named(tile)}) of the ground of "
                f"{first.sources[0].file} ({_named(first)}); name the files of the wanted bands one by one"
            )


def _are_tiles(given: Given) -> bool:
    """Whether several files hold the same bands on other ground, and not other bands of the same."""
    if given.resampling is not None or given.warp_to is not None:
        return False
    first, second = (describe_file(path, given) for path in given.paths[:2])
    return first.labels == second.labels and first.grid.crs == second.grid.crs and not _meet(first.grid, second.grid)


def _meet(one: Grid, other: Grid) -> bool:
    """Whether two grids share more than a tenth of the smaller one's ground."""
    (l, b, r, t), (l2, b2, r2, t2) = one.bounds, other.bounds  # noqa: E741
    common = max(0.0, min(r, r2) - max(l, l2)) * max(0.0, min(t, t2) - max(b, b2))
    return common > 0.1 * min((r - l) * (t - b), (r2 - l2) * (t2 - b2))


@dataclass
class Describing:
    """Describes files, quickly where all but their place is known from another one."""

    given: Given
    lone: set[str] = field(default_factory=set)
    _kinds: dict[tuple[object, ...], Described] = field(default_factory=dict)
    _others: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, path: str) -> Described:
        """Return what a file says of itself; raises InputError."""
        header = read_header(path) if self._is_alone(path) else None
        if header is None:
            return describe_file(path, self.given)
        self.lone.add(path)
        known = self._kinds.get(header.kind)
        if known is None:
            return self._kinds.setdefault(header.kind, describe_file(path, self.given))
        grid = Grid(known.grid.crs, header.transform, header.shape)
        labels = known.labels
        if len(labels) == 1 and labels[0] == label_of_name(known.sources[0].file):
            labels = (label_of_name(path),)
        sources = tuple(replace(s, file=path) for s in known.sources)
        return replace(known, grid=grid, sources=sources, labels=labels, notes=())

    def _is_alone(self, path: str) -> bool:
        """Whether no other file of its folder may say more of it."""
        folder, name = os.path.split(path)  # many thousand times
        if folder not in self._others:
            every = os.listdir(folder or ".")  # noqa: PTH208
            self._others[folder] = [other for other in every if not other.lower().endswith(RASTER_FILES)]
        stem = name.rpartition(".")[0]
        return not any(name.startswith(stem) for name in self._others[folder])


def mosaic(tiles: Sequence[tuple[Listed, Described]], given: Given, *, lone: set[str]) -> Described:
    """Return tiles as one; raises InputError where their bands differ or no grid holds them all."""
    tiles = [tiles[i] for i in _order(tiles, given.overlap)]
    first = tiles[0][1]
    for _, tile in tiles:
        if tile.labels != first.labels:
            raise InputError(
                f"{tile.sources[0].file}: its bands ({_named(tile)}) are not those of {first.sources[0].file} "
                f"({_named(first)}); leave it out, or name the bands of files one by one"
            )
    grid = first.grid
    if given.warp_to is not None:
        grid = north_up(first.sources[0].file, of_grid(grid), stated_crs(given.warp_to))
    laid = [laid_on(grid, tile, given) for _, tile in tiles]
    whole = laid[0][1].union(*(box for _, box in laid))
    if whole.shape[0] * whole.shape[1] > MOST_PX:
        size = f"{whole.shape[0]} x {whole.shape[1]} px in all"
        raise InputError(f"{given.paths[0]}: its tiles lie too far apart, {size}; map them one by one (geoseg batch)")
    grid = grid.crop(whole)
    parts, boxes = [part for part, _ in laid], [box.shifted(-whole.row0, -whole.col0) for _, box in laid]
    physical = len({tuple((s.scale, s.offset) for s in part.sources) for part in parts}) > 1
    notes = [note for part in parts for note in part.notes]
    return replace(
        first,
        grid=grid,
        sources=as_physical(first.sources) if physical else first.sources,
        dtypes=tuple("float32" if physical else str(np.result_type(*kinds)) for kinds in _dtypes(parts)),
        tiles=tuple(zip(parts, boxes, strict=True)),
        lone=frozenset(lone),
        physical=physical,
        notes=(*several(notes), *_gaps(given, grid, boxes)),
    )


def laid_on(grid: Grid, tile: Described, given: Given) -> tuple[Described, Box]:
    """Return a tile on its part of ``grid``, with a note where it is brought to it, and where that is.

    It may hang over the edge, or lie beyond it.
    """
    step = _whole_steps(grid, tile.grid)
    box = _box(grid, tile, step)
    return (tile if step is not None else _onto(grid.crop(box), tile, given)), box


def as_physical(sources: Sequence[BandSource]) -> tuple[BandSource, ...]:
    """Return sources whose pixels are physical values when they are read, and of which what is nodata is known then."""
    return tuple(replace(s, scale=1.0, offset=0.0, nodata=None) for s in sources)


def _order(tiles: Sequence[tuple[Listed, Described]], overlap: str) -> list[int]:
    """Return the places of tiles in the order in which they give pixels that several know."""
    if overlap == "first":
        return list(range(len(tiles)))
    keys = [tile.clouds if overlap == "clearest" else tile.date for tile, _ in tiles]
    for (tile, _), key in zip(tiles, keys, strict=True):
        if key is None:
            wanted = "cloud share" if overlap == "clearest" else "date"
            raise ConfigError(f"--overlap {overlap}: nothing says the {wanted} of {tile.path}; list tiles with it")
    return sorted(range(len(tiles)), key=lambda i: keys[i], reverse=overlap == "newest")  # type: ignore[arg-type,return-value]  # no None


def _named(tile: Described) -> str:
    return ", ".join(label or "?" for label in tile.labels)


def _dtypes(parts: Sequence[Described]) -> Iterator[set[str]]:
    return (set(kinds) for kinds in zip(*(part.dtypes for part in parts), strict=True))


def _whole_steps(grid: Grid, tile: Grid) -> tuple[int, int] | None:
    """Return by how many rows and columns a tile is shifted on a grid; None where it lies between its pixels."""
    g, t = grid.transform, tile.transform
    if (t.a, t.b, t.d, t.e) != (g.a, g.b, g.d, g.e) or tile.crs != grid.crs:
        return (0, 0) if tile.same_as(grid) else None
    x, y, det = t.c - g.c, t.f - g.f, g.a * g.e - g.b * g.d
    col, row = (g.e * x - g.b * y) / det, (g.a * y - g.d * x) / det
    whole = round(row), round(col)
    return whole if max(abs(row - whole[0]), abs(col - whole[1])) <= ON_GRID_PX else None


def _box(grid: Grid, tile: Described, step: tuple[int, int] | None) -> Box:
    """Return which pixels of a grid, as far as it may reach, a tile covers, wholly or in part."""
    if step is not None:
        return Box(*step, step[0] + tile.grid.height, step[1] + tile.grid.width)
    if tile.grid.crs == grid.crs:
        t = ~grid.transform @ tile.grid.transform
        corners = [t @ c for c in ((0, 0), (tile.grid.width, 0), (0, tile.grid.height), tile.grid.shape[::-1])]
        cols, rows = zip(*corners, strict=True)
        edges = min(rows), min(cols), max(rows), max(cols)
    else:
        edges = bounds_in(tile.sources[0].file, of_grid(tile.grid), grid)
    (top, left), (bottom, right) = (floor(v + ON_GRID_PX) for v in edges[:2]), (ceil(v - ON_GRID_PX) for v in edges[2:])
    return Box(top, left, bottom, right)


def _onto(grid: Grid, tile: Described, given: Given) -> Described:
    """Return a tile on its part of the mosaic's grid."""
    rule = given.resampling or "bilinear"
    brought, best = onto(tile, grid, rule)
    note = f"{tile.sources[0].file}: brought to the grid of the first ({rule})"
    note += "" if best else "; a better transformation exists, but its grid is not installed (projsync)"
    return replace(brought, notes=(note,))


def several(notes: Sequence[str]) -> list[str]:
    """Return notes, of many the first alone and how many there are."""
    return [*notes[:1], *([f"so are {len(notes) - 1} other tiles"] if len(notes) > 1 else [])]


def _gaps(given: Given, grid: Grid, boxes: Sequence[Box]) -> list[str]:
    """Return what share of the grid no tile covers, in words."""
    step = [max(1, -(-n // CELLS)) for n in grid.shape]
    shape = [-(-n // s) for n, s in zip(grid.shape, step, strict=True)]
    covered = np.zeros(shape, np.bool_)
    for box in boxes:
        covered[box.row0 // step[0] : -(-box.row1 // step[0]), box.col0 // step[1] : -(-box.col1 // step[1])] = True
    share = 1 - covered.mean()
    return [f"{given.paths[0]}: no tile covers about {share:.1%} of the mosaic; nodata there"] if share > 0 else []
