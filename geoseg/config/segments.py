"""The keys of superpixels of a scene."""

from pathlib import Path
from typing import Literal, Self

from geoseg.config.scene import PathText, SceneInput
from geoseg.disk.places import located
from geoseg.options.run import EngineOptions
from geoseg.options.segment import SegmentOptions


class SegmentConfig(SceneInput):
    """A scene that is cut into superpixels."""

    job: Literal["segment"] = "segment"
    out: PathText
    raster: PathText | None = None
    options: SegmentOptions = SegmentOptions()
    run: EngineOptions = EngineOptions()

    def based_on(self, folder: Path) -> Self:
        """Return the same with relative paths taken from ``folder``."""
        raster = None if self.raster is None else located(self.raster, folder)
        return self.model_copy(update={**self.paths_in(folder), "out": located(self.out, folder), "raster": raster})
