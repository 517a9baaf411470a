"""The files that answers to prompts are written to, and whether they may be."""

from collections.abc import Sequence
from pathlib import Path

from geoseg.disk.places import refuse_file, vector_files
from geoseg.jobs.folder import JobFolder
from geoseg.options.prompt import PromptOptions
from geoseg.outputs.run_json import RUN_FILE
from geoseg.scenes.polygons import split_layer

OBJECTS_FILE = "objects.gpkg"
FILES = (OBJECTS_FILE, RUN_FILE)


def refuse_targets(
    out: Path, scene: Sequence[str], prompts: str | None, options: PromptOptions, *, overwrite: bool
) -> None:
    """Raise OutputError where outputs lie in ``out`` and may not be replaced, or are inputs.

    Those of a run that ended between the two are its own.
    """
    shown = JobFolder(out / ".job").shown()
    given = filter(None, (prompts, options.refine, options.within, options.classes))
    read = [*scene, *(file for name in given for file in vector_files(split_layer(name)[0]))]
    for name in FILES:
        refuse_file(out / name, overwrite=overwrite or name in shown, inputs=read)
