"""Two predictions on one truth: what changes class by class, and whether any class falls too far."""

from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import Any

from geoseg.errors import FaultFoundError
from geoseg.jobs.evaluate.judged import Judged
from geoseg.jobs.evaluate.scores import rounded
from geoseg.trust import Change, changes, tally
from geoseg.values.classes import ClassMap

BLOCKS = 100  # of the judged ground where no size is given
LEAST_SIDE_PX = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the IoU of each class, by id, and their mean change from one prediction to another."""

    classes: ClassMap
    each: dict[int, Change]
    mean: Change
    blocks: int
    """With judged ground in them."""
    block_m: float

    @classmethod
    def of(cls, before: Judged, after: Judged, *, block_m: float | None = None) -> "Comparison":
        """Compare two predictions on the ground that both know; block_m: side of the blocks, None: 100 of them."""
        before, after = before.beside(after)
        pixel_m, (height, width) = after.grid.mean_resolution_m(), after.grid.shape
        chosen = sqrt(height * width / BLOCKS) if block_m is None else block_m / pixel_m
        side_px = max(ceil(chosen), LEAST_SIDE_PX if block_m is None else 1)
        counts = [tally(s.truth, s.answers, max_id=s.classes.max_id, side_px=side_px) for s in (before, after)]
        each, mean = changes(*counts)
        known = {c.id: each[c.id] for c in after.classes}
        return cls(after.classes, known, mean, len(counts[0]), side_px * pixel_m)

    def refuse_worse(self, limit: float) -> None:
        """Raise FaultFoundError where the IoU of a class falls by more than ``limit``."""
        fallen = [(c, self.each[c.id]) for c in self.classes if self.each[c.id].difference < -limit]
        if fallen:
            told = "; ".join(f"{c.name} from {x.before:.4f} to {x.after:.4f}{_interval(x)}" for c, x in fallen)
            raise FaultFoundError(f"IoU falls by more than {limit:g}: {told}")

    def as_json(self) -> dict[str, Any]:
        """Return all as JSON values; what has no value is null."""
        return {
            "blocks": self.blocks,
            "block_m": round(self.block_m, 6),
            "classes": [{"id": c.id, "name": c.name, **_change_json(self.each[c.id])} for c in self.classes],
            "mean": {"name": "mean", **_change_json(self.mean)},
        }


def _change_json(change: Change) -> dict[str, float | None]:
    return {name: rounded(getattr(change, name)) for name in ("before", "after", "difference", "low", "high")}


def _interval(change: Change) -> str:
    return f" (95 % of draws: {change.low:+.4f} to {change.high:+.4f})" if isfinite(change.low) else ""
