"""Labelled scenes to areas of pixels at the model's resolution, and what their pixels are like."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.jobs.job import listed
from geoseg.jobs.sums import Blended
from geoseg.models.derived import source_bands, with_derived
from geoseg.models.spec import reading_gsd_m
from geoseg.models.values import TrainedValues, trained_values
from geoseg.scenes.reading import read
from geoseg.scenes.scene import Scene
from geoseg.tiling.resample import Resampling, resample_valid
from geoseg.tiling.taps import Taps, source_box
from geoseg.training.areas import BLOCK_PX, LabelledArea, MappedGround, blocks
from geoseg.training.blocks import Cells, Role, scattered
from geoseg.training.corrections import corrected_cells, open_corrections
from geoseg.training.data_spec import BlockSplit, LabelledScene, Split
from geoseg.training.labels import Features, open_labels
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.split import Area, split_scene
from geoseg.training.split_plan import SplitPlan, plan_split
from geoseg.training.stream import BlockCache, BlockStore, Pixels, StreamedArea
from geoseg.training.targets import UNKNOWN, NoTarget, Raw
from geoseg.training.teacher import Answers, TeacherModel
from geoseg.training.truth import Numbers, known_labels, open_truth
from geoseg.values.bands import BandSet
from geoseg.values.box import Box
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    from geoseg.training.prompted.spec import PromptTrainSpec

MOST_VALUES = 2**20  # pixels of which quantiles are taken
MOST_SURVEYED_PX = 2**26  # pixels that are read to see what they are like


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What the valid pixels of areas are like: number, mean and spread of each band, and some of the pixels, (C, N).

    area: the number of each one's area, (N,).
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    pixels: NDArray[np.float32]
    area: NDArray[np.intp]

    @classmethod
    def of(cls, areas: Sequence[LabelledArea], bands: int | None = None) -> Self:
        """Go over the areas block by block, over some of many, with Chan's update (1979) of means and spreads.

        bands: how many there are; those that follow are truth.
        """
        boxes = [(number, box) for number, area in enumerate(areas) for box in blocks(area)]
        boxes = boxes[:: max(1, len(boxes) * BLOCK_PX**2 // MOST_SURVEYED_PX)]
        stride = max(1, sum(box.shape[0] * box.shape[1] for _, box in boxes) // MOST_VALUES)
        count, mean, square = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)
        some: list[NDArray[np.float32]] = []
        of_area = [np.empty(0, np.intp)]
        for number, box in boxes:
            pixels = areas[number].read(box)
            values = pixels.image[:bands, pixels.valid]
            some.append(values[:, ::stride])
            of_area.append(np.full(some[-1].shape[1], number))
            n = (~np.isnan(values)).sum(1)
            own = np.nansum(values, 1, dtype=np.float64) / np.maximum(n, 1)
            square = square + np.nansum((values - own[:, None]) ** 2, 1, dtype=np.float64)
            square = square + (own - mean) ** 2 * (count * n / np.maximum(count + n, 1))
            mean = mean + (own - mean) * n / np.maximum(count + n, 1)
            count = count + n
        spread = np.sqrt(square / np.maximum(count, 1))
        found = np.concatenate(some, 1) if some else np.empty((0, 0), np.float32)
        return cls(count, mean, spread, found, np.concatenate(of_area))


@dataclass(frozen=True, eq=False)
class Samples:
    """The areas of all scenes, by role."""

    train: tuple[LabelledArea, ...]
    validation: tuple[LabelledArea, ...]
    bytes_alone: bool = False
    """Whether all scenes hold bytes that mean themselves."""
    scattered: tuple[LabelledArea, ...] = ()
    """Ground among that of training whose labels only score, as those of a random split would."""
    plan: SplitPlan | None = None
    """The blocks, where the split is one of blocks or groups."""
    corrected: tuple[NDArray[np.int32], ...] = ()
    """Pixels of each cell of each training area that a review has corrected; none where windows are not drawn by it."""
    test: tuple[LabelledArea, ...] = ()
    """Ground that no training sees: only audits read it."""
    bands: int | None = None
    """How many bands the network sees; those that follow are truth. None: all."""
    mapped: Mapping[Role | Literal["scattered"], tuple[MappedGround, ...]] = field(default_factory=dict)
    """The same ground of validation, and the scattered one, as runs map it; none where it is not scored so."""

    @cached_property
    def survey(self) -> Survey:
        """What the training pixels are like."""
        return Survey.of(self.train, self.bands)

    def values(self) -> TrainedValues:
        """Return quantiles of the valid training pixels, and how far areas are from them."""
        found = self.survey
        pixels = [found.pixels[:, found.area == number] for number in range(len(self.train))]
        return trained_values(pixels, bytes_alone=self.bytes_alone)

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


def load_samples(spec: TrainSpec, *, tests: bool = False) -> Samples:
    """Open the training and validation areas of every scene and draw their labels; test areas only where asked for.

    Training areas come at the finest resolution that windows are drawn at, validation areas as a run would read them.
    Pixels stay on disk: see ``StreamedArea``. Raises InputError where an area has no label.
    """
    plan, shelf = plan_split(spec), Shelf(TeacherModel.of(spec))
    found: dict[str, list[LabelledArea]] = {"train": [], "validation": [], "test": [], "scattered": []}
    mapped: dict[Any, list[MappedGround]] = {"validation": [], "scattered": []}
    bytes_alone = True
    for number, item in enumerate(spec.data):
        scene = _selected(item, spec)
        bytes_alone &= scene.dtype == "uint8" and all((s.scale, s.offset) == (1, 0) for s in scene.sources)
        parts = [p for p in areas_of(item, scene, spec, plan) if tests or p.role != "test"]
        for role, area in entry_areas(item, spec, parts, shelf, number=number):
            found[role].append(area)
        for role, ground in mapped_ground(item, spec, parts, shelf, number=number):
            mapped[role].append(ground)
    for role in ("train", "validation"):
        if not found[role]:
            way = "move the split" if plan is None else "make schedule.crop_px, split.side_m or split.buffer_m smaller"
            raise InputError(
                f"the {role} areas hold no label: all is void, nodata or not labelled in "
                f"{listed({PurePath(item.name).name for item in spec.data})}; {way}, or add labels"
            )
    train, validation, test, aside = (tuple(areas) for areas in found.values())
    corrected = tuple(shelf.corrected)
    own = {role: tuple(ground) for role, ground in mapped.items()}
    return Samples(train, validation, bytes_alone, aside, plan, corrected, test, len(spec.band_set), own)


class Shelf:
    """Where the areas of one training keep labels, pixels and what a teacher says."""

    def __init__(self, teacher: TeacherModel | None = None) -> None:
        self.teacher = teacher
        self.corrected: list[NDArray[np.int32]] = []
        self.store, self.cache = BlockStore(), BlockCache()


def _selected(item: LabelledScene, spec: TrainSpec) -> Scene:
    wanted = source_bands(spec.band_set, spec.derived_bands)
    return open_labelled(item).select(wanted, optional=spec.optional_bands)


def entry_areas(
    item: LabelledScene, spec: TrainSpec, parts: Sequence[Area], shelf: Shelf, *, number: int = 0
) -> Iterator[tuple[str, LabelledArea]]:
    """Yield what each part of a scene is for with its pixels and labels; parts without labels are left out."""
    scene = _selected(item, spec)
    told = None if shelf.teacher is None else Blended(open_labelled(item), [shelf.teacher.bundle])
    drawn: dict[tuple[int, int], tuple[Callable[[Box], Raw], Callable[[Box], Numbers]]] = {}
    changed: dict[tuple[int, int], Features | None] = {}
    for part in parts:
        resampling = Resampling.to_resolution(scene.grid, _gsd_m(item, spec, part.role, scene.grid))
        if part.cells is not None and min(part.box.shape) * min(resampling.scale) < 2:
            continue  # a sliver of a block at the scene's edge
        grid = scene.grid.resized(resampling.working_shape)
        if grid.shape not in drawn:
            truth = open_truth(item, spec.outputs, grid)
            of_classes = not isinstance(spec.target, NoTarget)
            drawn[grid.shape] = open_labels(item, spec.target, grid) if of_classes else known_labels(truth), truth
        (of_grid, truth), box = drawn[grid.shape], working_box(part, resampling)
        if part.role == "train" and told is not None and shelf.teacher is not None:
            answers = Answers(shelf.teacher, resampling, shelf.store)
            answers.ask(told, (block.shifted(box.row0, box.col0) for block in Box(0, 0, *box.shape).blocks(BLOCK_PX)))
            of_grid = of_grid if item.labels else answers.labels
            truth = partial(_both, truth, answers)
        read_pixels = partial(working_pixels, scene, resampling, spec, truth)
        for role, pixels, labels in _parted(part, read_pixels, resampling, of_grid, spec=spec, number=number):
            area = StreamedArea.drawn(
                pixels,
                labels,
                box,
                spec.target,
                grid=grid,
                store=shelf.store,
                cache=shelf.cache,
                site=item.site or item.name,
                share=item.share,
                span_m=item.gsd_m,
            )
            if not area.counts.any():
                continue
            if role == "train" and spec.schedule.hard_share > 0:
                if grid.shape not in changed:
                    changed[grid.shape] = open_corrections(item, spec.target, grid)
                shelf.corrected.append(corrected_cells(area, changed[grid.shape], spec.target, at=box))
            yield role, area


def mapped_ground(
    item: LabelledScene, spec: TrainSpec, parts: Sequence[Area], shelf: Shelf, *, number: int
) -> Iterator[tuple[str, MappedGround]]:
    """Yield the role and the labels of the parts of a scene that scores are of, on the scene's own grid.

    None where blocks are to be scored, or a run makes objects of what the network says: its chunks hold no classes yet.
    """
    if spec.schedule.validation == "blocks" or spec.target.grouping or spec.target.detecting:
        return
    scene = open_labelled(item)
    truth, as_is = open_truth(item, spec.outputs, scene.grid), Resampling.to_resolution(scene.grid, None)
    known = isinstance(spec.target, NoTarget)
    labels = known_labels(truth) if known else open_labels(item, spec.target, scene.grid)
    for part in parts:
        box = part.box.clip(scene.grid.box)
        assert box is not None  # parts lie in their scene
        for role, pixels, own in _parted(part, partial(_truth_alone, truth), as_is, labels, spec=spec, number=number):
            if role not in ("validation", "scattered"):
                continue
            area = StreamedArea.drawn(
                pixels, own, box, spec.target, grid=scene.grid, store=shelf.store, cache=shelf.cache,
                site=item.site or item.name,
            )  # fmt: skip
            if area.counts.any():
                yield role, MappedGround(item, box, area)


def _truth_alone(truth: Callable[[Box], Numbers], box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return truth(box), np.ones(box.shape, np.bool_)


def _both(truth: Callable[[Box], Numbers], answers: Answers, box: Box) -> Numbers:
    """Return truth and what a teacher says, one after the other."""
    return np.concatenate([truth(box), answers(box)])


def _parted(
    part: Area,
    pixels: Pixels,
    resampling: Resampling,
    labels: Callable[[Box], Raw],
    *,
    spec: TrainSpec,
    number: int,
) -> Iterator[tuple[str, Pixels, Callable[[Box], Raw]]]:
    """Yield what is made of an area, with its pixels and labels: of training ground, a part that only scores, too."""
    if part.cells is None:
        yield part.role, pixels, labels
        return
    seen = partial(_within, pixels, part.cells, resampling)
    share = spec.split.scattered if isinstance(spec.split, BlockSplit) and part.role == "train" else 0.0
    aside = scattered(part.cells, share, (spec.schedule.seed, number))
    if aside.any():
        yield "scattered", seen, partial(_labels_within, labels, replace(part.cells, held=aside), resampling)
    own = replace(part.cells, held=part.cells.held & ~aside)
    yield part.role, seen, partial(_labels_within, labels, own, resampling)


def _within(
    pixels: Pixels, cells: Cells, resampling: Resampling, box: Box
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return pixels of which those outside the cells are not valid."""
    image, valid = pixels(box)
    valid = valid & _held(cells, resampling, box)
    return np.where(valid, image, np.float32(0)), valid


