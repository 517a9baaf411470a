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

if TYPE_CHECKING:  # for type checkers; ``_NAMES`` says the same to Python, and a test holds both equal
    from geoseg.jobs.predict import finish as finish
    from geoseg.jobs.predict import lazy_map as lazy_map
    from geoseg.jobs.predict import predict as predict
    from geoseg.jobs.prompt import prompt as prompt
    from geoseg.jobs.result import Result as Result
    from geoseg.jobs.vectorize import vectorize as vectorize
    from geoseg.models.bundle import ModelBundle as ModelBundle
    from geoseg.models.bundle import load_model as load_model
    from geoseg.options.polygons import PolygonOptions as PolygonOptions
    from geoseg.options.polygons import RegularizeOptions as RegularizeOptions
    from geoseg.options.prompt import PromptOptions as PromptOptions
    from geoseg.options.run import ClusterOptions as ClusterOptions
    from geoseg.options.run import EngineOptions as EngineOptions
    from geoseg.options.run import RunOptions as RunOptions
    from geoseg.scenes.open import open_scene as open_scene
    from geoseg.scenes.scene import Scene as Scene
    from geoseg.vector.footprints.regularize import regularize as regularize

# Loaded at first use: `geoseg --help` and a worker that only reads pay for neither torch nor geopandas.
_NAMES = {
    "geoseg.jobs.predict": ("finish", "lazy_map", "predict"),
    "geoseg.jobs.prompt": ("prompt",),
    "geoseg.jobs.result": ("Result",),
    "geoseg.jobs.vectorize": ("vectorize",),
    "geoseg.models.bundle": ("ModelBundle", "load_model"),
    "geoseg.options.polygons": ("PolygonOptions", "RegularizeOptions"),
    "geoseg.options.prompt": ("PromptOptions",),
    "geoseg.options.run": ("ClusterOptions", "EngineOptions", "RunOptions"),
    "geoseg.scenes.open": ("open_scene",),
    "geoseg.scenes.scene": ("Scene",),
    "geoseg.vector.footprints.regularize": ("regularize",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - names, in a list

ensure_numba_cache()


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geoseg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
