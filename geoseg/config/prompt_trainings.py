"""The keys of the training of a promptable network."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from geoseg.config.scene import OutText, PathText, located_bundle
from geoseg.disk.places import located
from geoseg.training.prompted.spec import PromptTrainSpec


class PromptTrainConfig(PromptTrainSpec):
    """Such a training: PromptTrainSpec's own keys, and where things lie."""

    job: Literal["train_prompt"] = "train_prompt"
    data_folder: PathText = Field(".", description="where the paths under data start")
    out: OutText = Field("model", description="folder of the model bundle")

    @property
    def spec(self) -> PromptTrainSpec:
        """What to train, with the data's paths resolved."""
        plain = PromptTrainSpec.model_validate({name: getattr(self, name) for name in PromptTrainSpec.model_fields})
        return plain.resolve(Path(self.data_folder))

    def based_on(self, folder: Path) -> Self:
        """Return the same job with its relative paths taken from ``folder``."""
        return self.model_copy(
            update={
                "data_folder": str(folder / self.data_folder),
                "out": str(folder / self.out),
                "start_from": located_bundle(self.start_from, folder),
                "embeddings": self.embeddings and located(self.embeddings, folder),
            }
        )
