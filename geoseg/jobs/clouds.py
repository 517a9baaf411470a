"""Clouds: what a model of clouds does not call clear is masked before another model runs; OUT/clouds keeps both maps.

The mask is a file like any that ``--mask`` names, and run.json names it so: a run goes on and is repeated with it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geoseg.disk.files import atomic
from geoseg.errors import ConfigError
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.targets import refuse_if_finished
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.options.run import RunOptions
from geoseg.outputs.run_json import UNREADABLE, RunJson

CLEAR = "clear"  # the class of what stays
FOLDER, MASK_FILE = "clouds", "mask.tif"
ROWS = 512  # at a time


def cloud_mask(out: Path, options: RunOptions, run: Callable[[ModelBundle, Path, RunOptions], object]) -> Path:
    """Return the mask that ``options.mask_clouds`` asks for, made by ``run(bundle, folder, options)`` where it is not.

    One that an unfinished run in ``out`` was started with is taken again. Raises ConfigError where the model has no
    class of the name ``CLEAR``, OutputError where ``out`` may not be replaced, and what ``run`` raises.
    """
    bundle = load_model(str(options.mask_clouds))
    if CLEAR not in {c.name for c in bundle.spec.classes}:
        classes = ", ".join(c.name for c in bundle.spec.classes)
        raise ConfigError(
            f"mask-clouds {options.mask_clouds}: its classes are {classes}, and none is {CLEAR}; take a model of "
            f"clouds (geoseg models --install clouds)"
        )
    refuse_if_finished(out, overwrite=options.overwrite)
    folder = out / FOLDER
    started = not options.fresh and JobFolder(out / ".job").plan() is not None
    if not (started and _is_of(folder, bundle)):
        plain = RunOptions(batch=options.batch, device=options.device, overwrite=True, fresh=options.fresh)
        run(bundle, folder, replace(plain.at(options), max_runtime_s=options.max_runtime_s))
        write_mask(folder)
    return (folder / MASK_FILE).absolute()


def _is_of(folder: Path, bundle: ModelBundle) -> bool:
    """Whether the mask in ``folder`` is there and was made by a bundle."""
    try:
        found = RunJson.read(folder).facts["identity"]["model"]
    except UNREADABLE:
        return False
    return bool(found == [bundle.digest]) and (folder / MASK_FILE).is_file()


def write_mask(folder: Path) -> None:
    """Write mask.tif beside a finished class map: 1 where it says ``CLEAR``, else 0."""
    run = RunJson.read(folder)
    clear = run.classes.by_name(CLEAR).id
    with rasterio.open(folder / run.class_file) as src, atomic(folder / MASK_FILE) as file, rasterio.open(
        file, "w", driver="GTiff", width=src.width, height=src.height, count=1, dtype="uint8", crs=src.crs,
        transform=src.transform, tiled=True, blockxsize=ROWS, blockysize=ROWS, compress="deflate",
    ) as out:  # fmt: skip
        for row in range(0, src.height, ROWS):
            window = Window(0, row, src.width, min(ROWS, src.height - row))
            out.write((src.read(1, window=window) == clear).astype(np.uint8), 1, window=window)
