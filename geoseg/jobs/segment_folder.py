"""Where the parts of superpixels lie while they are made, for those who finish them; loads no library."""

import json
from pathlib import Path

from geoseg.errors import InputError
from geoseg.jobs.folder import PLAN_FILE

FOLDER = ".segment-"  # beside the polygons; a digest follows


def unfinished(path: Path) -> Path | None:
    """Return the file that holds the config of a run which has left parts for ``path``, None where there is none.

    Raises InputError where several runs have.
    """
    found = [file for file in sorted(path.parent.glob(f"{FOLDER}*/{PLAN_FILE}")) if _target(file) == path.absolute()]
    if len(found) > 1:
        folders = ", ".join(file.parent.name for file in found)
        raise InputError(f"{path}: several runs have left parts ({folders}); remove those that are not wanted")
    return found[0] if found else None


def _target(plan: Path) -> Path | None:
    """Return the file that a run writes; None where its plan is damaged, or of a run that Python has started."""
    try:
        config = json.loads(plan.read_text(encoding="utf-8"))["config"]
        return None if config is None else Path(config["out"])
    except (ValueError, LookupError, TypeError):
        return None
