"""What a run would write of a network that is in memory, box by box: how a training sees its own maps."""

from functools import partial
from typing import TYPE_CHECKING

import rasterio

from geoseg.executors.threads import ThreadsEngine, local_site
from geoseg.jobs.chunk import rows_of
from geoseg.jobs.plan import make_job
from geoseg.jobs.plan_memory import DEFAULT_CHUNK_PX
from geoseg.models.backends import asked, library
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import ModelSpec, Weights
from geoseg.options.run import RunOptions
from geoseg.scenes.scene import Scene
from geoseg.tasks.base import Rows
from geoseg.tiling.memory import GDAL_CACHE_BYTES
from geoseg.values.box import Box

if TYPE_CHECKING:
    from torch import nn


class LiveMap:
    """A scene, and the options with which a run of a model maps it unless it is told otherwise.

    device: where the network is; lanes: how many windows are run at once, which changes no bit.
    """

    def __init__(self, scene: Scene, spec: ModelSpec, *, device: str, lanes: int = 1) -> None:
        unsaved = ModelBundle("", spec, Weights(sha256="", bytes=0), digest="")
        options = RunOptions(device=device, layers=("classes",))
        site = local_site(*asked([unsaved], options), lanes=lanes)
        self.job = make_job(scene, [unsaved], platform=site.platform, chunk_px=DEFAULT_CHUNK_PX, options=options)
        self._engine = ThreadsEngine(lanes=lanes)

    def read(self, network: "nn.Module", box: Box) -> Rows:
        """Return the layers (h, w) of a box of the scene's grid, as the network, in evaluation mode, maps them."""
        from geoseg.models.backends.torch import of_network

        (bundle,), platform = self.job.bundles, self.job.platform
        backend = of_network(bundle, network, device=platform.device, precision=platform.precision)
        with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), library().one_thread_per_network():
            return rows_of(self.job, box, partial(self._engine.map, lambda call: backend(call[1])))
