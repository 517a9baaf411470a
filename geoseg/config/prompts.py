"""The keys of prompts that are answered on a scene, and on every scene of a batch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from geoseg.config.scene import OutText, PathText, SceneInput, SceneReading, located_bundle, read_texts
from geoseg.disk.places import located, undated
from geoseg.options.option import declared
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import PartsOptions
from geoseg.options.scene import SceneOptions

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene


class Prompts(SceneReading):
    """Prompts that are answered, whatever the scene."""

    job: Literal["prompt"] = "prompt"
    prompts: PathText | None = Field(
        None, description="points, boxes and polygons; none where everything, or what a text names, is asked for"
    )
    model: PathText = Field(description="the bundle of a promptable model")
    options: PromptOptions = PromptOptions()
    run: PartsOptions = PartsOptions()

    @field_validator("options", "run", mode="before")
    @classmethod
    def _readable(cls, options: object) -> object:
        return read_texts(options)

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.options.finds == (self.prompts is not None):
            raise ValueError("prompts: name a file of prompts, or ask for everything, or by text")
        return self

    def based_on(self, folder: Path) -> Self:
        """Return the same with relative paths taken from ``folder``; names of shipped things stay names."""
        options = self.options
        return self.model_copy(
            update={
                **self.paths_in(folder),
                "prompts": None if self.prompts is None else located(self.prompts, folder),
                "model": located_bundle(self.model, folder),
                "options": replace(
                    options,
                    refine=options.refine and located(options.refine, folder),
                    within=options.within and located(options.within, folder),
                    detector=options.detector and located_bundle(options.detector, folder),
                    classes=options.classes and located(options.classes, folder),
                    embeddings=options.embeddings and located(options.embeddings, folder),
                ),
            }
        )


class PromptConfig(Prompts, SceneInput):
    """Prompts that are answered on a scene."""

    out: OutText

    def based_on(self, folder: Path) -> Self:
        """See ``Prompts.based_on``; out is a path as well."""
        return super().based_on(folder).model_copy(update={"out": str(folder / self.out)})

    def dates(self) -> "list[tuple[str, Scene]]":
        """Open every scene by itself, with its date: what stands before a ``=``, else its file's name."""
        from geoseg.scenes.open import open_scene

        keys = {option.name: getattr(self, option.name) for option in declared(SceneOptions)}
        files = [(name, undated(name)) for name in self.scene]
        return [
            (name.removesuffix(f"={file}") if name != file else Path(file).stem, open_scene((file,), **keys))
            for name, file in files
        ]

    def recorded(self) -> dict[str, Any]:
        """Return what run.json keeps: enough to run again from any folder."""
        return self.based_on(Path.cwd()).model_copy(update={"run": self.run.to_repeat}).model_dump(mode="json")
