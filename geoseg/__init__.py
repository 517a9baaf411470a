"""geoseg: exact, memory-planned segmentation of satellite and aerial scenes into class maps and building polygons.

>>> import geoseg
>>> scene = geoseg.open_scene("scene.tif")  # doctest: +SKIP
>>> result = geoseg.predict(scene, "buildings", "out", polygons=geoseg.PolygonOptions())  # doctest: +SKIP
>>> result.to_xarray().rio.crs, len(result.polygons())  # doctest: +SKIP
>>> geoseg.predict(scene, "buildings")[:1024, :1024].plot.imshow()  # lazily, without a folder  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

from geoseg.numba_cache import ensure_numba_cache

__version__ = "0.1.0"

if TYPE_CHECKING:
    from geoseg.engine.options import ClusterOptions, EngineOptions, PolygonOptions, RegularizeOptions, RunOptions
    from geoseg.engine.predict import Result, finish, predict
    from geoseg.engine.regularize import regularize
    from geoseg.engine.vectorize import vectorize
    from geoseg.io.source import Scene, open_scene
    from geoseg.model.bundle import ModelBundle, load_model

# Loaded at first use: `geoseg --help` and a worker that only reads pay for neither torch nor geopandas.
_HOMES = {
    "ClusterOptions": "geoseg.engine.options",
    "EngineOptions": "geoseg.engine.options",
    "ModelBundle": "geoseg.model.bundle",
    "PolygonOptions": "geoseg.engine.options",
    "RegularizeOptions": "geoseg.engine.options",
    "Result": "geoseg.engine.predict",
    "RunOptions": "geoseg.engine.options",
    "Scene": "geoseg.io.source",
    "finish": "geoseg.engine.predict",
    "load_model": "geoseg.model.bundle",
    "open_scene": "geoseg.io.source",
    "predict": "geoseg.engine.predict",
    "regularize": "geoseg.engine.regularize",
    "vectorize": "geoseg.engine.vectorize",
}
__all__ = [
    "ClusterOptions",
    "EngineOptions",
    "ModelBundle",
    "PolygonOptions",
    "RegularizeOptions",
    "Result",
    "RunOptions",
    "Scene",
    "finish",
    "load_model",
    "open_scene",
    "predict",
    "regularize",
    "vectorize",
]

ensure_numba_cache()


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geoseg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
