"""Prompt: what is clicked on, boxed, outlined or named on a scene becomes objects."""

from functools import partial
from pathlib import Path

from geoseg.config.prompts import PromptConfig
from geoseg.jobs.follow import follow
from geoseg.jobs.prompt import Answers
from geoseg.jobs.prompt_run import published, run_prompts
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.window_answers import Share
from geoseg.scenes.prompts import read_prompts


def run(config: PromptConfig, *, listen: Listener, stop: Stop, finishing: bool = False) -> Answers:
    """Open the scene, answer the prompts, and write the objects to the config's folder, unless it is a shard."""
    out, options, run = Path(config.out), config.options, config.run
    share = Share.of(run, out, config=config.recorded(), finishing=finishing, stop=stop)
    if options.follow and config.prompts is not None:
        read = partial(read_prompts, config.prompts)
        found = follow(config.dates(), config.model, read, options=options, run=run, share=share, listen=listen)
        return published(found, out, config.prompts, share=share)
    return run_prompts(
        config.open(), config.model, config.prompts, out, options=options, run=run, share=share, listen=listen
    )
