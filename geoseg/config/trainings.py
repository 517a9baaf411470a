"""The keys of a training run."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from geoseg.config.scene import OutText, PathText, located_bundle
from geoseg.training.spec import TrainSpec


class TrainConfig(TrainSpec):
    """A training run: TrainSpec's own keys, and where things lie."""

    job: Literal["train"] = "train"
    data_folder: PathText = Field(".", description="where the paths under data start")
    out: OutText = Field("model", description="folder of the model bundle")

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
                "teacher": self.teacher
                and self.teacher.model_copy(update={"model": located_bundle(self.teacher.model, folder)}),
                "start_from": None if self.start_from is None else located_bundle(self.start_from, folder),
            }
        )
