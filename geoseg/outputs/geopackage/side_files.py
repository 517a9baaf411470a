"""What SQLite keeps beside a GeoPackage that a program has open."""

import time
from pathlib import Path

from geoseg.disk.files import PAUSES_S
from geoseg.errors import OutputError

SIDECARS = ("-wal", "-shm", "-journal")


def refuse_if_in_use(path: Path) -> None:
    """Raise OutputError where SQLite keeps a side file beside ``path``: a new file would be corrupted.

    Programs that only look leave one for a moment: it is looked for again for three seconds.
    """
    for pause_s in (*PAUSES_S, None):
        beside = next((name for suffix in SIDECARS if path.with_name(name := path.name + suffix).exists()), None)
        if beside is None:
            return
        if pause_s is None:
            raise OutputError(
                f"{path}: {beside} lies beside it, so another program (QGIS in edit mode?) has it open. "
                f"Close it there, or choose another folder"
            )
        time.sleep(pause_s)
