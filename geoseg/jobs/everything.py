"""everything: objects all over a scene, found by clicks on a lattice of it and merged by one total order.

Clicks belong to the scene, each is asked in the window whose cell it lies in, and candidates are a set: engines, order
and what is kept of embeddings change no bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.executors.base import Engine, Site
from geoseg.jobs.job import Job
from geoseg.jobs.mask_classes import MaskClasses
from geoseg.jobs.prompt import Answers, Asking, embedded, known_part, opened
from geoseg.jobs.prompt_memory import Clicks, PromptPlan, assumed, plan_of, refuse_held
from geoseg.jobs.prompt_places import seen_grid
from geoseg.jobs.run import Listener
from geoseg.jobs.window_answers import Question, Share
from geoseg.models.bundle import ModelBundle
from geoseg.objects.found import AREA, BOX, FIRST_COL, FIRST_ROW, SCORES, Detection, Found, recorded
from geoseg.objects.merging import MergeRules, all_links, merged
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.geopackage.prompted import PromptedObject
from geoseg.scenes.aoi import Area, read_area
from geoseg.scenes.sample import sample
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.vector.pixels.labels import label_polygons

RULES = MergeRules(things=(1,), edge_px=6, same=50, inside=75, join=50, min_px=1)
MOST_OF_WINDOW = 2  # a mask of more than one pixel in so many is ground, no object


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """What is asked all over a scene; picklable."""

    asking: Asking
    """How it is asked."""
    options: PromptOptions
    """Where clicks lie, and which masks count."""
    area: Area | None
    """Where clicks are wanted, None for everywhere."""

    @property
    def said(self) -> str:
        """What is asked of every window, in words."""
        area = None if self.area is None else self.area.digest
        return repr((self.options.spacing_px, self.options.least_iou, self.options.least_stability, area))

    def clicks(self, cell: Box, valid: NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
        """Yield (x, y) of the clicks in a cell that lie on valid pixels, (h, w), of it, row by row."""
        step = self.options.spacing_px
        first = step // 2
        wanted = valid if self.area is None else valid & self.area.wanted(cell)
        for row in range(first + -(-(cell.row0 - first) // step) * step, cell.row1, step):
            for col in range(first + -(-(cell.col0 - first) // step) * step, cell.col1, step):
                if wanted[row - cell.row0, col - cell.col0]:
                    yield col + 0.5, row + 0.5

    def count(self, cell: Box) -> int:
        """Return the clicks in a cell where all pixels are valid."""
        step = self.options.spacing_px
        rows, cols = (slice((step // 2 - start) % step, None, step) for start in (cell.row0, cell.col0))
        wanted = np.ones(cell.shape, np.bool_) if self.area is None else self.area.wanted(cell)
        return int(wanted[rows, cols].sum())


def everything(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    share: Share | None = None,
    listen: Listener = lambda _: None,
) -> Answers:
    """Return the objects that clicks all over a scene find; they may share up to half of their union.

    share: which windows, and where answers are kept meanwhile; a part of them gives no objects.
    Raises InputError where nothing is found, and what ``geoseg.jobs.prompt.answer`` does.
    """
    kinds = None if options.classes is None else MaskClasses.of(options.classes, scene.grid.crs)
    share = share or Share()
    with _looking(scene, model, options, run, share) as (lattice, windows, engine):
        job, grid = lattice.asking.job, seen_grid(lattice.asking.job)
        site = engine.site(options.device)
        _plan(lattice, windows, site, run, merges=share.part is None)
        questions, rows = [Question(window, lattice.said, None) for window in windows], dict[int, Clicks]()
        found: list[Found] = []
        for content in share.answers(engine, job, partial(_answered, lattice), questions, listen):
            found.append(Found.from_bytes(content) if share.part is None else Found.joined([]))
            row = windows[len(found) - 1].row0
            rows[row] = rows.get(row, Clicks(0, 0)).more(found[-1])
            refuse_held(job, list(rows.values()), site.budget_bytes(run.memory_bytes))
    if share.part is not None:
        return Answers(job, (), {}, len(found))
    objects = tuple(merged_objects(Found.joined(found), grid))
    if not objects:
        raise InputError(f"{job.scene.name}: {_why_nothing(job, options)}")
    return Answers(job, objects if kinds is None else tuple(map(kinds.named, objects)), {}, len(found))


def _why_nothing(job: Job, options: PromptOptions) -> str:
    """Return in words why no mask was found."""
    if not sample(job.scene).valid.any():
        return "no valid pixel was found in a sample of it; see its nodata and masks"
    return (
        f"no mask is as sure as --least-iou {options.least_iou:g} and --least-stability {options.least_stability:g}, "
        f"or all have more than half a window; ask for less, or read it at another --gsd-m"
    )


def plan(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    engine: Engine | None = None,
) -> PromptPlan:
    """Return what clicks all over a scene take; engine: one that is open. Raises what ``everything`` does first."""
    with _looking(scene, model, options, run, Share(engine=engine)) as (lattice, windows, own):
        return _plan(lattice, windows, own.site(options.device), run, merges=True)


@contextmanager
def _looking(
    scene: Scene, model: ModelBundle | str | Path, options: PromptOptions, run: EngineOptions, share: Share
) -> Iterator[tuple[Lattice, list[Box], Engine]]:
    """Yield what is asked, the windows with ground that is wanted, row by row, and the engine that asks."""
    with opened(scene, model, options, run, share) as (engine, asking):
        job, grid = asking.job, seen_grid(asking.job)
        area = None if options.within is None else read_area(options.within, grid)
        every = job.windows.windows(grid.box)
        windows = [w for w in every if area is None or area.wanted(job.windows.cell(w)).any()]
        yield Lattice(asking=asking, options=options, area=area), windows, engine


def _plan(lattice: Lattice, windows: Sequence[Box], site: Site, run: EngineOptions, *, merges: bool) -> PromptPlan:
    """Return what asking takes, and merging with it; raises MemoryBudgetError."""
    job, rows = lattice.asking.job, dict[int, int]()
    for window in windows:
        rows[window.row0] = rows.get(window.row0, 0) + lattice.count(job.windows.cell(window))
    found = assumed(job, list(rows.values()), lattice.options.spacing_px)
    return plan_of(job, site, run, windows=len(windows), merging=found if merges else ())


def _answered(lattice: Lattice, question: Question) -> bytes:
    return _candidates(lattice, question.window).to_bytes()


def _candidates(lattice: Lattice, window: Box) -> Found:
    """Return what the clicks in the cell of a window find."""
    from geoseg.models.promptable import PARTS, Asked

    job, options = lattice.asking.job, lattice.options
    scene, cell = Box(0, 0, *job.windows.shape), job.windows.cell(window)
    network, embedding, valid = embedded(lattice.asking, window)
    height, width = valid.shape
    inside = Box(window.row0, window.col0, window.row0 + height, window.col0 + width)
    corner = np.array([window.col0, window.row0])
    asked = [
        Asked((np.array([click]) - corner).astype(np.float32), np.ones(1, np.int32))
        for click in lattice.clicks(cell, valid[cell.within(inside)])
    ]
    said = []
    for _, answers in network.ask(embedding, asked):
        for one in answers:
            mask, strict, loose = known_part(one, valid)
            sure = one.iou >= PARTS * options.least_iou and strict >= options.least_stability * max(loose, 1)
            if sure and mask.any() and MOST_OF_WINDOW * int(mask.sum()) <= one.mask.size:
                said.append(Detection(Box(0, 0, height, width), mask, 1, SCORES * one.iou // PARTS))
    return recorded(said, window, cell, scene, RULES.edge_px)


def merged_objects(
    found: Found, grid: Grid, rules: MergeRules = RULES, words: Sequence[str] = ()
) -> Iterator[PromptedObject]:
    """Yield the objects of all candidates, numbered in raster order of their first pixels.

    words: names of the classes, from id 1; with them, a score is how sure it is that these are the words.
    """
    if not len(found.table):
        return
    made = merged(found.table, all_links(found, rules), rules)
    members = [made.member[made.of == i] for i in range(len(made.score))]
    first = [tuple(found.table[own][:, [FIRST_ROW, FIRST_COL]].min(0)) for own in members]
    order = sorted(range(len(members)), key=lambda i: (first[i], -found.table[members[i], AREA].sum(), i))
    for number, i in enumerate(order, start=1):
        own, boxes = members[i], found.table[members[i], BOX]
        box = Box(*map(int, (*boxes[:, :2].min(0), *boxes[:, 2:].max(0)))).grown(1).clip(grid.box)
        assert box is not None  # masks lie in the scene
        mask = np.zeros(box.shape, np.bool_)
        for k in own:
            mask[Box(*map(int, found.table[k, BOX])).within(box)] |= found.mask(k)
        _, polygons = label_polygons(mask.astype(np.int32), (box.row0, box.col0), grid.transform)
        score = int(made.score[i]) / SCORES
        one = PromptedObject(str(number), 0, score, None, int(mask.sum()), polygons[0])
        yield one._replace(class_name=words[int(made.class_id[i]) - 1], score=score) if words else one
