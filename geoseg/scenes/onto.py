"""onto: what lies on other grids is brought to one, band by band."""

from dataclasses import replace

from geoseg.scenes.placement import Placement
from geoseg.scenes.recipe import Described
from geoseg.scenes.regridded import Regridded
from geoseg.scenes.scene import Placing
from geoseg.scenes.warped import of_grid, warped_onto
from geoseg.values.grid import Grid
from geoseg.values.resampling import Rule


def onto(part: Described, grid: Grid, rule: Rule) -> tuple[Described, bool]:
    """Return bands on ``grid``, each from that of its own file, and whether there is no better way.

    Raises InputError where nothing leads from one CRS to the other.
    """
    ways: dict[Grid | Placement, tuple[Placing | None, bool]] = {}
    sources, best = [], True
    for source, own in zip(part.sources, part.own or (part.grid,) * len(part.sources), strict=True):
        if own not in ways:
            ways[own] = between(source.file, own, grid, rule)
        placing, good = ways[own]
        best &= good
        sources.append(replace(source, placing=placing))
    quality = part.quality
    if quality is not None and part.quality_grid is not None:
        quality = replace(quality, placing=between(quality.file, part.quality_grid, grid, "nearest")[0])
    own_grids = part.own or (part.grid,) * len(part.sources)
    return replace(part, grid=grid, sources=tuple(sources), own=own_grids, quality=quality), best


def between(file: str, own: Grid | Placement, grid: Grid, rule: Rule) -> tuple[Placing | None, bool]:
    """Return how pixels of a file become those of a grid, None where they are, and whether there is no better way."""
    if isinstance(own, Placement):
        return warped_onto(file, own, grid, rule)
    if own.same_as(grid):
        return None, True
    regridded = Regridded.between(own, grid, rule)
    return (regridded, True) if regridded else warped_onto(file, of_grid(own), grid, rule)
