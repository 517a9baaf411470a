"""words: objects that a text names, found in every window of a scene and merged by one total order.

A network of words gives boxes, which a promptable model turns into masks, or masks at once. Each window is looked at
once; what it cuts counts in its own cell alone, and candidates are a set, so engines and order change no bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import ConfigError, InputError, ModelError
from geoseg.executors.base import Engine
from geoseg.jobs.everything import RULES, merged_objects
from geoseg.jobs.job import Job
from geoseg.jobs.mask_classes import MaskClasses
from geoseg.jobs.networks import opened_once
from geoseg.jobs.prompt import Answers, answer, job_of, window_seen
from geoseg.jobs.prompt_memory import PromptPlan, plan_of
from geoseg.jobs.prompt_places import seen_grid
from geoseg.jobs.run import Listener
from geoseg.jobs.window_answers import Question, Share
from geoseg.models.architectures import check_architecture
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.objects.found import Detection, Found, recorded
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.geopackage.prompted import PromptedObject
from geoseg.scenes.prompts import Prompt, Prompts
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    from geoseg.models.words import WordFinder


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What windows are looked at for; picklable."""

    job: Job
    """The scene, the network of words and the windows."""
    words: tuple[str, ...]
    """What is looked for; class ids count these from 1."""
    least: float
    """The lowest score."""

    @property
    def said(self) -> str:
        """What is asked of every window, in words."""
        return repr((self.words, self.least))


def words_of(text: str) -> tuple[str, ...]:
    """Return the things that a text names, with commas between them; raises ConfigError.

    >>> words_of("solar panel, building")
    ('solar panel', 'building')
    """
    words = tuple(" ".join(part.split()) for part in text.split(","))
    if not all(words) or len(set(map(str.lower, words))) < len(words):
        raise ConfigError(f"text: {text!r}: name things, each once, with commas between them")
    return words


def find(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    share: Share | None = None,
    listen: Listener = lambda _: None,
) -> Answers:
    """Return the objects that ``options.text`` names, with the words as their classes.

    model: of the task words with masks, or a promptable one that is asked by the boxes of ``options.detector``. share:
    which windows are looked at, and where answers are kept meanwhile; a part of them gives no objects. Raises
    ConfigError where the detector is missing, InputError where nothing is found, and what
    ``geoseg.jobs.prompt.answer`` does.
    """
    bundle, finder = _models(model, options)
    share = share or Share()
    kinds = None if options.classes is None else MaskClasses.of(options.classes, scene.grid.crs)
    looked = _looked(scene, finder, options, run, share=share, listen=listen)
    job, objects = looked.job, looked.objects
    if share.part is not None:
        return looked
    if finder is bundle:
        return looked if kinds is None else replace(looked, objects=tuple(map(kinds.named, objects)))
    own, by_name = seen_grid(job), {one.name: one for one in objects}
    asked, read = replace(options, skip_bad=True), partial(_boxes, objects, own)
    found = answer(scene, bundle, read, options=asked, run=run, share=share.after(job), listen=listen)
    named = (
        one._replace(
            score=by_name[one.name].score,
            class_name=one.class_name if kinds is not None else by_name[one.name].class_name,
        )
        for one in found.objects
    )
    return replace(found, objects=tuple(sorted(named, key=lambda one: (int(one.name), one.rank))))


def plan(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    engine: Engine | None = None,
) -> PromptPlan:
    """Return what finding words takes; raises what ``find`` does before it looks.

    engine: one that is open.
    """
    _, finder = _models(model, options)
    with Share(engine=engine).on(run) as own, library().one_thread_per_network():
        site = own.site(options.device)
        return plan_of(job_of(scene, finder, site, options), site, run, dates=1)


