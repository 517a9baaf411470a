"""Contents: the files of a product, whether they lie in a folder or in an archive."""

import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geoseg.errors import InputError

METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml$|_MTL\.(txt|json)$", re.IGNORECASE)  # names its folder
MOST_BYTES = 64 * 2**20  # of a file of metadata


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in a folder or an archive; names are relative to it."""

    path: str
    names: tuple[str, ...]
    archive: str = ""  # of GDAL's file systems: vsizip, vsitar; empty for a folder

    def find(self, pattern: str) -> list[str]:
        """Return the names in which a pattern is found, whatever their case."""
        return [name for name in self.names if re.search(pattern, name, re.IGNORECASE)]

    def gdal(self, name: str) -> str:
        """Return what GDAL calls a file."""
        return f"/{self.archive}/{self.path}/{name}" if self.archive else str(Path(self.path) / name)

    def read(self, name: str) -> bytes:
        """Return a file of metadata; raises InputError where it cannot be read, or is far too large for one."""
        try:
            content = self._bytes(name)
        except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
            raise InputError(f"{self.gdal(name)}: cannot be read ({error}); fetch the product again") from error
        if len(content) > MOST_BYTES:
            raise InputError(f"{self.gdal(name)}: {MOST_BYTES} bytes and more are no metadata")
        return content

    def _bytes(self, name: str) -> bytes:
        if self.archive == "vsizip":
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                return file.read(MOST_BYTES + 1)
        if self.archive == "vsitar":
            with tarfile.open(self.path) as tar:
                member = tar.extractfile(name)
                return b"" if member is None else member.read(MOST_BYTES + 1)
        with (Path(self.path) / name).open("rb") as plain:
            return plain.read(MOST_BYTES + 1)

    def held(self, names: list[str]) -> list[str]:
        """Return what GDAL calls some files; raises InputError that names those which are missing."""
        if missing := [name for name in names if name not in self.names]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"{self.path}: {missing[0]}{more} is missing, though the metadata lists it; fetch the product again"
            )
        return [self.gdal(name) for name in names]


def contents_of(path: str) -> Contents | None:
    """Return the files of a folder or archive, or of the folder whose metadata ``path`` is; None for all else."""
    place = Path(path)
    if place.is_file() and METADATA.search(place.name):
        place = place.parent
    if place.is_dir():
        found = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
        return Contents(str(place), tuple(found))
    if not place.is_file():
        return None
    try:
        if place.suffix.lower() == ".zip":
            with zipfile.ZipFile(place) as archive:
                return Contents(path, tuple(archive.namelist()), "vsizip")
        if PurePosixPath(path.lower()).suffix in (".tar", ".tgz") or path.lower().endswith(".tar.gz"):
            with tarfile.open(place) as tar:
                return Contents(path, tuple(tar.getnames()), "vsitar")
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise InputError(f"{path}: an archive that cannot be read ({error}); fetch it again") from error
    return None
