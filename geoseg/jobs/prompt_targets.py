"""The files that answers to prompts are written to, and whether they may be."""

from collections.abc import Sequence
from pathlib import Path

from geoseg.disk.places import refuse_file
from geoseg.jobs.evaluate.files import files_behind
from geoseg.jobs.folder import JobFolder
from geoseg.options.prompt import PromptOptions
from geoseg.outputs.run_json import RUN_FILE

OBJECTS_FILE = "objects.gpkg"
FILES = (OBJECTS_FILE, RUN_FILE)


def refuse_targets(
    out: Path, scene: Sequence[str], prompts: str | None, options: PromptOptions, *, overwrite: bool
) -> None:
    """Raise OutputError where outputs lie in ``out`` and may not be replaced, or are inputs.

    Those of a run that ended between the two are its own.
    """
    shown = JobFolder(out / ".job").shown()
    read = [*scene, *files_behind(prompts, options.refine, options.within, options.classes)]
    for name in FILES:
        refuse_file(out / name, overwrite=overwrite or name in shown, inputs=read)
