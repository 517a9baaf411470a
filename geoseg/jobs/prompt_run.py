"""A run of prompts in a folder, and its plan, whatever is asked; shards and batches use it too."""

from functools import partial
from pathlib import Path
from typing import Any

from geoseg.disk.files import remove_left
from geoseg.executors.base import Engine
from geoseg.jobs import everything, prompt, words
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.prompt import Answers, answer, write_answers
from geoseg.jobs.prompt_memory import PromptPlan
from geoseg.jobs.prompt_targets import FILES
from geoseg.jobs.run import Listener
from geoseg.jobs.window_answers import Share
from geoseg.models.bundle import ModelBundle
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions, PartsOptions
from geoseg.scenes.prompts import read_prompts
from geoseg.scenes.scene import Scene


def plan_prompts(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    engine: Engine | None = None,
) -> PromptPlan:
    """Return what ``run_prompts`` takes; engine: one that is open. Raises what it does before it asks."""
    if options.text is not None:
        return words.plan(scene, model, options=options, run=run, engine=engine)
    kind = everything if options.everything else prompt
    return kind.plan(scene, model, options=options, run=run, engine=engine)


def run_prompts(
    scene: Scene,
    model: ModelBundle | str | Path,
    prompts: str | None,
    out: Path,
    *,
    options: PromptOptions,
    run: PartsOptions,
    share: Share,
    listen: Listener,
    more: dict[str, Any] | None = None,
) -> Answers:
    """Answer prompts, and write objects.gpkg and run.json into ``out``; the caller has looked at what lies there.

    prompts: a file; None: everything, or what ``options.text`` names. share: how; of a part of the windows, nothing is
    written. more: what run.json says beside. Raises what ``geoseg.jobs.prompt.answer`` does.
    """
    if options.text is not None:
        with JobFolder(out / ".job").refusing():
            found = words.find(scene, model, options=options, run=run, share=share, listen=listen)
    elif prompts is None:
        found = everything.everything(scene, model, options=options, run=run, share=share, listen=listen)
    else:
        read = partial(read_prompts, prompts)
        found = answer(scene, model, read, options=options, run=run, share=share, listen=listen)
    return published(found, out, prompts, share=share, more=more)


def published(
    found: Answers, out: Path, prompts: str | None, *, share: Share, more: dict[str, Any] | None = None
) -> Answers:
    """Write objects.gpkg and run.json, and remove the parts, unless it is a part of the windows; return ``found``."""
    if share.part is None:
        JobFolder(out / ".job").showing(FILES)
        write_answers(found, out, prompts, config=share.config, more=more)
        for name in FILES:
            remove_left(out / name)
        share.over()
    return found
