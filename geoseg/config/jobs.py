"""What configs ask for, by job: their keys, typed and strict."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from geoseg.disk.places import located
from geoseg.errors import ConfigError
from geoseg.models.bundle import known_models
from geoseg.models.value import Value
from geoseg.options.option import Checked, declared
from geoseg.options.polygons import PolygonOptions
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import BatchLimits, EngineOptions, RunOptions
from geoseg.options.scene import SceneOptions
from geoseg.scenes.lists import ListedScene, ListKeys
from geoseg.scenes.local_only import is_elsewhere
from geoseg.training.spec import TrainSpec

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; name a file or folder, or leave it out")
    return text


PathText = Annotated[str, AfterValidator(_named)]  # an empty one would mean the config's own folder
DEMO_SCENE, DEMO_LAND_COVER = "demo", "demo-land-cover"
DEMO_FILES = {DEMO_SCENE: "scene.tif", DEMO_LAND_COVER: "land_cover.tif"}  # scenes that come with geoseg, by name
TEXTS = {
    option.name: option.said.text
    for group in (RunOptions, PromptOptions)
    for option in declared(group)
    if option.said.text is not None
}


def _read(key: object, value: object) -> object:
    """Return what an option's text means; text that means nothing stays, and is named with all other faults."""
    text = TEXTS.get(str(key))
    try:
        return text.read(value) if text is not None and isinstance(value, text.kinds) else value
    except ConfigError:
        return value


def _all_read(options: object) -> object:
    return {key: _read(key, value) for key, value in options.items()} if isinstance(options, Mapping) else options


class OptionKeys(Value, Checked):
    """Keys that are options, with the limits that these declare."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self.check()
        return self


class SceneReading(OptionKeys, SceneOptions):
    """What a scene's file does not say of itself: keys beside the scene."""

    def paths_in(self, folder: Path) -> dict[str, Any]:
        """Return the keys that are paths, taken from ``folder``."""
        paths = {"mask": self.mask, "dem": self.dem}
        return {key: None if path is None else _located(path, folder) for key, path in paths.items()}


class SceneInput(SceneReading):
    """The scene, and what its file does not say of itself."""

    scene: tuple[PathText, ...] = Field(min_length=1, description="a raster, or several single-band files of one grid")

    def open(self) -> "Scene":
        """Open the scene; see ``geoseg.scenes.open.open_scene``."""
        from geoseg.scenes.open import open_scene

        return open_scene(self.scene, **{option.name: getattr(self, option.name) for option in declared(SceneOptions)})

    @field_validator("scene", mode="before")
    @classmethod
    def _one_or_several(cls, scene: object) -> object:
        return (scene,) if isinstance(scene, str) else scene

    def paths_in(self, folder: Path) -> dict[str, Any]:
        """See ``SceneReading.paths_in``."""
        return {**super().paths_in(folder), "scene": tuple(_located(s, folder) for s in self.scene)}


class RunKeys(SceneReading):
    """Keys of a run beside its scene and its folder."""

    model: tuple[PathText, ...] = Field(min_length=1, description="a model bundle, or several to be averaged")
    options: RunOptions = RunOptions()

    @field_validator("model", mode="before")
    @classmethod
    def _one_model_or_several(cls, model: object) -> object:
        return (model,) if isinstance(model, str) else model

    @field_validator("options", mode="before")
    @classmethod
    def _readable(cls, options: object) -> object:
        return _all_read(options)

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
                "model": tuple(_bundle(model, folder) for model in self.model),
                "options": replace(
                    self.options,
                    aoi=None if aoi is None else located(aoi, folder),
                    mask_clouds=None if clouds is None else _bundle(clouds, folder),
                ),
            }
        )


class RunConfig(RunKeys, SceneInput):
    """Keys of every run over a scene."""

    out: PathText

    def recorded(self) -> dict[str, Any]:
        """Return what run.json keeps: enough to run again from any folder, and never the permission to overwrite."""
        options = replace(self.options, overwrite=False, fresh=False, shard=None)
        return self.based_on(Path.cwd()).model_copy(update={"options": options}).model_dump(mode="json")

    def based_on(self, folder: Path) -> Self:
        """See ``RunKeys.based_on``; out is a path as well."""
        return super().based_on(folder).model_copy(update={"out": str(folder / self.out)})


class LandCover(RunKeys):
    """A class map, whatever the scene."""

    job: Literal["land_cover"] = "land_cover"


class Buildings(RunKeys):
    """A class map and the polygons of buildings, whatever the scene."""

    job: Literal["buildings"] = "buildings"
    model: tuple[PathText, ...] = ("buildings",)
    polygons: PolygonOptions = PolygonOptions()


