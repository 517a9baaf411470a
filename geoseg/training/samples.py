"""Labelled scenes to areas of pixels at the model's resolution, and what their pixels are like."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.models.derived import source_bands, with_derived
from geoseg.models.spec import reading_gsd_m
from geoseg.models.values import TrainedValues, trained_values
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.tiling.resample import Resampling, resample_valid
from geoseg.tiling.taps import Taps, source_box
from geoseg.training.areas import BLOCK_PX, LabelledArea, blocks
from geoseg.training.data_spec import LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.spec import TrainSpec
from geoseg.training.split import Area, Role, split_scene
from geoseg.training.stream import BlockCache, LabelStore, StreamedArea
from geoseg.training.targets import Raw
from geoseg.values.bands import BandSet
from geoseg.values.box import Box
from geoseg.values.grid import Grid

MOST_VALUES = 2**20  # pixels of which quantiles are taken
MOST_SURVEYED_PX = 2**26  # pixels that are read to see what they are like


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What the valid pixels of areas are like: number, mean and spread of each band, and some of the pixels, (C, N)."""

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    pixels: NDArray[np.float32]

    @classmethod
    def of(cls, areas: Sequence[LabelledArea]) -> Self:
        """Go over the areas block by block, over some of many, with Chan's update (1979) of means and spreads."""
        boxes = [(area, box) for area in areas for box in blocks(area)]
        boxes = boxes[:: max(1, len(boxes) * BLOCK_PX**2 // MOST_SURVEYED_PX)]
        stride = max(1, sum(box.shape[0] * box.shape[1] for _, box in boxes) // MOST_VALUES)
        count, mean, square = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)
        some: list[NDArray[np.float32]] = []
        for area, box in boxes:
            pixels = area.read(box)
            values = pixels.image[:, pixels.valid]
            some.append(values[:, ::stride])
            n = (~np.isnan(values)).sum(1)
            own = np.nansum(values, 1, dtype=np.float64) / np.maximum(n, 1)
            square = square + np.nansum((values - own[:, None]) ** 2, 1, dtype=np.float64)
            square = square + (own - mean) ** 2 * (count * n / np.maximum(count + n, 1))
            mean = mean + (own - mean) * n / np.maximum(count + n, 1)
            count = count + n
        spread = np.sqrt(square / np.maximum(count, 1))
        return cls(count, mean, spread, np.concatenate(some, 1) if some else np.empty((0, 0), np.float32))


@dataclass(frozen=True, eq=False)
class Samples:
    """The areas of all scenes, by role."""

    train: tuple[LabelledArea, ...]
    validation: tuple[LabelledArea, ...]
    bytes_alone: bool = False
    """Whether all scenes hold bytes that mean themselves."""

    @cached_property
    def survey(self) -> Survey:
        """What the training pixels are like."""
        return Survey.of(self.train)

    def values(self) -> TrainedValues:
        """Return quantiles of the valid training pixels."""
        return trained_values([self.survey.pixels], bytes_alone=self.bytes_alone)

    def correlation(self) -> NDArray[np.float64]:
        """Return the correlation (C, C) of the bands over training pixels that have all; NaN where none do."""
        pixels = self.survey.pixels
        pixels = pixels[:, ~np.isnan(pixels).any(0)]
        if pixels.shape[1] < 2:
            return np.full((len(pixels), len(pixels)), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):  # a band of one value correlates with nothing
            return np.atleast_2d(np.corrcoef(pixels))

    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (mean, std) per band over the valid training pixels."""
        found = self.survey
        if not np.all(found.count):
            raise ConfigError("the training areas hold no valid pixel of every band; see nodata, masks and the split")
        return found.mean.astype(np.float32), np.maximum(found.spread, 1e-6).astype(np.float32)


def load_samples(spec: TrainSpec) -> Samples:
    """Open the training and validation areas of every scene and draw their labels; test areas are left unread.

    Training areas come at the finest resolution that windows are drawn at, validation areas as a run would read them.
    Pixels stay on disk: see ``StreamedArea``. Raises ConfigError where no training area holds a label.
    """
    found: dict[Role, list[LabelledArea]] = {"train": [], "validation": [], "test": []}
    bytes_alone = True
    store, cache = LabelStore(), BlockCache()
    for item in spec.data:
        wanted = source_bands(spec.band_set, spec.derived_bands)
        scene = open_labelled(item).select(wanted, optional=spec.optional_bands)
        bytes_alone &= scene.dtype == "uint8" and all((s.scale, s.offset) == (1, 0) for s in scene.sources)
        labels: dict[tuple[int, int], Callable[[Box], Raw]] = {}
        for part in areas_of(item, scene, spec):
            if part.role == "test":
                continue
            resampling = Resampling.to_resolution(scene.grid, _gsd_m(item, spec, part.role, scene.grid))
            grid = scene.grid.resized(resampling.working_shape)
            if grid.shape not in labels:
                labels[grid.shape] = open_labels(item, spec.target, grid)
            area = StreamedArea.drawn(
                partial(working_pixels, scene, resampling, spec),
                labels[grid.shape],
                working_box(part, resampling),
                spec.target,
                gsd_m=grid.mean_resolution_m(),
                store=store,
                cache=cache,
                site=item.site or item.name,
                share=item.share,
                span_m=item.gsd_m,
            )
            if area.counts.any():
                found[part.role].append(area)
    for role in ("train", "validation"):
        if not found[role]:
            raise InputError(
                f"the {role} areas hold no label: all is void, nodata or not labelled; move the split or add labels"
            )
    return Samples(tuple(found["train"]), tuple(found["validation"]), bytes_alone)


def open_labelled(item: LabelledScene) -> Scene:
    """Open the scene of an entry of the training data."""
    return open_scene(item.scenes, bands=item.bands, sensor=item.sensor, nodata=item.nodata, pixel_m=item.pixel_m)


def areas_of(item: LabelledScene, scene: Scene, spec: TrainSpec) -> Iterator[Area]:
    """Yield what parts of a scene are for: the whole of it, or the strips of its split."""
    split = item.split or spec.split
    if item.use == "split":
        assert split is not None  # TrainSpec refuses it
        yield from split_scene(scene.grid.shape, split)
    else:
        yield Area(item.use, Box(0, 0, *scene.grid.shape))


def _gsd_m(item: LabelledScene, spec: TrainSpec, role: Role, grid: Grid) -> float | None:
    """Return the resolution at which an area of ``role`` is read; None for the scene's own."""
    span = item.gsd_m or spec.augmentation.gsd_m
    if role == "train" and span is not None:
        return max(grid.mean_resolution_m(), span[0])
    return reading_gsd_m(spec.gsd_m, spec.gsd_range_m, grid)


def _spread(image: NDArray[np.float32], held: BandSet, spec: TrainSpec) -> NDArray[np.float32]:
    """Return (C, H, W) pixels of the bands ``held`` as the input channels, NaN in those that are lacking."""
    image, channels = with_derived(image, held, spec.band_set, spec.derived_bands)
    if len(channels) == len(spec.band_set):
        return image
    out = np.full((len(spec.band_set), *image.shape[1:]), np.nan, np.float32)
    out[list(channels)] = image
    return out


def working_box(area: Area, resampling: Resampling) -> Box:
    """Return the working pixels that are made of an area's scene pixels alone; raises ConfigError where there are none.

    Found from the taps themselves: a bilinear pixel that lies inside an area may still mix in one beside it.
    """
    rows, cols = resampling.to_working(Box(0, 0, *resampling.working_shape))
    row0, row1 = _made_of(rows, area.box.row0, area.box.row1)
    col0, col1 = _made_of(cols, area.box.col0, area.box.col1)
    if row0 >= row1 or col0 >= col1:
        raise ConfigError(f"split: the {area.role} area {area.box} is smaller than a pixel of the model; cut it wider")
    return Box(row0, col0, row1, col1)


def _made_of(taps: Taps, lo: int, hi: int) -> tuple[int, int]:
    """Return the range of target pixels whose taps all lie in source pixels [lo, hi)."""
    index = np.where(taps.weight > 0, taps.index + taps.source[0], taps.index[:, :1] + taps.source[0])
    found = np.flatnonzero((index >= lo).all(1) & (index < hi).all(1))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)


def working_pixels(
    scene: Scene, resampling: Resampling, spec: TrainSpec, box: Box
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the working pixels of ``box``, as a run would: input channels (C, h, w), NaN where lacking, and validity."""
    taps = resampling.to_working(box)
    raster = read(scene, source_box(taps))
    image, valid = resample_valid(raster.data, raster.valid, taps)
    image = np.where(valid, scene.physical(image), np.float32(0))
    return _spread(image, scene.bands, spec), valid
