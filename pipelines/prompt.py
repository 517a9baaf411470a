"""Prompt: what is clicked on, boxed or outlined on a scene becomes objects."""

from functools import partial
from pathlib import Path

from geoseg.config.prompts import PromptConfig
from geoseg.jobs.everything import everything
from geoseg.jobs.follow import follow
from geoseg.jobs.prompt import Answers, answer, write_answers
from geoseg.jobs.run import Listener
from geoseg.jobs.words import find
from geoseg.scenes.prompts import read_prompts


def run(config: PromptConfig, *, listen: Listener) -> Answers:
    """Open the scene, answer the prompts, and write the objects to the config's folder."""
    if config.options.follow and config.prompts is not None:
        read = partial(read_prompts, config.prompts)
        found = follow(config.dates(), config.model, read, options=config.options, run=config.run, listen=listen)
        write_answers(found, Path(config.out), config.prompts, config=config.recorded())
        return found
    scene = config.open()
    if config.options.text is not None:
        found = find(scene, config.model, options=config.options, run=config.run, listen=listen)
    elif config.prompts is None:
        found = everything(scene, config.model, options=config.options, run=config.run, listen=listen)
    else:
        read = partial(read_prompts, config.prompts)
        found = answer(scene, config.model, read, options=config.options, run=config.run, listen=listen)
    write_answers(found, Path(config.out), config.prompts, config=config.recorded())
    return found
