"""Memory of prompts: what embedding windows, asking in them and merging answers hold, known before the first pixel.

A process embeds and asks window by window, so only what lattices of clicks find grows with the scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from geoseg.errors import MemoryBudgetError
from geoseg.executors.base import Site
from geoseg.jobs.job import Job
from geoseg.jobs.plan_memory import weights_bytes
from geoseg.models.architectures import check_architecture
from geoseg.objects.found import Found
from geoseg.options.run import EngineOptions
from geoseg.tiling.memory import BASE_BYTES, DETECTION_BYTES, GDAL_CACHE_BYTES, LANE_BYTES, MIB

WINDOW_BYTES = 40  # of a pixel of a window while its masks are made, beside its bands
LIVE_SHARE = 1.75  # what a process grows by, over the bytes counted live: see ``models.backends.torch``
FP16_BYTES = 2  # of a value of an embedding as it is kept
HELD = 6  # times an embedding: as it is made, as it is written, and twice as wide for the decoder
ANSWERS = 3  # masks of a click
MASK_CELLS = 8  # side of the box of an assumed mask, in spacings of the lattice
ROW_BYTES = 2 * DETECTION_BYTES + 176  # of a candidate: in two tables, and the array of its mask
LINK_BYTES = 24 * ANSWERS * MASK_CELLS**2 // 2  # of those that a candidate of such a size is one with
MEETING_BYTES = 32 * ANSWERS * (2 * MASK_CELLS) ** 2 // 2  # of those that its box meets
OBJECT_BYTES = 2048  # of a polygon, at most one a click


class Clicks(NamedTuple):
    """What a row of windows finds."""

    candidates: int
    """How many."""
    mask_bytes: int
    """Of their masks, packed."""

    def more(self, found: Found) -> Self:
        """Return it with what another window finds."""
        return type(self)(self.candidates + len(found.masks), self.mask_bytes + sum(m.nbytes for m in found.masks))


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """What asking takes, before the first window."""

    windows: int
    """How many windows there are to ask."""
    window_px: int
    """Their side."""
    embedding_bytes: int
    """Of the embedding of a window, kept on disk; 0 where none is kept."""
    per_megapixel: int
    """Bytes of the embeddings of a megapixel of the scene, where all its windows are asked; 0 where none is kept."""
    stages: dict[str, int]
    """Bytes of memory of a process, by stage."""
    allowed: int
    """What it may take."""

    @property
    def memory_bytes(self) -> int:
        """What the stage holds that needs most."""
        return max(self.stages.values())

    def said(self) -> dict[str, Any]:
        """Return it as JSON values."""
        embeddings = {"embedding_bytes": self.embedding_bytes, "embedding_bytes_per_megapixel": self.per_megapixel}
        return {
            "windows": self.windows,
            "window_px": self.window_px,
            **(embeddings if self.embedding_bytes else {}),
            "stage_bytes": self.stages,
            "memory_bytes": self.memory_bytes,
            "allowed_bytes": self.allowed,
        }


def plan_of(
    job: Job,
    site: Site,
    run: EngineOptions,
    *,
    windows: int | None = None,
    dates: int = 0,
    merging: Sequence[Clicks] = (),
) -> PromptPlan:
    """Return what a job of windows takes; raises MemoryBudgetError with the stage that needs more than is allowed.

    windows: those that are asked, None: all. dates: how many scenes a window is looked at in at once, nothing kept of
    them; 0: embeddings are kept. merging: what rows of windows find, all of which is held.
    """
    spec, allowed = job.spec, site.budget_bytes(run.memory_bytes)
    base = _base_bytes(job)
    live = 0 if spec.probed is None else int(LIVE_SHARE * spec.probed.live_bytes)
    rows, cols = job.resampling.scale
    read = int(spec.window_px**2 / (rows * cols)) * len(spec.bands) * (2 * np.dtype(job.scene.dtype).itemsize + 12)
    masks, kept = spec.window_px**2 * WINDOW_BYTES, 0 if dates else embedding_bytes(job)
    if dates:
        stages = {"look": base + site.lanes * (dates * (live + read + masks) + LANE_BYTES)}
    else:
        held = sum(row.mask_bytes + row.candidates * ROW_BYTES for row in merging)
        lane = live + HELD * kept + LANE_BYTES
        stages = {"embed": base + site.lanes * (lane + read) + held, "ask": base + site.lanes * (lane + masks) + held}
    if merging:
        stages["merge"] = merging_bytes(job, merging)
    height, width = job.scene.grid.shape
    count = job.windows.count
    plan = PromptPlan(
        windows=count if windows is None else windows,
        window_px=spec.window_px,
        embedding_bytes=kept,
        per_megapixel=round(10**6 * kept * count / (height * width)),
        stages=stages,
        allowed=allowed,
    )
    if plan.memory_bytes > allowed:
        stage = max(stages, key=stages.__getitem__)
        way = "ask with a larger --spacing-px or --within an area" if stage == "merge" else "take fewer lanes"
        raise MemoryBudgetError(
            f"stage {stage} of {job.scene.name} with {spec.name} needs {plan.memory_bytes / MIB:.0f} MiB, but "
            f"{allowed / MIB:.0f} MiB are allowed; allow more with --memory, or {way}"
        )
    return plan


def embedding_bytes(job: Job) -> int:
    """Return the bytes of a window's embedding as it is kept, with the bits of its valid pixels."""
    values = check_architecture(job.spec.arch).embedding_values  # type: ignore[attr-defined]  # of promptable ones
    return FP16_BYTES * values + job.spec.window_px**2 // 8


