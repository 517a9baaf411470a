"""monitor: how far finished runs drift: the values of their scenes, by band, and the shares of their classes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.models.values import TrainedValues, trained_values
from geoseg.outputs.page import Html, page, shaded, table, tag
from geoseg.outputs.run_json import RunJson, finished_run
from geoseg.scenes.sample import sample
from geoseg.scenes.scene import Scene
from geoseg.values.bands import BandSet

SceneOf = Callable[[Path], Scene]
ALERT = re.compile(r"(?P<name>.+?)\s*(?P<sign>[<>])\s*(?P<share>\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Alert:
    """A share that a class must not have."""

    name: str
    above: bool
    percent: float

    @classmethod
    def parse(cls, text: str) -> "Alert":
        """Return what a text says; raises ConfigError.

        >>> Alert.parse("building > 2 %")
        Alert(name='building', above=True, percent=2.0)
        """
        found = ALERT.fullmatch(text.strip())
        if found is None:
            raise ConfigError(f"alert {text!r}: write CLASS > N % or CLASS < N %, e.g. 'building > 2 %'")
        return cls(found["name"], found["sign"] == ">", float(found["share"]))

    def of(self, shares: Mapping[str, float], where: str) -> str | None:
        """Return what is wrong with the shares of a map, if anything; raises ConfigError for a class it lacks."""
        if self.name not in shares:
            raise ConfigError(f"alert {self.name!r}: {where} has the classes {', '.join(shares)}")
        share = 100 * shares[self.name]
        wrong = share > self.percent if self.above else share < self.percent
        return f"{self.name} {share:.2f} % {'>' if self.above else '<'} {self.percent:g} %" if wrong else None


@dataclass(frozen=True, slots=True)
class Watched:
    """A run, and how far it has drifted."""

    name: str
    finished: str
    """When."""
    psi: Mapping[str, float]
    """Population stability index by band."""
    shares: Mapping[str, float]
    """Of each class, 0..1 of what is mapped."""
    faults: tuple[str, ...] = field(default=())
    """What is beyond its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What runs are held against, and what is too far from it."""

    scene_of: SceneOf
    """Opens the scene of a run's folder."""
    psi: float
    """Largest population stability index of a band."""
    alerts: tuple[Alert, ...]
    reference: "Reference | None"
    """What the bands of other runs hold; None: the training of each run's model, as its run.json has it."""

    @classmethod
    def of(cls, scene_of: SceneOf, *, psi: float, alerts: Sequence[Alert], against: Sequence[Path] = ()) -> Self:
        """Read the runs ``against`` which others are held; raises InputError and ConfigError."""
        reference = Reference.of(against, scene_of) if against else None
        return cls(scene_of=scene_of, psi=psi, alerts=tuple(alerts), reference=reference)

    def over(self, folder: Path) -> Watched:
        """Return how far a finished run has drifted.

        Values are compared by the population stability index over the tenths of the reference. Where that is several
        runs, or a training of several areas, an index is too large only where it is larger than that of each of them.
        Raises InputError for a folder without a finished run, and ConfigError where it says nothing of its model's
        training, or has no such class.
        """
        run, reference = finished_run(folder), self.reference
        most: Mapping[str, float] = {}
        if reference is None:
            fits = run.facts["plan"].get("values", ())
            stated = {fit["band"]: fit["stability_index"] for fit in fits}
            most = {fit["band"]: fit.get("among") or 0.0 for fit in fits}
            if not stated:
                raise ConfigError(f"{folder}: its model does not say what it was trained on; name runs with --against")
        else:
            if tuple(run.facts["bands"]) != reference.bands:
                raise ConfigError(
                    f"{folder}: bands {', '.join(run.facts['bands'])}, and the others have {', '.join(reference.bands)}"
                )
            stated, most = reference.indices(_values(folder, run, self.scene_of)), reference.own
        total = max(1, sum(run.pixels.values()))
        shares = {row["name"]: row["pixels"] / total for row in run.facts["classes"]}
        far = {band: index for band, index in stated.items() if index > max(self.psi, most.get(band, 0.0))}
        faults = [f"{band} has an index of {index:.2f}" for band, index in far.items()]
        faults += filter(None, (alert.of(shares, str(folder)) for alert in self.alerts))
        return Watched(folder.resolve().name, run.facts["run"]["finished"], stated, shares, tuple(faults))


@dataclass(frozen=True, slots=True)
class Reference:
    """What the bands of runs hold."""

    bands: tuple[str, ...]
    values: TrainedValues
    """Of all of them together."""
    own: Mapping[str, float] = field(default_factory=dict)
    """Per band, the largest index that one of several runs has against all."""

    @classmethod
    def of(cls, folders: Sequence[Path], scene_of: SceneOf) -> Self:
        """Read a sample of each run's scene; raises ConfigError for runs of different bands."""
        runs = [(folder, finished_run(folder)) for folder in folders]
        names = {tuple(run.facts["bands"]) for _, run in runs}
        if len(names) > 1:
            raise ConfigError("against: runs of different bands; name runs of one model")
        values = [_values(folder, run, scene_of) for folder, run in runs]
        every = cls(names.pop(), trained_values(values, bytes_alone=False))
        indices = [every.indices(one) for one in values]
        return cls(every.bands, every.values, {band: max(one[band] for one in indices) for band in every.bands})

    def indices(self, values: NDArray[np.float32]) -> dict[str, float]:
        """Return the population stability index of values (C, N), by band."""
        return {band: round(self.values.stability_index(i, values[i]), 4) for i, band in enumerate(self.bands)}


def _values(folder: Path, run: RunJson, scene_of: SceneOf) -> NDArray[np.float32]:
    """Return (C, N) physical values of a sample of a run's scene; raises InputError where none is valid."""
    scene = scene_of(folder)
    selected = scene.select(BandSet.parse(",".join(run.facts["bands"])))
    found = sample(selected).physical(selected)
    if not found.shape[1]:
        raise InputError(f"{scene.name}: no valid pixel was found in a sample of it")
    return found


def drift_page(watched: Sequence[Watched], *, psi: float, against: Sequence[Path]) -> str:
    """Return the page of runs over time."""
    bands = list(dict.fromkeys(band for one in watched for band in one.psi))
    classes = list(dict.fromkeys(name for one in watched for name in one.shares))
    what = ", ".join(path.name for path in against) or "the model's training"
    indices = [[one.name, one.finished, *(_shaded(one.psi.get(band), psi) for band in bands)] for one in watched]
    shares = [
        [
            one.name,
            one.finished,
            *(f"{100 * one.shares[name]:.2f} %" if name in one.shares else "–" for name in classes),
        ]
        for one in watched
    ]
    faults = [tag("p", f"{one.name}: {'; '.join(one.faults)}", class_="fault") for one in watched if one.faults]
    return page(
        "Drift",
        *(faults or [Html(tag("p", f"Nothing is beyond its bounds; bands up to {psi:g}."))]),
        tag("h2", "Values"),
        f"Population stability index of every band against {what}: 0 where values are spread alike, 0.25 and more "
        "where they have shifted.",
        table(["run", "finished", *bands], indices),
        tag("h2", "Classes"),
        table(["run", "finished", *classes], shares),
    )


def _shaded(index: float | None, psi: float) -> str:
    return "–" if index is None else shaded(f"{index:.3f}", min(1.0, index / psi) if psi else 1.0)
