"""JobFolder: OUT/.job, where a job's plan, lock and parts lie. A sound part is the record that its chunk is done."""

import base64
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from geoseg.disk.files import locked, write_json
from geoseg.errors import IncompleteError, OutputError, TryAgainError
from geoseg.executors.base import TORCH, ChunkRecord, Platform, Sink, Walk
from geoseg.failures import as_geoseg_error
from geoseg.jobs.job import Job, differences
from geoseg.outputs.cog.parts import PartEncoder, read_record, write_part
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.cog.vrt import shown, write_parts_vrt
from geoseg.tasks.base import Rows
from geoseg.tiling.overviews import levels_within
from geoseg.values.box import Box

PLAN_FILE, LOCK_FILE = "plan.json", "lock"
# What lies in a job folder, in the order in which it is removed: the locks, which show whose folder it is, go last.
CONTENT = ("parts", "filled", "outputs", "parts.vrt", "shown.json", PLAN_FILE, "spent", "adopting", "adopting.*")
LOCKS = (f"{LOCK_FILE}.*", LOCK_FILE)


@contextmanager
def refusing(
    folder: Path, *, lock: str, has_begun: Callable[[bool], bool], remove: Callable[[], None]
) -> Iterator[None]:
    """Leave nothing of a job that is refused before it has begun: no plan, and no folder that was not there before.

    The plan of a job that was there before stays, and that of one which was stopped or failed: it can go on. folder:
    the job's, in that of its outputs; lock: the name of its lock, has_begun(planned): whether it holds more than that,
    where a plan counts or does not; remove: removes the folder.
    """
    out = folder.parent
    made, planned = not out.exists(), (folder / PLAN_FILE).exists()
    try:
        yield
    except Exception as error:
        known = as_geoseg_error(error, step="")
        planned = planned or isinstance(known, TryAgainError | IncompleteError)
        with suppress(OSError):  # another run has it, or Windows keeps the lock that is held here
            if folder.is_dir() and not has_begun(planned):
                with locked(folder / lock, of=out):
                    if not has_begun(planned):
                        remove()
            if made:
                out.rmdir()
        raise


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What plan.json says of a job: its fingerprint and identity (see ``Job``), and its chunk size and platform."""

    fingerprint: str
    identity: dict[str, Any]
    chunk_px: int
    platform: Platform

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return what ``content`` says; raises a builtin error where it is no plan."""
        identity, backends = content["identity"], tuple(map(str, content.get("backends", TORCH)))
        device, precision, libraries = map(str, identity["platform"])
        platform = Platform(device, precision, libraries, backends)
        return cls(str(content["fingerprint"]), identity, int(identity["chunk_px"]), platform)


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The plan, a lock, and one part per finished chunk; picklable, so that workers can commit."""

    path: Path

    def parts(self, job: Job) -> Path:
        """Where the parts of ``job`` lie: a worker that still runs another job never touches them."""
        return self.path / "parts" / job.fingerprint[:16]

    def part(self, job: Job, chunk_id: str) -> Path:
        """Where a chunk's part lies."""
        return self.parts(job) / f"{chunk_id}.tif"

    def filled(self, chunk_id: str) -> Path:
        """Where the nodata lies that stands for a chunk that failed: no part, so the chunk is tried again."""
        return self.path / "filled" / f"{chunk_id}.tif"

    @property
    def spent(self) -> Path:
        """A file that says: nothing here is wanted any more once the job's run.json is there."""
        return self.path / "spent"

    @property
    def is_spent(self) -> bool:
        """Whether nothing here is wanted any more, should a run.json be there; the removal itself may have begun."""
        if self.path.is_dir() and not any(self.path.iterdir()):
            return True
        return self._is_own and (self.spent.exists() or not (self.path / PLAN_FILE).exists())

    @property
    def _is_own(self) -> bool:
        """Whether a run has made the folder: there is its lock or, where that was lost, its plan."""
        if any(path.is_file() for name in LOCKS for path in self.path.glob(name)):
            return True
        try:
            return self.plan() is not None
        except OutputError:
            return False

    def remove(self) -> None:
        """Remove what runs have made here, and the folder where nothing else is in it."""
        for name in (*CONTENT, *LOCKS):
            for path in (*self.path.glob(name), *self.path.glob(f".{name}.*")):  # hidden: what ``atomic`` has left
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)  # a worker given up for lost may just be writing there
                else:
                    path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def shown(self) -> frozenset[str]:
        """Return the outputs that a publication cut short may have shown or left already, by name; see ``showing``."""
        try:
            return frozenset(json.loads((self.path / "shown.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(f"{self.path}/shown.json: is damaged ({error!r}); remove it") from error

    def showing(self, names: Iterable[str]) -> None:
        """Note the outputs that are this job's own while no run.json lists them; none: it does."""
        if wanted := sorted(names):
            write_json(self.path / "shown.json", wanted)
        else:
            (self.path / "shown.json").unlink(missing_ok=True)

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder, alone or together with others that share it; raises OutputError where it is taken.

        What is refused meanwhile leaves nothing, see ``refusing``.
        """
        self.refuse_foreign()
        with self.refusing(), locked(self.path / LOCK_FILE, of=self.path.parent, shared=shared):
            yield

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Leave nothing of what is refused before its first part lies here; see the function of that name."""
        with refusing(self.path, lock=LOCK_FILE, has_begun=self._has_begun, remove=self.remove):
            yield

    def _has_begun(self, planned: bool) -> bool:
        """Whether more than locks lies here, and more than a plan without parts where that does not count."""
        held = (path for path in self.path.iterdir() if path.name.partition(".")[0] not in (LOCK_FILE, "adopting"))
        if planned:
            return any(held)
        return any(
            path.name != PLAN_FILE and (path.name != "parts" or any(part.is_file() for part in path.rglob("*")))
            for path in held
        )

    def refuse_foreign(self) -> None:
        """Raise OutputError where the folder is there, holds something, and no run has made it."""
        found = list(self.path.glob("[!.]*"))  # first: another run may just be making the folder its own
        if found and not self._is_own:
            raise OutputError(
                f"{self.path}: is no job folder of geoseg; move it away or choose another folder for the outputs"
            )

    def adopting(self) -> AbstractContextManager[None]:
        """Hold the plan, and wait until that can be: the shards of an array start together, and the first one rules."""
        return locked(self.path / "adopting", of=self.path.parent, wait=True)

    def plan(self) -> StoredPlan | None:
        """Return the plan of the job that lies here, None where there is none; raises OutputError for a damaged one."""
        file = self.path / PLAN_FILE
        if not file.exists():
            return None
        try:
            return StoredPlan.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{file}: is not the plan of a job, or damaged ({error!r}); start the job over with --fresh"
            ) from error

    def adopt(self, job: Job, *, fresh: bool, config: dict[str, Any] | None) -> None:
        """Make the folder that of ``job``; raises OutputError where it holds an unfinished job of another plan.

        fresh: such a job, and what is done of this one, is thrown away. config: that of the run. The caller holds
        the plan (``adopting``).
        """
        self.spent.unlink(missing_ok=True)
        found = None if fresh else self.plan()
        if found is not None and found.fingerprint != job.fingerprint:
            changed = ", ".join(differences(found.identity, job.identity))
            raise OutputError(
                f"{self.path.parent}: holds an unfinished job of another plan ({changed} changed). "
                f"Finish it as it was started, choose another folder, or start over with --fresh"
            )
        if found is None:
            (self.path / PLAN_FILE).unlink(missing_ok=True)
            shutil.rmtree(self.path / "parts", ignore_errors=True)
        self.parts(job).mkdir(parents=True, exist_ok=True)
        if found is None:
            content = {
                "fingerprint": job.fingerprint, "identity": job.identity, "config": config,
                "backends": job.platform.backends,
            }  # fmt: skip
            write_json(self.path / PLAN_FILE, content)

    def finished(self, job: Job) -> dict[str, ChunkRecord]:
        """Return the records of the parts that belong to ``job`` and are sound."""
        records = {}
        for chunk_id, _ in job.chunks():
            found = read_record(self.part(job, chunk_id))
            if found is not None and found["fingerprint"] == job.fingerprint:
                records[chunk_id] = _from_json(found)
        return records

    def preview(self, job: Job, records: Iterable[ChunkRecord]) -> None:
        """Write parts.vrt: the layers of the chunks done so far as one raster, to be looked at while a job runs."""
        parts = {record.box: self.part(job, record.id) for record in records}
        write_parts_vrt(self.path / "parts.vrt", parts, job.scene.grid, shown(job.layers))

    def fill(self, job: Job, chunk_id: str, box: Box) -> ChunkRecord:
        """Write nodata in place of a chunk that failed; returns a record of no window and no valid pixel."""
        self.filled(chunk_id).parent.mkdir(exist_ok=True)
        record = ChunkRecord(chunk_id, box, 0, 0, np.zeros((job.counted, box.shape[0]), np.int32))
        sink = _PartSink(self.filled(chunk_id), job, box)
        sink.add(job.blank(box.shape))
        return sink.commit(record)

    def chunk_px(self) -> int | None:
        """Return the chunk size of the unfinished job that lies here, None where there is none."""
        found = self.plan()
        return None if found is None else found.chunk_px

    def sink(self, job: Job, walk: Walk) -> Sink:
        """Open the part of a chunk."""
        return _PartSink(self.part(job, walk.id), job, walk.box, walk.tables)


@cache
def _on_all_cores() -> ThreadPoolExecutor:
    """Return the threads that compress while a GPU runs the networks; they last as long as the process."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "compressor")


class _PartSink:
    """Compresses a chunk's rows as they come, and writes the part at the end."""

    def __init__(self, path: Path, job: Job, box: Box, tables: Callable[[], dict[str, bytes]] = dict) -> None:
        self._path, self._job, self._tables = path, job, tables
        each = _on_all_cores().map if job.platform.device == "cuda" else map
        self._encoder = PartEncoder(box.shape, job.layers, overviews=levels_within(job.chunk_px, TILE_PX), each=each)

    def add(self, rows: Rows) -> None:
        self._encoder.add(rows)

    def commit(self, record: ChunkRecord) -> ChunkRecord:
        write_part(
            self._path,
            self._encoder.finish(),
            grid=self._job.scene.grid.crop(record.box),
            record={"fingerprint": self._job.fingerprint, **_as_json(record)},
            tables=self._tables(),
        )
        return record


def _as_json(record: ChunkRecord) -> dict[str, Any]:
    box = record.box
    return {
        "id": record.id,
        "box": [box.row0, box.col0, box.row1, box.col1],
        "windows": record.windows,
        "skipped": record.skipped,
        "class_rows": base64.b64encode(zlib.compress(record.class_rows.astype("<i4").tobytes())).decode(),
    }


def _from_json(found: dict[str, Any]) -> ChunkRecord:
    box = Box(*found["box"])
    rows = np.frombuffer(zlib.decompress(base64.b64decode(found["class_rows"])), "<i4")
    return ChunkRecord(found["id"], box, found["windows"], found["skipped"], rows.reshape(-1, box.shape[0]))
