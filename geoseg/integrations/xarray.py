"""The accessor ``.geoseg`` of xarray: ``import geoseg.integrations.xarray``, then ``array.geoseg.predict("spectral")``.

Any georeferenced DataArray or Dataset, lazy or not, as rioxarray has them: dimensions (band, y, x) or (y, x), and CRS.
"""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  # registers .rio
import xarray as xr

from geoseg.errors import InputError
from geoseg.jobs.predict import lazy_map
from geoseg.jobs.request import Model, load_models
from geoseg.options.run import RunOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.scene import Scene

LAYERS = ("classes", "confidence")


@xr.register_dataarray_accessor("geoseg")
@xr.register_dataset_accessor("geoseg")
class Accessor:
    """What geoseg does with an array."""

    def __init__(self, array: "xr.DataArray | xr.Dataset") -> None:
        self._array = array if isinstance(array, xr.DataArray) else array.to_array("band")

    def scene(self, **reading: Any) -> Scene:
        """Return the array as a scene, which ``reading`` says more of, see ``open_scene``; it is written to disk once.

        The file lies in a folder for temporary ones and goes with this process. Raises InputError where it has no CRS.
        """
        array = self._array
        if array.rio.crs is None:
            raise InputError("the array has no CRS; give it one with array.rio.write_crs")
        names = (
            [str(name) for name in array.coords["band"].values] if "band" in array.coords and array.ndim == 3 else []
        )
        folder = Path(tempfile.mkdtemp(prefix="geoseg-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        if array.dtype == np.bool_:
            array = array.astype(np.uint8)
        array.rio.to_raster(folder / "array.tif", tiled=True, compress="deflate", bigtiff="if_safer")
        if names and not any(name.isdigit() for name in names):
            reading.setdefault("bands", ",".join(names))
        return open_scene(folder / "array.tif", **reading)

    def predict(
        self,
        model: Model | Sequence[Model],
        *,
        layers: Sequence[str] = LAYERS,
        options: RunOptions | None = None,
        **reading: Any,
    ) -> xr.Dataset:
        """Return the maps of a model as a lazy Dataset; classes carry ``flag_values`` and ``flag_meanings``."""
        scene, bundles = self.scene(**reading), load_models(model)
        made = xr.Dataset({name: lazy_map(scene, bundles, options=options, layer=name) for name in layers})
        if "classes" in made:
            known = bundles[0].spec.classes
            made["classes"].attrs |= {
                "flag_values": np.array([c.id for c in known], np.uint8),
                "flag_meanings": " ".join(c.name.replace(" ", "_") for c in known),
            }
        made.attrs |= {"model": ", ".join(b.spec.name for b in bundles), "licence": bundles[0].spec.licence or ""}
        return made
