"""Tasks: what the channels of a network become."""

from collections.abc import Mapping

from geoseg.models.spec import ModelSpec
from geoseg.tasks.base import Task
from geoseg.tasks.buildings import Buildings
from geoseg.tasks.semantic import Semantic

TASKS: Mapping[str, Task] = {"semantic": Semantic(), "buildings": Buildings()}


def task_of(spec: ModelSpec) -> Task:
    """Return the task of a model; one that names a class to draw polygons of is one of buildings."""
    return TASKS[spec.task if spec.polygon_class is None else "buildings"]
