"""What a batch does to each of its scenes; ``batch_maps`` and ``batch_verbs`` are the ways there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geoseg.executors.base import Engine
from geoseg.jobs.batch_log import SceneOutcome
from geoseg.jobs.plan import Plan
from geoseg.jobs.run import Listener, Stop
from geoseg.options.run import PartsOptions
from geoseg.scenes.scene import Scene


@dataclass(frozen=True, slots=True)
class BatchScene:
    """A scene of a batch: its name, its output folder, how it is opened, and the config that its run.json keeps."""

    name: str
    out: Path
    open: Callable[[], Scene]
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a scene takes."""

    said: Mapping[str, Any]
    """All of it, as JSON values."""
    windows: int
    """Of networks, or tiles."""
    peak_bytes: int
    """Of memory, in each process."""
    disk_bytes: int | None = None
    """At most; None: not known before."""
    plan: Plan | None = None
    """Of a map."""


class Work(Protocol):
    """What is done to every scene."""

    @property
    def options(self) -> PartsOptions:
        """Where it is done, and what becomes of what is there."""
        ...

    def finished(self, out: Path) -> Mapping[str, Any] | None:
        """Return what a finished run says of itself, its ``outputs`` and ``missing_chunks`` with it, None without one.

        Raises a builtin error for what is no such run, see ``geoseg.outputs.run_json.UNREADABLE``.
        """
        ...

    def changed(self, run: Mapping[str, Any], scene: BatchScene) -> list[str]:
        """Return in what a finished run differs from what is asked for now; no difference in bytes goes unseen."""
        ...

    def run(
        self, scene: BatchScene, options: PartsOptions, *, engine: Engine, listen: Listener, stop: Stop
    ) -> SceneOutcome:
        """Do it, and return what came of it; seconds are added by the batch."""
        ...

    def planner(self, engine: Engine) -> Callable[[BatchScene, PartsOptions], Planned]:
        """Return what plans a scene."""
        ...
