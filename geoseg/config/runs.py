"""The keys of a run over a scene, and of what is done to every scene of a batch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from geoseg.config.scene import OutText, PathTexts, SceneInput, SceneReading, located_bundle, read_texts
from geoseg.disk.places import located
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.scenes.local_only import is_elsewhere

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene


class RunKeys(SceneReading):
    """Keys of a run beside its scene and its folder."""

    model: PathTexts = Field(min_length=1, description="a model bundle, or several to be averaged")
    options: RunOptions = RunOptions()

    @field_validator("options", mode="before")
    @classmethod
    def _readable(cls, options: object) -> object:
        return read_texts(options)

    @model_validator(mode="after")
    def _stays_here(self) -> Self:
        if self.local_only and self.options.aoi is not None and is_elsewhere(self.options.aoi):
            raise ValueError(f"aoi {self.options.aoi}: not a file of this machine, and local_only is given")
        return self

    def based_on(self, folder: Path) -> Self:
        """Return the same with relative paths taken from ``folder``; names of shipped things stay names."""
        aoi, clouds = self.options.aoi, self.options.mask_clouds
        return self.model_copy(
            update={
                **self.paths_in(folder),
                "model": tuple(located_bundle(model, folder) for model in self.model),
                "options": replace(
                    self.options,
                    aoi=None if aoi is None else located(aoi, folder),
                    mask_clouds=None if clouds is None else located_bundle(clouds, folder),
                ),
            }
        )


class RunConfig(RunKeys, SceneInput):
    """Keys of every run over a scene."""

    out: OutText

    def recorded(self) -> dict[str, Any]:
        """Return what run.json keeps: enough to run again from any folder, and never the permission to overwrite."""
        own = self.based_on(Path.cwd())
        return own.model_copy(update={"options": own.options.to_repeat}).model_dump(mode="json")

    def based_on(self, folder: Path) -> Self:
        """See ``RunKeys.based_on``; out is a path as well."""
        return super().based_on(folder).model_copy(update={"out": str(folder / self.out)})


class LandCover(RunKeys):
    """A class map, whatever the scene."""

    job: Literal["land_cover"] = "land_cover"


class Buildings(RunKeys):
    """A class map and the polygons of buildings, whatever the scene."""

    job: Literal["buildings"] = "buildings"
    model: PathTexts = ("buildings",)
    polygons: PolygonOptions = PolygonOptions()


class LandCoverConfig(LandCover, RunConfig):
    """A class map of a scene."""

    model: PathTexts = Field((), description="as everywhere; none: the one that fits the scene")

    def decided(self, scene: "Scene") -> Self:
        """Return the same with a model; see ``geoseg.models.choice.chosen``."""
        from geoseg.models.choice import chosen

        return self if self.model else self.model_copy(update={"model": (chosen(scene, stretch=self.options.stretch),)})


class BuildingsConfig(Buildings, RunConfig):
    """A class map of a scene, and the polygons of its buildings."""
