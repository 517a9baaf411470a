"""The keys of a batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from geoseg.config.prompts import PromptConfig, Prompts
from geoseg.config.runs import Buildings, BuildingsConfig, LandCover, LandCoverConfig
from geoseg.config.scene import OptionKeys, OutText, PathText, PathTexts, located_scene
from geoseg.config.segments import SegmentConfig, Segments
from geoseg.disk.places import VECTORS, located
from geoseg.models.value import Value
from geoseg.options.run import BatchLimits, PartsOptions
from geoseg.scenes.lists import ListedScene, ListKeys


class MonitorKeys(Value):
    """What each scene of a batch is held against as its run ends, as ``geoseg monitor`` does."""

    psi: float = Field(0.25, ge=0, description="largest stability index of a band")
    alert: tuple[str, ...] = Field((), description="shares that are an alarm, e.g. 'building > 2 %'")
    against: tuple[PathText, ...] = Field((), description="folders of runs; none: the model's training")


SceneConfig = LandCoverConfig | BuildingsConfig | PromptConfig | SegmentConfig
CONFIGS: dict[str, type[SceneConfig]] = {
    "land_cover": LandCoverConfig,
    "buildings": BuildingsConfig,
    "prompt": PromptConfig,
    "segment": SegmentConfig,
}
FILES = {"segment": {"out": "segments.gpkg", "raster": "segments.tif"}}  # of verbs that write files, not a folder


class BatchConfig(OptionKeys, BatchLimits):
    """Many scenes, to each of which the same is done, by one engine."""

    job: Literal["batch"] = "batch"
    scenes: PathTexts = Field(min_length=1, description="globs, CSV tables, STAC item collections, rasters")
    lists: ListKeys = ListKeys()
    out: OutText
    monitor: MonitorKeys | None = Field(None, description="none: nothing is watched")
    each: LandCover | Buildings | Prompts | Segments = Field(
        discriminator="job", description="what is done to every scene"
    )

    @model_validator(mode="after")
    def _goes_scene_by_scene(self) -> Self:
        if isinstance(self.each, Prompts) and self.each.options.follow:
            raise ValueError("each.options.follow: goes through several scenes; run it alone, with geoseg prompt")
        return self

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

    @property
    def options(self) -> PartsOptions:
        """Where scenes are run, and what becomes of what is there."""
        return self.each.run if isinstance(self.each, Prompts | Segments) else self.each.options

    def with_options(self, **changes: Any) -> Self:
        """Return the same batch with some of these options changed; raises ConfigError."""
        key = "run" if isinstance(self.each, Prompts | Segments) else "options"
        options = replace(self.options, **changes)
        return self.model_copy(update={"each": self.each.model_copy(update={key: options})})

    def over(self, scene: ListedScene) -> SceneConfig:
        """Return the config of one scene of the batch."""
        keys, job = {name: getattr(self.each, name) for name in type(self.each).model_fields}, self.each.job
        folder = Path(self.out) / scene.name
        outputs = {key: str(folder / file) for key, file in FILES.get(job, {}).items()} or {"out": str(folder)}
        if isinstance(self.each, Prompts) and self.each.prompts is not None:
            keys["prompts"] = _own(Path(self.each.prompts), scene.name)
        return CONFIGS[job].model_validate({**keys, "scene": scene.files, **outputs})


def _own(prompts: Path, name: str) -> str:
    """Return the prompts of a scene: in a folder of them, the file of its name."""
    if not prompts.is_dir():
        return str(prompts)
    named = [prompts / f"{name}{suffix}" for suffix in VECTORS]
    return str(next((path for path in named if path.is_file()), named[0]))
