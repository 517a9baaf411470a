"""What products share: bands of several files and sizes on the grid of the finest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.onto import between, onto
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.scene import Quality
from geoseg.scenes.stack import joined


@dataclass(frozen=True, slots=True)
class BandFile:
    """A file of a product that holds one band, and what its numbers mean."""

    name: str
    file: str
    scale: float
    offset: float


def of_bands(bands: Sequence[BandFile], given: Given, *, sensor: str, note: str) -> Described:
    """Return bands on the grid of the finest one; coarser ones by --resampling, else bilinear. 0 is nodata."""
    parts = []
    for band in bands:
        part = describe_file(band.file, given)
        sources = tuple(replace(s, scale=band.scale, offset=band.offset, nodata=0.0) for s in part.sources[:1])
        parts.append(replace(part, sources=sources, labels=(band.name,), dtypes=part.dtypes[:1], notes=()))
    return replace(on_finest(parts, given, notes=[note]), sensor=sensor)


def on_finest(parts: Sequence[Described], given: Given, *, notes: Sequence[str]) -> Described:
    """Return bands on the finest of their grids; coarser ones by --resampling, else bilinear."""
    grid = min((part.grid for part in parts), key=lambda grid: abs(grid.transform.determinant))
    rule = given.resampling or "bilinear"
    brought = [onto(part, grid, rule)[0] for part in parts]
    coarse = [label or "?" for part in parts if not part.grid.same_as(grid) for label in part.labels]
    size = abs(grid.transform.a)
    more = [f"{', '.join(coarse)} are brought to pixels of {size:g} ({rule})"] if coarse else []
    return replace(joined(brought), notes=(*notes, *more))


def with_quality(scene: Described, quality: Quality, given: Given) -> Described:
    """Return a scene that its quality band masks, where that was asked for."""
    if not given.mask_quality:
        return scene
    own = describe_file(quality.file, given).grid
    placing, _ = between(quality.file, own, scene.grid, "nearest")
    note = f"{quality.file}: masks {quality.why}"
    return replace(scene, quality=replace(quality, placing=placing), quality_grid=own, notes=(*scene.notes, note))
