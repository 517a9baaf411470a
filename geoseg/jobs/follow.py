"""follow: objects that are prompted on one date, followed to the scenes of others; the name stays.

The scenes share a grid. An object is followed in the window of the first date that holds its prompts, one object's
dates in one task.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoseg.errors import InputError
from geoseg.jobs.job import Job
from geoseg.jobs.mask_classes import MaskClasses
from geoseg.jobs.networks import opened_once
from geoseg.jobs.prompt import (
    Answers,
    job_of,
    of_window,
    promptable_bundle,
    refuse_faults,
    window_seen,
)
from geoseg.jobs.prompt_memory import PromptPlan, plan_of
from geoseg.jobs.prompt_places import placed, seen_grid, window_of
from geoseg.jobs.run import Listener
from geoseg.jobs.window_answers import Question, Share
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.geopackage.prompted import PromptedObject, packed, unpacked
from geoseg.scenes.prompts import Prompt, Prompts
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.vector.pixels.labels import label_polygons

if TYPE_CHECKING:
    from geoseg.models.following import Following

THERE, GONE, UNSEEN = "there", "gone", "unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """What objects are followed through; picklable."""

    jobs: tuple[Job, ...]
    """Of the scene of each date, with the same windows."""
    names: tuple[str, ...]
    """Of the dates."""

    def said(self, asked: Sequence[Prompt]) -> str:
        """Return in words what is asked in a window of the first date."""
        return repr((self.names, [job.fingerprint for job in self.jobs], list(asked)))


def follow(
    scenes: Sequence[tuple[str, Scene]],
    model: ModelBundle | str | Path,
    read_asked: Callable[[Grid], Prompts],
    *,
    options: PromptOptions,
    run: EngineOptions,
    share: Share | None = None,
    listen: Listener = lambda _: None,
) -> Answers:
    """Follow what the prompts ask for on the first of ``scenes``, name and scene, to all others: a row a date.

    share: which windows, and where answers are kept meanwhile; of a part of them, the objects are no result. Raises
    InputError where they are fewer than two or do not share a grid, and what ``geoseg.jobs.prompt.answer`` does.
    """
    first = _of_one_grid(scenes)
    kinds = None if options.classes is None else MaskClasses.of(options.classes, first.grid.crs)
    bundle, share = promptable_bundle(model, follows=True), share or Share()
    with share.on(run) as engine, library().one_thread_per_network():
        site = engine.site(options.device)
        jobs = tuple(share.planned(job_of(scene, bundle, site, options)) for _, scene in scenes)
        plan_of(jobs[0], site, run, dates=len(jobs))
        asked = placed(jobs[0], read_asked(seen_grid(jobs[0])))
        refuse_faults(asked, options)
        windows: dict[Box, list[Prompt]] = {}
        for one in asked.good:
            windows.setdefault(window_of(one, jobs[0].windows), []).append(one)
        dates = Dates(jobs=jobs, names=tuple(name for name, _ in scenes))
        questions = [Question(window, dates.said(rows), rows) for window, rows in sorted(windows.items())]
        found = list(share.answers(engine, jobs[0], partial(_followed, dates), questions, listen, stage="follow"))
        objects = [one for part in found for one in unpacked(part)]
    objects.sort(key=lambda one: (one.name, dates.names.index(one.date)))
    return Answers(jobs[0], tuple(objects if kinds is None else map(kinds.named, objects)), asked.faults, len(found))


def plan(
    scenes: Sequence[tuple[str, Scene]], model: ModelBundle | str | Path, *, options: PromptOptions, run: EngineOptions
) -> PromptPlan:
    """Return what following takes; raises what ``follow`` does before it asks."""
    first, bundle = _of_one_grid(scenes), promptable_bundle(model, follows=True)
    with Share().on(run) as engine, library().one_thread_per_network():
        site = engine.site(options.device)
        return plan_of(job_of(first, bundle, site, options), site, run, dates=len(scenes))


def _of_one_grid(scenes: Sequence[tuple[str, Scene]]) -> Scene:
    """Return the first scene; raises InputError where there is no other, or one of another grid."""
    if len(scenes) < 2:
        raise InputError("--follow: one scene; name those of two dates or more, the prompted one first")
    (_, first), *others = scenes
    for _, scene in others:
        if scene.grid != first.grid:
            raise InputError(
                f"{scene.name}: lies on another grid than {first.name}: {scene.grid.shape} px; bring it there "
                f"(gdalwarp -te … -tr …)"
            )
    names = [name for name, _ in scenes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--follow: two dates are called {twice}; name each, as 2024-05-03=may.tif")
    return first


def _followed(dates: Dates, question: Question) -> bytes:
    """Follow the objects of a window through all dates."""
    window, asked = question.window, question.asked
    seen = [window_seen(job, window) for job in dates.jobs]
    prompts = [of_window(dates.jobs[0], window, one, None) for one in asked]
    transform, rows = seen_grid(dates.jobs[0]).transform, []
    for place, found in _network(dates.jobs[0]).follow([pixels for pixels, _ in seen], prompts):
        for (_, valid), date, one in zip(seen, dates.names, found, strict=True):
            height, width = valid.shape
            mask = one.mask[:height, :width] & valid
            _, polygons = label_polygons(mask.astype(np.int32), (window.row0, window.col0), transform)
            state = THERE if mask.any() else GONE if valid.any() else UNSEEN
            polygon = polygons[0] if len(polygons) else None
            rows.append(
                PromptedObject(asked[place].name, 0, None, None, int(mask.sum()), polygon)._replace(
                    score=one.there, date=date, state=state
                )
            )
    return packed(rows)


def _network(job: Job) -> "Following":
    """Return what asks the job's network, loaded once per process."""
    from geoseg.models.following import Following

    return opened_once(job, Following)