class LandCoverConfig(LandCover, RunConfig):
    """A class map of a scene."""

    model: tuple[PathText, ...] = Field((), description="as everywhere; none: the one that fits the scene")

    def decided(self, scene: "Scene") -> Self:
        """Return the same with a model; see ``geoseg.models.choice.chosen``."""
        from geoseg.models.choice import chosen

        return self if self.model else self.model_copy(update={"model": (chosen(scene, stretch=self.options.stretch),)})


class BuildingsConfig(Buildings, RunConfig):
    """A class map of a scene, and the polygons of its buildings."""


class PromptConfig(SceneInput):
    """Prompts that are answered on a scene."""

    job: Literal["prompt"] = "prompt"
    prompts: PathText | None = Field(None, description="points, boxes and polygons; none where everything is asked for")
    model: PathText = Field(description="the bundle of a promptable model")
    out: PathText
    options: PromptOptions = PromptOptions()
    run: EngineOptions = EngineOptions()

    @field_validator("options", "run", mode="before")
    @classmethod
    def _readable(cls, options: object) -> object:
        return _all_read(options)

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.options.everything == (self.prompts is not None):
            raise ValueError("prompts: name a file of prompts, or ask for everything")
        return self

    def based_on(self, folder: Path) -> Self:
        """Return the same with relative paths taken from ``folder``; names of shipped things stay names."""
        options = self.options
        return self.model_copy(
            update={
                **self.paths_in(folder),
                "prompts": None if self.prompts is None else located(self.prompts, folder),
                "model": _bundle(self.model, folder),
                "out": str(folder / self.out),
                "options": replace(
                    options,
                    refine=options.refine and located(options.refine, folder),
                    within=options.within and located(options.within, folder),
                    classes=options.classes and located(options.classes, folder),
                    embeddings=options.embeddings and located(options.embeddings, folder),
                ),
            }
        )

    def recorded(self) -> dict[str, Any]:
        """Return what run.json keeps: enough to run again from any folder."""
        return self.based_on(Path.cwd()).model_dump(mode="json")


class MonitorKeys(Value):
    """What each scene of a batch is held against as its run ends, as ``geoseg monitor`` does."""

    psi: float = Field(0.25, ge=0, description="largest stability index of a band")
    alert: tuple[str, ...] = Field((), description="shares that are an alarm, e.g. 'building > 2 %'")
    against: tuple[PathText, ...] = Field((), description="folders of runs; none: the model's training")


class BatchConfig(OptionKeys, BatchLimits):
    """Many scenes, to each of which the same is done, by one engine."""

    job: Literal["batch"] = "batch"
    scenes: tuple[PathText, ...] = Field(min_length=1, description="globs, CSV tables, STAC item collections, rasters")
    lists: ListKeys = ListKeys()
    out: PathText
    monitor: MonitorKeys | None = Field(None, description="none: nothing is watched")
    each: LandCover | Buildings = Field(discriminator="job", description="what is done to every scene")

    @field_validator("scenes", mode="before")
    @classmethod
    def _one_or_several(cls, scenes: object) -> object:
        return (scenes,) if isinstance(scenes, str) else scenes

    def based_on(self, folder: Path) -> Self:
        """Return the same job with its relative paths taken from ``folder``."""
        return self.model_copy(
            update={
                "scenes": tuple(_located(s, folder) for s in self.scenes),
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


class TrainConfig(TrainSpec):
    """A training run: TrainSpec's own keys, and where things lie."""

    job: Literal["train"] = "train"
    data_folder: PathText = Field(".", description="where the paths under data start")
    out: PathText = Field("model", description="folder of the model bundle")

    @property
    def spec(self) -> TrainSpec:
        """What to train, with the data's paths resolved."""
        plain = TrainSpec.model_validate({name: getattr(self, name) for name in TrainSpec.model_fields})
        return plain.resolve(Path(self.data_folder))

    def based_on(self, folder: Path) -> Self:
        """Return the same job with its relative paths taken from ``folder``."""
        encoder = self.encoder and self.encoder.based_on(folder)
        return self.model_copy(
            update={
                "encoder": encoder,
                "data_folder": str(folder / self.data_folder),
                "out": str(folder / self.out),
                "start_from": None if self.start_from is None else _bundle(self.start_from, folder),
            }
        )


Config = LandCoverConfig | BuildingsConfig | PromptConfig | BatchConfig | TrainConfig
CONFIGS: dict[str, type[Config]] = {
    "land_cover": LandCoverConfig,
    "buildings": BuildingsConfig,
    "batch": BatchConfig,
    "train": TrainConfig,
    "prompt": PromptConfig,
}


def _located(scene: str, folder: Path) -> str:
    if scene in DEMO_FILES and not (folder / scene).is_file():  # the folder that `geoseg demo` writes is no scene
        return str(resources.files("geoseg") / "demo" / DEMO_FILES[scene])
    return located(scene, folder)


def _bundle(model: str, folder: Path) -> str:
    """Return a name that geoseg knows as it is, whatever lies here: ``-o buildings`` makes a folder of that name."""
    return model if model in known_models() else str((folder / model).absolute())
