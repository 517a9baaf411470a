"""What SQLite keeps beside a GeoPackage that a program has open."""

from pathlib import Path

from geoseg.errors import OutputError

SIDECARS = ("-wal", "-shm", "-journal")


def refuse_if_in_use(path: Path) -> None:
    """Raise OutputError where SQLite keeps a side file beside ``path``: a new file would be corrupted."""
    for suffix in SIDECARS:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            raise OutputError(
                f"{path}: {beside.name} lies beside it, so another program (QGIS in edit mode?) has it open. "
                f"Close it there, or choose another folder"
            )
