"""How a run is done, as its user chooses it: frozen values with the defaults of the command line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geoseg.engine.views import VIEWS
from geoseg.errors import ConfigError

if TYPE_CHECKING:
    from geoseg.polygons import FootprintRules

ENGINE_NAMES = ("threads", "sync")  # the keys of geoseg.engine.engines.ENGINES
Method = Literal["regular", "contour"]
Split = Literal["borders", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a prediction.

    device: auto, cpu or cuda; engine: threads or sync; lanes: CPU threads that run the network (None: one per core; one
    for a GPU); batch: windows per network call; memory_bytes: budget (None: 80 % of what is free); chunk_px: side of a
    chunk, 512 x 2^n (None: chosen by the budget); tta: test-time augmentation, a key of ``geoseg.engine.views.VIEWS``
    (None: the model's own); threshold: for the model's polygon class (None: the model's own);
    probabilities: write p of every class; overwrite: replace finished outputs.
    """

    device: str = "auto"
    engine: str = "threads"
    lanes: int | None = None
    batch: int = 1
    memory_bytes: int | None = None
    chunk_px: int | None = None
    tta: str | None = None
    threshold: float | None = None
    probabilities: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINE_NAMES:
            raise ConfigError(f"engine {self.engine!r}: choose {', '.join(ENGINE_NAMES)}")
        if self.batch < 1:
            raise ConfigError(f"batch {self.batch}: at least 1 is needed")
        if self.tta is not None and self.tta not in VIEWS:
            raise ConfigError(f"tta {self.tta!r}: choose {', '.join(VIEWS)}")
        if self.lanes is not None and self.lanes < 1:
            raise ConfigError(f"lanes {self.lanes}: at least 1 is needed")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ConfigError(f"threshold {self.threshold}: it lies between 0 and 1")
        if self.chunk_px is not None and (self.chunk_px < 512 or self.chunk_px & (self.chunk_px - 1)):
            raise ConfigError(f"chunk-px {self.chunk_px}: choose 512, 1024, 2048, … (512 x 2^n)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonOptions:
    """Options of the polygons, in true ground metres; see ``geoseg.polygons.FootprintRules`` for all but split.

    split: "borders" cuts touching buildings apart where the model sees a border between them, "none" leaves them
    merged; a model without an interior channel never cuts.
    """

    min_area_m2: float = 5.0
    min_hole_m2: float = 2.0
    tolerance_m: float | None = None
    method: Method = "regular"
    split: Split = "borders"

    @property
    def splits(self) -> bool:
        """Whether touching buildings are cut apart."""
        return self.split == "borders"

    def rules(self, threshold: float) -> "FootprintRules":
        """Return the rules of the polygons at ``threshold``; raises ConfigError for numbers that make no sense."""
        from geoseg.polygons import FootprintRules  # numba and shapely: `geoseg --help` needs neither

        return FootprintRules(
            threshold=threshold,
            min_area_m2=self.min_area_m2,
            min_hole_m2=self.min_hole_m2,
            tolerance_m=self.tolerance_m,
            method=self.method,
        )
