"""Scene: a raster (or several files of one grid) that may be read by windows; nothing is loaded, cheap to pickle."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.scenes.band_names import COLORS
from geoseg.values.bands import BandSet
from geoseg.values.box import Box
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import xarray as xr

Fetch = Callable[[Box], tuple[NDArray[np.generic], NDArray[np.bool_]]]  # a file's pixels (C, H, W), which are known


class Placing(Protocol):
    """The grid of a file and the rule by which its pixels become those of a scene of another grid.

    A frozen value, whose ``repr`` says all of it: it is part of what names a job.
    """

    @property
    def files(self) -> tuple[str, ...]:
        """What it reads beside the file."""

    def bring(self, box: Box, fetch: Fetch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return pixels (C, h, w) of ``box`` on the scene's grid, and which are made of any that are known.

        Each pixel is the same in whatever box it lies; ``fetch`` gives the pixels of a box of the file.
        """


@dataclass(frozen=True, slots=True)
class BandSource:
    """Where one band's pixels come from."""

    file: str
    index: int  # of the band in the file, from 1
    scale: float = 1.0  # physical value = stored x scale + offset
    offset: float = 0.0
    nodata: float | None = None
    alpha: int | None = None  # index of the file's alpha band, from 1
    limits: tuple[float, float] | None = None  # physical values beyond are brought to them
    placing: Placing | None = None  # None: the file's grid is the scene's
    date: int = 0  # from 1 in the order of time; 0: all bands are of one


@dataclass(frozen=True, slots=True)
class Quality:
    """The first band of a file, which says of each pixel how good it is, and what hides one."""

    file: str
    why: str  # in words
    hidden: tuple[int, ...] = ()  # values
    bits: int = 0  # any of them
    placing: Placing | None = None  # None: its grid is the scene's


@dataclass(frozen=True)
class Tiles:
    """Scenes that lie beside and over each other on one grid: of those of a date that know a pixel, the first gives it.

    Each holds the bands of its date. boxes: where each lies; lone: files with nothing beside them that GDAL would read
    too; physical: whether values are brought to physical ones when they are read, since scales differ.
    """

    scenes: tuple["Scene", ...]
    boxes: tuple[Box, ...]
    lone: frozenset[str] = frozenset()
    physical: bool = False

    def __repr__(self) -> str:
        """Return how many there are, and a digest of all that decides a pixel."""
        every = [(box, t.quality, *(replace(s, file=Path(s.file).name) for s in t.sources)) for t, box in self._pairs()]
        return f"{len(self.scenes)} tiles {hashlib.sha256(repr((every, self.physical)).encode()).hexdigest()}"

    def _pairs(self) -> Iterator[tuple["Scene", Box]]:
        return zip(self.scenes, self.boxes, strict=True)

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        return np.array([(b.row0, b.col0, b.row1, b.col1) for b in self.boxes])

    def meeting(self, box: Box) -> Iterator[tuple["Scene", Box]]:
        """Yield the scenes that share pixels with ``box``, in their order, and where they lie."""
        top, left, bottom, right = self._edges.T
        for i in np.flatnonzero((top < box.row1) & (left < box.col1) & (bottom > box.row0) & (right > box.col0)):
            yield self.scenes[i], self.boxes[i]

    def ordered(self, bands: BandSet, order: Sequence[int], dates: Sequence[int]) -> "Tiles":
        """Return the same with other bands; order: which of those of all dates they are; dates: of which those are."""
        own = {date: of_date(date, dates, bands, order) for date in {dates[i] for i in order}}
        kept = [(tile._ordered(*own[tile.date]), box) for tile, box in self._pairs() if tile.date in own]
        scenes, boxes = zip(*kept, strict=True)
        return replace(self, scenes=scenes, boxes=boxes)


