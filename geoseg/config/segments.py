"""The keys of superpixels of a scene, and of every scene of a batch."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator

from geoseg.config.scene import OutText, SceneInput, SceneReading, read_texts
from geoseg.disk.places import located
from geoseg.options.run import PartsOptions
from geoseg.options.segment import SegmentOptions


class Segments(SceneReading):
    """Superpixels, whatever the scene."""

    job: Literal["segment"] = "segment"
    options: SegmentOptions = SegmentOptions()
    run: PartsOptions = PartsOptions()

    @field_validator("run", mode="before")
    @classmethod
    def _readable(cls, run: object) -> object:
        return read_texts(run)

    def based_on(self, folder: Path) -> Self:
        """Return the same with relative paths taken from ``folder``."""
        return self.model_copy(update=self.paths_in(folder))


class SegmentConfig(Segments, SceneInput):
    """A scene that is cut into superpixels."""

    out: OutText
    raster: OutText | None = None

    def based_on(self, folder: Path) -> Self:
        """See ``Segments.based_on``; out and raster are paths as well."""
        raster = None if self.raster is None else located(self.raster, folder)
        return super().based_on(folder).model_copy(update={"out": located(self.out, folder), "raster": raster})

    def recorded(self) -> dict[str, Any]:
        """Return what is kept of it: enough to run again from any folder."""
        return self.based_on(Path.cwd()).model_copy(update={"run": self.run.to_repeat}).model_dump(mode="json")
