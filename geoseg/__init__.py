"""geoseg: exact, memory-planned segmentation of satellite and aerial scenes into class maps and building polygons.

>>> import geoseg
>>> scene = geoseg.open_scene("scene.tif")  # doctest: +SKIP
>>> result = geoseg.predict(scene, "buildings", "out", polygons=geoseg.PolygonOptions())  # doctest: +SKIP
>>> result.to_xarray().rio.crs, len(result.polygons())  # doctest: +SKIP
>>> geoseg.lazy_map(scene, "buildings")[:1024, :1024].plot.imshow()  # lazily, without a folder  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

from geoseg.numba_cache import ensure_numba_cache

__version__ = "0.1.0"

if TYPE_CHECKING:
    from geoseg.jobs.predict import finish, lazy_map, predict
    from geoseg.jobs.result import Result
    from geoseg.jobs.vectorize import vectorize
    from geoseg.models.bundle import ModelBundle, load_model
    from geoseg.options.polygons import PolygonOptions, RegularizeOptions
    from geoseg.options.run import ClusterOptions, EngineOptions, RunOptions
    from geoseg.scenes.open import open_scene
    from geoseg.scenes.scene import Scene
    from geoseg.vector.footprints.regularize import regularize

# Loaded at first use: `geoseg --help` and a worker that only reads pay for neither torch nor geopandas.
_HOMES = {
    "ClusterOptions": "geoseg.options.run",
    "EngineOptions": "geoseg.options.run",
    "ModelBundle": "geoseg.models.bundle",
    "PolygonOptions": "geoseg.options.polygons",
    "RegularizeOptions": "geoseg.options.polygons",
    "Result": "geoseg.jobs.result",
    "RunOptions": "geoseg.options.run",
    "Scene": "geoseg.scenes.scene",
    "finish": "geoseg.jobs.predict",
    "lazy_map": "geoseg.jobs.predict",
    "load_model": "geoseg.models.bundle",
    "open_scene": "geoseg.scenes.open",
    "predict": "geoseg.jobs.predict",
    "regularize": "geoseg.vector.footprints.regularize",
    "vectorize": "geoseg.jobs.vectorize",
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
    "lazy_map",
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