@dataclass(frozen=True, slots=True)
class Scene:
    """A raster we may read.

    bands: what the channels measure, in file order without alpha; named: whether the names are known rather than
    counted; sources: one per band; block: native (rows, cols) block; dtype: the stored type; mask: a raster of the
    same grid whose first band hides pixels where it is 0, nodata or NaN; quality: what hides pixels too; origin:
    (row, col) of its first pixel on the grid of the scene that it was cut from; tiles: what it is put together from,
    None where its sources hold all of it; notes: what a reader of its map should know of how it was opened.
    """

    grid: Grid
    bands: BandSet
    named: bool
    sources: tuple[BandSource, ...]
    dtype: str
    block: tuple[int, int]
    mask: str | None = None
    quality: Quality | None = None
    origin: tuple[int, int] = (0, 0)
    tiles: Tiles | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the file, size, CRS, pixel and bands, in five lines."""
        height_m, width_m = self.grid.ground_resolution_m()
        bands = list(self.bands.names)
        shown = ", ".join(bands[:8]) + (f", … ({len(bands)})" if len(bands) > 8 else "")
        return "\n".join(
            (
                f"Scene {self.name}",
                f"  size   {self.grid.height} x {self.grid.width} px",
                f"  pixel  {height_m:.4g} x {width_m:.4g} m",
                f"  CRS    {self.grid.crs.to_string()[:80]}",
                f"  bands  {shown}, {self.dtype}",
            )
        )

    def _repr_html_(self) -> str:
        """Return the same lines with a picture, for notebooks."""
        from geoseg.scenes.notebook import scene_html

        return scene_html(self)

    @property
    def files(self) -> tuple[str, ...]:
        """The files, each once, in order."""
        own = self.sources if self.tiles is None else (s for tile in self.tiles.scenes for s in tile.sources)
        return tuple(dict.fromkeys(s.file for s in own))

    @property
    def inputs(self) -> tuple[str, ...]:
        """All that is read for it: its files, its mask, and heights by which files are placed."""
        every = self.sources if self.tiles is None else (s for tile in self.tiles.scenes for s in tile.sources)
        more = (file for s in every if s.placing is not None for file in s.placing.files)
        scenes = (self, *(() if self.tiles is None else self.tiles.scenes))
        masks = [scene.mask for scene in scenes if scene.mask] + [s.quality.file for s in scenes if s.quality]
        return tuple(dict.fromkeys((*self.files, *masks, *more)))

    @property
    def date(self) -> int:
        """Of which date its first band is, from 1; 0 where there is but one date."""
        return self.sources[0].date

    @property
    def lone(self) -> frozenset[str]:
        """Files with nothing beside them that GDAL would read too."""
        return frozenset() if self.tiles is None else self.tiles.lone

    @property
    def name(self) -> str:
        """A short name for messages: the file's, or the first of several."""
        more = f" (+{len(self.files) - 1} files)" if len(self.files) > 1 else ""
        return Path(self.files[0]).name + more

    def to_xarray(self, *, chunk_px: int = 2048, masked: bool = False) -> "xr.DataArray":
        """Return the scene as a lazy, georeferenced array; see ``geoseg.scenes.xarray_view.to_xarray``."""
        from geoseg.scenes.xarray_view import to_xarray

        return to_xarray(self, chunk_px=chunk_px, masked=masked)

    def physical(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (C, h, w) stored values as physical ones: value * scale + offset of each band, within its limits."""
        if all((s.scale, s.offset, s.limits) == (1, 0, None) for s in self.sources):
            return stored
        scale = np.array([s.scale for s in self.sources], np.float32)[:, None, None]
        offset = np.array([s.offset for s in self.sources], np.float32)[:, None, None]
        physical = stored * scale
        physical += offset
        for values, source in zip(physical, self.sources, strict=True):
            if source.limits is not None:
                np.clip(values, *source.limits, out=values)
        return physical

    def crop(self, box: Box) -> "Scene":
        """Return the part of the scene in ``box``, which lies inside it."""
        if box.clip(self.grid.box) != box:
            raise ValueError(f"{box} is not inside the scene of {self.grid.shape}")
        row, col = self.origin
        return replace(self, grid=self.grid.crop(box), origin=(row + box.row0, col + box.col0))

    def select(self, wanted: BandSet, *, optional: Collection[str] = ()) -> "Scene":
        """Return the scene reduced to the bands that a model wants, in its order.

        By name and wavelength where the scene's bands are named; a scene without names is taken in order when the
        count fits. What it lacks of the bands that ``optional`` names is left out. Raises InputError otherwise.
        """
        wanted = self._without_lacking(wanted, optional)
        if self.named and (own := _dates(self.bands)) != (asked := _dates(wanted)):
            raise InputError(
                f"{self.name}: {own} date{'s' * (own > 1)}, the model is for {asked}; name each with --date DATE=FILE"
            )
        if self.named:
            order = self.bands.indices_of(wanted, where=self.name)
        elif len(self.bands) == len(wanted):
            order = tuple(range(len(wanted)))
        elif len(self.bands) == 1 and set(wanted.names) == set(COLORS.values()):
            order = (0, 0, 0)  # grey is equal parts of each
        else:
            raise InputError(
                f"{self.name}: {len(self.bands)} bands without names, the model needs {len(wanted)} "
                f"({', '.join(wanted.names)}). Name them in file order with --bands, or pick by number: --bands 3,2,1"
            )
        return self._ordered(wanted, order)

    def _ordered(self, bands: BandSet, order: Sequence[int]) -> "Scene":
        dates = [s.date for s in self.sources]
        tiles = None if self.tiles is None else self.tiles.ordered(bands, order, dates)
        return replace(self, bands=bands, named=True, sources=tuple(self.sources[i] for i in order), tiles=tiles)

    def _without_lacking(self, wanted: BandSet, optional: Collection[str]) -> BandSet:
        """Return ``wanted`` without the optional bands that the scene lacks; unnamed, it has all of them or none."""
        if not optional or (not self.named and len(self.bands) == len(wanted)):
            return wanted
        held = [b for b in wanted if b.name not in optional or (self.named and self.bands.holds(b))]
        return BandSet(tuple(held))


def of_date(date: int, dates: Sequence[int], bands: BandSet, order: Sequence[int]) -> tuple[BandSet, tuple[int, ...]]:
    """Return those of ``bands`` that are of one date, and which of its own bands they are.

    dates: of all bands of a scene; order: which of these ``bands`` are.
    """
    own = [i for i, other in enumerate(dates) if other == date]
    channels = [c for c, i in enumerate(order) if dates[i] == date]
    return bands.take(channels), tuple(own.index(order[c]) for c in channels)


def _dates(bands: BandSet) -> int:
    """Return of how many dates bands are, NAME@1, NAME@2, …; 1 where none is said."""
    return max((int(n) for b in bands if (n := b.name.rpartition("@")[2]).isdigit() and "@" in b.name), default=1)
