"""What is imported and done once, in the server that all processes are forked from: 14 s of a core in each otherwise.

Imported by that server alone.
"""

from importlib import import_module

import numpy as np
import torch
from affine import Affine
from rasterio.crs import CRS

from geoseg.values.grid import Grid
from geoseg.vector import FootprintRules, extract_footprints

for name in (
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
    "geoseg.cli",
    "geoseg.executors.dask",
    "geoseg.jobs.predict",
    "geoseg.pipelines.buildings",
    "torch._dynamo",  # the memory plan, which runs the network on torch's meta device, ends up with it
):
    import_module(name)

with torch.device("meta"), torch.inference_mode():
    torch.nn.Conv2d(3, 4, 3)(torch.zeros(1, 3, 32, 32))

_house = np.full((64, 64), 1, np.uint8)
_house[20:40, 20:44] = 250
extract_footprints(
    _house, Grid(CRS.from_epsg(32645), Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), _house.shape), FootprintRules()
)  # loads what numba has compiled
