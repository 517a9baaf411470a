"""The keys of a config that name a scene, and what every job's keys share."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from geoseg.disk.places import fault_of_target, located
from geoseg.errors import ConfigError
from geoseg.models.known import known_models
from geoseg.models.value import Value
from geoseg.options.option import Checked, declared
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import RunOptions
from geoseg.options.scene import SceneOptions

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; name a file or folder, or leave it out")
    return text


def _writable(text: str) -> str:
    if fault := fault_of_target(text):
        raise ValueError(fault)
    return text


def _one_or_several(names: object) -> object:
    return (names,) if isinstance(names, str) else names


PathText = Annotated[str, AfterValidator(_named)]  # an empty one would mean the config's own folder
OutText = Annotated[PathText, AfterValidator(_writable)]
PathTexts = Annotated[tuple[PathText, ...], BeforeValidator(_one_or_several)]  # of a list of one the name will do
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


def read_texts(options: object) -> object:
    """Return the keys of a group of options with what their texts mean."""
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
        return {key: None if path is None else located_scene(path, folder) for key, path in paths.items()}


class SceneInput(SceneReading):
    """The scene, and what its file does not say of itself."""

    scene: PathTexts = Field(min_length=1, description="a raster, or several single-band files of one grid")

    def open(self) -> "Scene":
        """Open the scene; see ``geoseg.scenes.open.open_scene``."""
        from geoseg.scenes.open import open_scene

        return open_scene(self.scene, **{option.name: getattr(self, option.name) for option in declared(SceneOptions)})

    def paths_in(self, folder: Path) -> dict[str, Any]:
        """See ``SceneReading.paths_in``."""
        return {**super().paths_in(folder), "scene": tuple(located_scene(s, folder) for s in self.scene)}


def located_scene(scene: str, folder: Path) -> str:
    """Return the path of a scene, taken from ``folder``; names of shipped scenes are theirs."""
    if scene in DEMO_FILES and not (folder / scene).is_file():  # the folder that `geoseg demo` writes is no scene
        return str(resources.files("geoseg") / "demo" / DEMO_FILES[scene])
    return located(scene, folder)


def located_bundle(model: str, folder: Path) -> str:
    """Return a name that geoseg knows as it is, whatever lies here: ``-o buildings`` makes a folder of that name."""
    return model if model in known_models() else str((folder / model).absolute())
