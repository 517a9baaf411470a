"""The keys of a batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from geoseg.config.runs import Buildings, BuildingsConfig, LandCover, LandCoverConfig
from geoseg.config.scene import OptionKeys, PathText, PathTexts, located_scene
from geoseg.disk.places import located
from geoseg.models.value import Value
from geoseg.options.run import BatchLimits
from geoseg.scenes.lists import ListedScene, ListKeys


class MonitorKeys(Value):
    """What each scene of a batch is held against as its run ends, as ``geoseg monitor`` does."""

    psi: float = Field(0.25, ge=0, description="largest stability index of a band")
    alert: tuple[str, ...] = Field((), description="shares that are an alarm, e.g. 'building > 2 %'")
    against: tuple[PathText, ...] = Field((), description="folders of runs; none: the model's training")


class BatchConfig(OptionKeys, BatchLimits):
    """Many scenes, to each of which the same is done, by one engine."""

    job: Literal["batch"] = "batch"
    scenes: PathTexts = Field(min_length=1, description="globs, CSV tables, STAC item collections, rasters")
    lists: ListKeys = ListKeys()
    out: PathText
    monitor: MonitorKeys | None = Field(None, description="none: nothing is watched")
    each: LandCover | Buildings = Field(discriminator="job", description="what is done to every scene")

    def based_on(self, folder: Path) -> Self:
        """Return the same job with its relative paths taken from ``folder``."""
        return self.model_copy(
            update={
                "scenes": tuple(located_scene(s, folder) for s in self.scenes),
                "out": str(folder / self.out),
                "each": self.each.based_on(folder),
                "monitor": self.monitor
                and self.monitor.model_copy(
                    update={"against": tuple(located(a, folder) for a in self.monitor.against)}
                ),
            }
        )

    def with_options(self, **changes: Any) -> Self:
        """Return the same batch with some of its options changed; raises ConfigError."""
        options = replace(self.each.options, **changes)
        return self.model_copy(update={"each": self.each.model_copy(update={"options": options})})

    def over(self, scene: ListedScene) -> LandCoverConfig | BuildingsConfig:
        """Return the config of one scene of the batch."""
        keys = {name: getattr(self.each, name) for name in type(self.each).model_fields}
        kind = BuildingsConfig if isinstance(self.each, Buildings) else LandCoverConfig
        return kind.model_validate({**keys, "scene": scene.files, "out": str(Path(self.out) / scene.name)})
