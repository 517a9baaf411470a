"""Tasks: what the channels of a network become."""

from collections.abc import Mapping

from geoseg.errors import ModelError
from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Task
from geoseg.tasks.buildings import Buildings
from geoseg.tasks.objects import Objects
from geoseg.tasks.panoptic import Panoptic, PanopticOfObjects
from geoseg.tasks.semantic import Semantic

TASKS: Mapping[str, Task] = {
    "semantic": Semantic(),
    "buildings": Buildings(),
    "panoptic": Panoptic(),
    "panoptic-of-objects": PanopticOfObjects(),
    "objects": Objects(),
}


def task_of(spec: ModelSpec) -> Task:
    """Return the task of a model; one that names a class to draw polygons of is one of buildings.

    Raises ModelError for a model that takes prompts or words, and maps nothing by itself.
    """
    if spec.task in ("promptable", "words"):
        raise ModelError(
            f"model {spec.name!r} answers prompts or words and maps nothing by itself; "
            f"use geoseg prompt (--dry-run: its plan)"
        )
    named = spec.polygon_class is not None and spec.task == "semantic"
    if spec.task == "panoptic" and spec.objects is not None:
        return TASKS["panoptic-of-objects"]
    return TASKS["buildings" if named else spec.task]
