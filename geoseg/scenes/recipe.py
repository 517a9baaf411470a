"""Recipe: what makes a scene of one kind of input; ``geoseg.scenes.open`` holds the table of all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from geoseg.scenes.placement import Heights, Placement
from geoseg.scenes.scene import BandSource, Quality
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.values.resampling import Overlap, Rule


@dataclass(frozen=True, slots=True)
class Given:
    """What a scene is to be made of."""

    paths: tuple[str, ...]  # at least one
    assume_crs: str | None = None  # of files that have none
    resampling: Rule | None = None  # by which files of other grids become pixels of the scene; None: they do not
    warp_to: str | None = None  # CRS on a grid of which the scene is to lie; None: on that of its first file
    heights: Heights | None = None  # of the ground, by which RPCs place pixels
    mask_quality: bool = False  # whether a product's own quality band masks
    no_crs: bool = False  # files without a place are taken in pixel coordinates
    pixel_m: float | None = None  # size of the pixels of such files
    overlap: Overlap = "first"  # which of the tiles that know a pixel gives it
    local_only: bool = False  # names and formats that make GDAL read further files or URLs are refused


@dataclass(frozen=True, slots=True)
class Described:
    """What rasters say of themselves; sources, labels and dtypes are one per band, alpha included."""

    grid: Grid
    sources: tuple[BandSource, ...]
    labels: tuple[str | None, ...]  # what bands are called, None where nothing says it
    dtypes: tuple[str, ...]  # as rasterio names them
    block: tuple[int, int]  # native (rows, cols) block of the first file
    notes: tuple[str, ...] = ()  # see ``Scene.notes``
    tiles: tuple[tuple["Described", Box], ...] = ()  # what it is put together from, see ``Tiles``, and where they lie
    lone: frozenset[str] = frozenset()
    physical: bool = False
    own: tuple[Grid | Placement, ...] = ()  # where the files of the sources lie; none: ``grid`` is that of all
    dates: int = 1
    quality: Quality | None = None
    quality_grid: Grid | None = None  # of its file
    sensor: str | None = None  # that took it, where it is known
    date: str | None = None  # sorts as text
    clouds: float | None = None  # share that clouds cover, in percent

    def dated(self, date: str | None, clouds: float | None) -> "Described":
        """Return the same with what is known of when it was taken, and through which clouds."""
        return replace(self, date=date, clouds=clouds)


Recipe = Callable[[Given], Described | None]  # None: the input is of another kind