def assumed(job: Job, clicks: Sequence[int], spacing_px: int) -> list[Clicks]:
    """Return what rows of windows of so many clicks find, where each answer is kept and all are large objects.

    Masks are taken to have a box of MASK_CELLS spacings, or a window; who finds larger ones all over is told by
    ``refuse_held``.
    """
    box_bytes = min(MASK_CELLS * spacing_px, job.spec.window_px) ** 2 // 8
    return [Clicks(ANSWERS * count, ANSWERS * count * box_bytes) for count in clicks]


def merging_bytes(job: Job, rows: Sequence[Clicks]) -> int:
    """Return what a process holds while the candidates of all rows of windows are merged.

    | part | bytes | reason |
    |---|---|---|
    | base | as ever | the process with its network |
    | candidates | masks + ROW_BYTES each | all of a scene compete |
    | links | LINK_BYTES each | which of them are one |
    | a row | MEETING_BYTES each, and 8 times their masks | unpacked, with the rows of windows that reach into it |
    | objects | OBJECT_BYTES a click | polygons |
    """
    reach = 1 + (job.windows.rows.window - 1) // job.windows.rows.stride
    worked = max(
        (
            MEETING_BYTES * rows[i].candidates + 8 * sum(row.mask_bytes for row in rows[i : i + reach])
            for i in range(len(rows))
        ),
        default=0,
    )
    every = sum(row.candidates for row in rows)
    held = sum(row.mask_bytes for row in rows) + every * (ROW_BYTES + LINK_BYTES + OBJECT_BYTES // ANSWERS)
    return _base_bytes(job) + held + worked


def refuse_held(job: Job, rows: Sequence[Clicks], allowed: int) -> None:
    """Raise MemoryBudgetError where what was found is more than can be merged in ``allowed`` bytes."""
    needed = merging_bytes(job, rows)
    if needed > allowed:
        raise MemoryBudgetError(
            f"{job.scene.name}: {sum(row.candidates for row in rows)} masks are found, and merging them needs "
            f"{needed / MIB:.0f} MiB, but {allowed / MIB:.0f} MiB are allowed; the same command goes on with more "
            f"--memory, a higher --least-iou starts over"
        )


def _base_bytes(job: Job) -> int:
    return BASE_BYTES + weights_bytes([job.bundles[0].weights.bytes]) + GDAL_CACHE_BYTES
