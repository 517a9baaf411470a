"""Choice: which model fits a scene, by its bands, its pixels' size and its values, and why the others do not.

Models for one kind of object, such as buildings, are named; the class maps of ``DEFAULTS`` are chosen.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geoseg.errors import InputError
from geoseg.models.bundle import load_model
from geoseg.models.fitness import refuse_unfit, stretches
from geoseg.models.known import bundled_models
from geoseg.models.spec import MANY_TIMES, ModelSpec
from geoseg.models.stretch import stretched
from geoseg.scenes.reflectance import as_reflectance
from geoseg.scenes.sample import Sample, sample
from geoseg.scenes.scene import Scene

log = logging.getLogger(__name__)
DEFAULTS = ("land-cover", "spectral")


@dataclass(frozen=True, slots=True)
class Judged:
    """A model, held against a scene."""

    name: str
    against: str
    """Why it does not fit, empty where it does."""
    times: float
    """How many times finer or coarser the scene's pixels are than those it is for; 1: they are not."""


def judge(
    scene: Scene,
    name: str,
    spec: ModelSpec,
    look: Callable[[Scene], Sample] = sample,
    *,
    stretch: tuple[float, float] | None = None,
) -> Judged:
    """Hold a model against a scene; ``look`` gives pixels of the scene with the model's bands.

    stretch: percentiles that will be brought to those of the model's training, where it says these.
    """
    times = spec.times_off(scene.grid)
    if times > MANY_TIMES:
        size = max(scene.grid.ground_resolution_m())
        return Judged(name, f"pixels of {size:.3g} m, and it is for {spec.trained_m}", times)
    try:
        selected = scene.select(spec.source_bands, optional=spec.optional)
        seen = look(selected)
        if stretch is not None and stretches(spec):
            selected = stretched(selected, spec, seen, stretch)
        refuse_unfit(as_reflectance(selected, seen) if spec.quantity == "reflectance" else selected, spec, seen)
    except InputError as error:
        return Judged(name, str(error).removeprefix(f"{scene.name}: "), times)
    return Judged(name, "", times)


def fitting(judged: Sequence[Judged]) -> Judged | None:
    """Return the model that fits best: of those with nothing against them the one whose pixels are nearest."""
    return min((one for one in judged if not one.against), key=lambda one: one.times, default=None)


def chosen(scene: Scene, *, stretch: tuple[float, float] | None = None) -> str:
    """Return the name of the model of ``DEFAULTS`` that fits a scene, stretched or not, and say so.

    Raises InputError with what is against each where none does.
    """
    known = bundled_models()
    specs = {name: load_model(name).spec for name in DEFAULTS if name in known}
    judged = [judge(scene, name, spec, stretch=stretch) for name, spec in specs.items()]
    others = "; ".join(f"{one.name}: {one.against}" for one in judged if one.against)
    best = fitting(judged)
    if best is None:
        raise InputError(
            f"{scene.name}: no model that comes with geoseg fits ({others}); geoseg models lists all, take one with -m"
        )
    spec = specs[best.name]
    why = f"bands ({', '.join(spec.band_set.names)}), values and pixels ({spec.trained_m}) fit"
    log.info("%s: model %s, because its %s%s", scene.name, best.name, why, f"; not {others}" if others else "")
    return best.name