def _labels_within(labels: Callable[[Box], Raw], cells: Cells, resampling: Resampling, box: Box) -> Raw:
    return np.where(_held(cells, resampling, box), labels(box), UNKNOWN).astype(np.int32)


def _held(cells: Cells, resampling: Resampling, box: Box) -> NDArray[np.bool_]:
    """Return which working pixels of a box have their centre in the cells."""
    down, across = resampling.scale
    return cells.at((np.arange(box.row0, box.row1) + 0.5) / down, (np.arange(box.col0, box.col1) + 0.5) / across)


def areas_of(
    item: LabelledScene, scene: Scene, spec: "TrainSpec | PromptTrainSpec", plan: SplitPlan | None
) -> Iterator[Area]:
    """Yield what parts of a scene are for: the whole of it, the strips of its split, or its blocks."""
    split = item.split or spec.split
    if item.use != "split":
        yield Area(item.use, scene.grid.box)
    elif isinstance(split, Split):
        yield from split_scene(scene.grid.shape, split)
    else:
        assert plan is not None  # both refuse data without a split
        assert isinstance(spec, TrainSpec)  # the other one has no blocks
        yield from plan.areas(item, scene.grid, sensor=spec.sensor)


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
    scene: Scene, resampling: Resampling, spec: TrainSpec, truth: Callable[[Box], Numbers], box: Box
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the working pixels of ``box``, as a run would: input channels (C, h, w), NaN where lacking, and validity.

    The channels of ``truth`` follow.
    """
    taps = resampling.to_working(box)
    raster = read(scene, source_box(taps))
    image, valid = resample_valid(raster.data, raster.valid, taps)
    image = np.where(valid, scene.physical(image), np.float32(0))
    return np.concatenate([_spread(image, scene.bands, spec), truth(box)]), valid
