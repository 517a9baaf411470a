"""What validating an epoch costs beside its steps, as a run maps the ground and by blocks: CPU seconds, one thread.

usage: python benchmarks/validation_cost.py CONFIG [--data FOLDER]
CONFIG is one of job: train. A few steps are timed and stand for the epoch's; nothing is written.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from machine import describe

from geoseg.config.load import load_config
from geoseg.models.backends.torch import one_thread_per_network
from geoseg.training.loop import fit
from geoseg.training.mapped import Maps
from geoseg.training.samples import load_samples
from geoseg.training.step import Stepper
from geoseg.training.validation import Validation

TIMED = 6  # steps, of which the first is not counted


@contextmanager
def timed(owner: type, name: str, seconds: list[float]) -> Iterator[None]:
    """Let the calls of a method add their CPU seconds."""
    own: Callable[..., object] = getattr(owner, name)

    def call(*said: object, **named: object) -> object:
        began = time.process_time()
        answer = own(*said, **named)
        seconds.append(time.process_time() - began)
        return answer

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--data")
    asked = parser.parse_args()
    print(describe())
    spec = load_config(asked.config, changes={} if asked.data is None else {"data_folder": asked.data}).spec
    plan = spec.schedule
    short = {"epochs": 1, "steps_per_epoch": TIMED, "validation": "run"}
    spec = spec.model_copy(update={"schedule": plan.model_copy(update=short)})
    steps, blocks, runs = [], [], []
    with (
        one_thread_per_network(),
        timed(Stepper, "step", steps),
        timed(Validation, "of", blocks),
        timed(Maps, "scores", runs),
    ):
        samples = load_samples(spec)
        fit(spec, replace(samples, scattered=()))
    px = sum(one.box.shape[0] * one.box.shape[1] for one in samples.mapped["validation"])
    epoch = median(steps[1:]) * plan.steps_per_epoch
    print(f"{spec.name}: {spec.arch.name}, {px / 1e6:.2f} Mpx of validation, views: {spec.tta}")
    print("| an epoch's steps | loss, by blocks | scores, as a run | share of the steps |\n|---|---|---|---|")
    print(f"| {epoch:.1f} | {blocks[0]:.2f} | {runs[0]:.2f} | {runs[0] / epoch:.1%} |")


if __name__ == "__main__":
    main()
