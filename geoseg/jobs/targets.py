"""Targets: the files that a run writes into its folder, and which of those that lie there are its own to replace.

Its own is what the folder's run.json lists, or what a publication that was cut short had noted in the job folder. All
else belongs to somebody and stays as it is: inputs above all, whatever they are called.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from geoseg.disk.places import VECTOR_DRIVERS, file_key, refuse_unfit_name, written_beside
from geoseg.errors import DiskFullError, OutputError
from geoseg.jobs.folder import JobFolder
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import RunOptions
from geoseg.outputs.ids_table import INSTANCES, beside_ids
from geoseg.outputs.run_json import RUN_FILE, UNREADABLE, RunJson
from geoseg.tasks.panoptic import PANOPTIC
from geoseg.tiling.memory import MIB
from geoseg.values.layers import RASTERS

OF_OBJECTS = (str(PANOPTIC.file), *beside_ids(str(PANOPTIC.file)), INSTANCES)
FILES = (*(f"{name}.tif" for name in RASTERS), OF_OBJECTS[0])
POLYGONS = "buildings"
PLAIN = re.compile(r"[A-Za-z0-9][\w-]*\.tif")  # of a model's own groups of channels
STATISTICS = ".aux.xml"


def polygon_names(vector_format: str | None) -> tuple[str, ...]:
    """Return the name of a run's file of polygons, and of those beside it; None: a GeoPackage."""
    path = Path(f"{POLYGONS}.{vector_format or 'gpkg'}")
    return path.name, *(other.name for other in written_beside(path))


EVERY_FORMAT = (name for suffix in VECTOR_DRIVERS for name in polygon_names(suffix[1:]))
TARGETS = (*FILES, *(f"{name}.aux.xml" for name in FILES), *OF_OBJECTS, *dict.fromkeys(EVERY_FORMAT))
AWAY = "move it away or choose another folder"


def target_names(rasters: Iterable[str], *, polygons: PolygonOptions | None) -> tuple[str, ...]:
    """Return the names of a run's outputs beside run.json; rasters: names of those that are written."""
    drawn = () if polygons is None else polygon_names(polygons.vector_format)
    tables = (f"{name}.tif.aux.xml" for name in rasters if RASTERS[name] == "category")
    return (*(f"{name}.tif" for name in rasters), *tables, *drawn)


def refuse_if_disk_is_short(out: Path, needed: int, options: RunOptions) -> None:
    """Raise DiskFullError where the disk of ``out`` has less room than ``needed`` bytes, less what its parts hold.

    ``needed`` is what can be at most, so ``options.any_disk`` lets the run try.
    """
    if options.any_disk:
        return
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    ready = sum(part.stat().st_size for part in (out / ".job").glob("parts/*/*.tif"))
    free = shutil.disk_usage(there).free
    if needed - ready > free:
        raise DiskFullError(
            f"{out}: parts and outputs may take {(needed - ready) / MIB:,.0f} MiB, but {free / MIB:,.0f} MiB are free; "
            f"free space there, choose a folder on another disk, or pass --any-disk where the map compresses well"
        )


def refuse_if_finished(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where ``out`` holds a finished run and may not be replaced, or is not a folder.

    Raises ConfigError for a name that no output can bear.
    """
    refuse_unfit_name(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; name a folder with -o")
    if not os.path.lexists(out / RUN_FILE):
        return
    own_files(out)
    if not overwrite:
        raise OutputError(f"{out}: holds a finished run; choose another folder or pass --overwrite")


def own_files(out: Path) -> frozenset[str]:
    """Return the names of the outputs in ``out`` that are a run's own; raises OutputError for a foreign run.json."""
    file = out / RUN_FILE
    if not os.path.lexists(file):
        return JobFolder(out / ".job").shown()
    try:
        told = RunJson.read(out)
        run, files = told.facts, told.files
    except UNREADABLE as error:
        raise OutputError(f"{file}: is no run.json of geoseg, or damaged ({error!r}); {AWAY}") from error
    if run["software"] != "geoseg":
        raise OutputError(f"{file}: is no run.json of geoseg, but of {run['software']!r}; {AWAY}")
    return frozenset(name for name in run["outputs"] if name in TARGETS or (name in files and PLAIN.fullmatch(name)))


def refuse_foreign(out: Path, names: Iterable[str]) -> None:
    """Raise OutputError where a file in ``out`` that is no run's own lies where one of ``names`` would be written.

    A mask, overviews or statistics that GDAL would read along with a new raster count too.
    """
    own = own_files(out)
    for name in names:
        if name not in own and os.path.lexists(out / name):
            raise OutputError(
                f"{out / name}: lies there already, and no run.json lists it as an output of geoseg; {AWAY}, "
                f"--overwrite replaces only what a run has written"
            )
        for beside in _read_along(out, name, own):
            if name not in own or not beside.endswith(STATISTICS):
                raise OutputError(f"{out / beside}: would be read as a part of {name}, and is not geoseg's; {AWAY}")


def old_statistics(out: Path, names: Iterable[str]) -> list[str]:
    """Return the files in ``out`` from which GDAL would read statistics of the rasters before those of ``names``.

    A program like QGIS writes them beside a raster that it shows; they are not geoseg's, so they stay.
    """
    own = own_files(out)
    return [beside for name in names if name in own for beside in _read_along(out, name, own)]


def _read_along(out: Path, name: str, own: frozenset[str]) -> list[str]:
    """Return the names of files that are not geoseg's and that GDAL takes for parts of the raster ``name``."""
    beside = [f"{name}{suffix}" for suffix in (".msk", ".ovr", STATISTICS)] if name in FILES else []
    return [other for other in beside if other not in own and os.path.lexists(out / other)]


def refuse_inputs(out: Path, names: Iterable[str], inputs: Iterable[str | Path]) -> None:
    """Raise OutputError where one of ``names`` in ``out`` is an input, or an input lies in the job folder.

    inputs: paths; those that are no local files are left aside.
    """
    work = (out / ".job").resolve()
    targets = {key: name for name in (*names, RUN_FILE) if (key := file_key(out / name)) is not None}
    for path in map(Path, inputs):
        key = file_key(path)
        if key in targets:
            raise OutputError(f"{out / targets[key]}: is read by this run, so it is not written; choose another folder")
        if key is not None and path.resolve().is_relative_to(work):
            raise OutputError(f"{path}: lies in the job folder of {out}, which is removed; choose another folder")
