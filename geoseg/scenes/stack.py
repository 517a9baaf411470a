"""Several files, mostly of one band each, as one scene: on the grid of the first."""

from collections.abc import Sequence
from dataclasses import replace

from geoseg.errors import InputError
from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.regridded import Regridded
from geoseg.values.grid import Grid


def recipe(given: Given) -> Described | None:
    """Return what several files say together; raises InputError where their grids differ and no rule is given."""
    if len(given.paths) == 1:
        return None
    parts = [describe_file(path, given) for path in given.paths]
    return joined([_onto(parts[0].grid, part, given) for part in parts])


def joined(parts: Sequence[Described]) -> Described:
    """Return the bands of files on one grid as those of one input."""
    return Described(
        grid=parts[0].grid,
        sources=tuple(source for part in parts for source in part.sources),
        labels=tuple(label for part in parts for label in part.labels),
        dtypes=tuple(dtype for part in parts for dtype in part.dtypes),
        block=parts[0].block,
        own=tuple(own for part in parts for own in part.own or (part.grid,) * len(part.sources)),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _onto(grid: Grid, part: Described, given: Given) -> Described:
    """Return a file's bands on ``grid``, with a note where they are resampled."""
    if grid.same_as(part.grid):
        return part
    path, rule = part.sources[0].file, given.resampling
    placing = Regridded.between(part.grid, grid, rule or "bilinear")
    if rule is None or placing is None:
        way = (
            f"--warp-to {_code(grid)}, or gdalwarp -t_srs -te -tr"
            if placing is None
            else "--resampling bilinear, nearest or average"
        )
        raise InputError(
            f"{path}: its grid ({in_words(part.grid)}) differs from that of {given.paths[0]} ({in_words(grid)}). "
            f"Bring the bands to one grid first ({way})"
        )
    t = part.grid.transform
    note = f"{path}: pixels of {t.a:g} x {t.e:g} are brought to those of {given.paths[0]} ({rule})"
    sources = tuple(replace(s, placing=placing) for s in part.sources)
    return replace(part, grid=grid, sources=sources, own=(part.grid,) * len(sources), notes=(*part.notes, note))


def _code(grid: Grid) -> str:
    code = grid.crs.to_epsg()
    return "CRS" if code is None else f"EPSG:{code}"


def in_words(grid: Grid) -> str:
    """Return what a reader needs to tell two grids apart."""
    t = grid.transform
    size = f"{grid.width} x {grid.height} px of {t.a:g} x {t.e:g}"
    return f"{size} from {t.c:.10g}, {t.f:.10g} in {grid.crs.to_string()[:60]}"