def _models(model: ModelBundle | str | Path, options: PromptOptions) -> tuple[ModelBundle, ModelBundle]:
    """Return the model, and what finds words for it: itself, or the detector."""
    words_of(options.text or "")
    bundle = model if isinstance(model, ModelBundle) else load_model(model)
    finder = bundle
    if bundle.spec.task == "words":
        if options.detector is not None:
            raise ConfigError(f"detector: {bundle.spec.name} finds words itself; leave it out")
        if check_architecture(bundle.spec.arch).answers != "masks":  # type: ignore[attr-defined]  # of the task words
            raise ConfigError(
                f"model: {bundle.spec.name} finds boxes; name it as --detector, and the SAM that makes masks as -m"
            )
    elif options.detector is None:
        raise ConfigError(
            f"detector: {bundle.spec.name} knows no words; name a bundle of Grounding DINO, which geoseg import FOLDER "
            f"--family grounding-dino makes"
        )
    else:
        finder = load_model(options.detector)
        if finder.spec.task != "words":
            raise ModelError(f"model {finder.spec.name!r} maps {finder.spec.task} and finds no words")
    return bundle, finder


def _boxes(objects: Sequence[PromptedObject], own: Grid, grid: Grid) -> Prompts:
    """Return the boxes of objects, found on the grid ``own``, as prompts on another of the same scene."""
    down, across, to_pixels = grid.height / own.height, grid.width / own.width, ~own.transform
    good = []
    for one in objects:
        assert one.polygon is not None  # a box has an area
        x0, y0, x1, y1 = one.polygon.bounds
        corners = [to_pixels @ corner for corner in ((x0, y0), (x0, y1), (x1, y0), (x1, y1))]
        cols, rows = ([corner[i] for corner in corners] for i in (0, 1))
        box = min(cols) * across, min(rows) * down, max(cols) * across, max(rows) * down
        good.append(Prompt(one.name, box=tuple(round(16 * v) / 16 for v in box)))
    return Prompts("--text", tuple(good))


def _looked(
    scene: Scene, bundle: ModelBundle, options: PromptOptions, run: EngineOptions, *, share: Share, listen: Listener
) -> Answers:
    """Look at all windows of a share, and return what they hold, merged; of a part of them, no objects.

    Raises InputError where they hold nothing.
    """
    words = words_of(options.text or "")
    with share.on(run) as engine, library().one_thread_per_network():
        site = engine.site(options.device)
        job = share.planned(job_of(scene, bundle, site, options))
        plan_of(job, site, run, dates=1)
        looking = Looking(job=job, words=words, least=options.least_score)
        questions = [Question(window, looking.said, None) for window in job.windows.windows(seen_grid(job).box)]
        answers = share.answers(engine, job, partial(_seen, looking), questions, listen, stage="words")
        found = [Found.from_bytes(one) for one in answers]
    rules = replace(RULES, things=tuple(range(1, len(words) + 1)))
    together = Found.joined(found if share.part is None else [])
    objects = tuple(merged_objects(together, seen_grid(job), rules, words))
    if share.part is None and not objects:
        share.forget(job, questions)
        raise InputError(
            f"{job.scene.name}: nothing is found of {options.text} that is as sure as --least-score "
            f"{options.least_score:g}; ask for less, or in other words"
        )
    return Answers(job, objects, {}, len(found))


def _seen(looking: Looking, question: Question) -> bytes:
    """Return what a window holds, those without a valid pixel left out."""
    job, window = looking.job, question.window
    pixels, valid = window_seen(job, window)
    height, width = valid.shape
    said = []
    for one in _finder(job).find(pixels, looking.words, looking.least):
        inside = one.box.clip(Box(0, 0, height, width))
        if inside is not None:
            mask = one.mask[inside.within(one.box)]
            kept = mask & valid[inside.row0 : inside.row1, inside.col0 : inside.col1]
            if kept.any():  # a box stays one where nodata is within
                said.append(Detection(inside, mask if mask.all() else kept, one.class_id, one.score))
    scene = Box(0, 0, *job.windows.shape)
    return recorded(said, window, job.windows.cell(window), scene, RULES.edge_px).to_bytes()


def _finder(job: Job) -> "WordFinder":
    """Return what asks the job's network, loaded once per process."""
    from geoseg.models.words import WordFinder

    return opened_once(job, WordFinder)
