"""ModelSpec: what a model bundle says about its network; the typed content of model.json."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from geoseg.models.derived import Derived, check, source_bands
from geoseg.models.detecting import Detecting
from geoseg.models.grouping import CENTRE, OFFSET, Grouping
from geoseg.models.outputs import MOST_CHANNELS, Channel, Output, of_schema_2
from geoseg.models.probed import Probed
from geoseg.models.value import Name, Physical, Text, Value, Views, a_name
from geoseg.models.values import TrainedValues
from geoseg.tiling.axis import Axis
from geoseg.values.bands import Band, BandSet
from geoseg.values.classes import ClassInfo, ClassMap
from geoseg.values.confidence import PolygonConfidence
from geoseg.values.scaling import Scaling

if TYPE_CHECKING:
    from geoseg.values.grid import Grid  # rasterio: `geoseg --help` needs none


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if not 1e-3 <= span[0] <= span[1] <= 1e5:
        raise ValueError(f"{span[0]:g}, {span[1]:g} is no range from 0.001 to 100000, low before high")
    return span


LEAST_STD = 1e-30  # what float32 divides by
Range = Annotated[tuple[float, float], AfterValidator(_rising)]  # of factors or metres


class Architecture(Value):
    """Which network: a key of ``geoseg.models.architectures.ARCHITECTURES`` and its options."""

    name: Name
    options: dict[str, Any] = Field(default_factory=dict)


class Normalisation(Value):
    """Per band, in the scene's physical units: the network sees (value - mean) / std, and 0 where invalid."""

    mean: tuple[Physical, ...]
    std: tuple[Physical, ...]

    @field_validator("std")
    @classmethod
    def _positive(cls, std: tuple[float, ...]) -> tuple[float, ...]:
        if not all(s >= LEAST_STD for s in std):
            raise ValueError(f"std must be positive, {LEAST_STD:g} or more, got {std}")
        return std


class Weights(Value):
    """The weights' file beside model.json, with its sha256."""

    file: str = Field("weights.safetensors", pattern=r"^\w[\w.-]*$", description="beside model.json: a name, no path")
    sha256: str
    bytes: int = Field(ge=0)


WITHOUT_OUTPUTS = ("objects", "promptable", "words")  # tasks of networks that give no values
MANY_TIMES = 4  # pixels so many times finer or coarser than a model's are not what it is for


class ModelSpec(Value):
    """Everything that a run needs to know about a network, but its weights."""

    schema_version: Literal[2] = Field(2, description="1 is read, as one softmax")
    name: Name
    task: Literal["semantic", "panoptic", "objects", "promptable", "words"] = "semantic"
    arch: Architecture
    bands: tuple[Band, ...] = Field(max_length=MOST_CHANNELS)
    optional: tuple[Name, ...] = Field((), description="bands that a scene may lack: the network sees their mean")
    derived: tuple[Derived, ...] = Field((), description="bands that are computed of others")
    gsd_m: float | None = Field(
        description="ground resolution it was trained at; None where any will do", ge=1e-3, le=1e5
    )
    gsd_range_m: Range | None = Field(
        None, description="scenes between these resolutions are read at their own, others at the nearer end"
    )
    suits_m: Range | None = Field(
        None, description="resolutions of the scenes it is for; None: those that it was trained at"
    )
    quantity: Literal["reflectance"] | None = Field(
        None, description="what the bands hold, where scenes may store it as whole numbers that stand for it"
    )
    normalisation: Normalisation
    values: TrainedValues | None = Field(None, description="the physical values that it was trained on")
    window_px: int = Field(512, gt=0, le=2**16)
    margin_px: int = Field(32, ge=0)
    ramp_px: int = Field(32, ge=0)
    multiple_px: int = Field(
        32, gt=0, le=2**16, description="the network's stride: windows and strides are multiples of it"
    )
    outputs: tuple[Output, ...] = Field(
        max_length=64, description="groups of channels, in order; none of the tasks objects, promptable and words"
    )
    classes: tuple[ClassInfo, ...]
    polygon_class: str | None = None
    grouping: Grouping | None = Field(
        None, description="of the task panoptic: which classes are things", exclude_if=lambda value: value is None
    )
    objects: Detecting | None = Field(
        None,
        description="what windows detect, of the task objects; of panoptic instead of grouping",
        exclude_if=lambda value: value is None,
    )
    tta: Views = Field("none", description="views of a window that a run averages by default")
    threshold: float = Field(0.5, gt=0, lt=1, description="p(polygon_class) from which a pixel belongs to it")
    calibration: Scaling | None = Field(
        None, exclude_if=lambda v: v is None, description="how blended probabilities become calibrated ones"
    )
    thresholds: dict[Name, Annotated[float, Field(ge=1e-3, lt=1)]] = Field(
        default_factory=dict,
        exclude_if=lambda v: not v,
        description="of every class: a pixel is of the one whose probability is the most times its threshold",
    )
    polygon_confidence: PolygonConfidence | None = Field(None, description="how likely its polygons are right")
    ground: Text = Field("", description="what ground it was trained or tuned on")
    scores: tuple[Text, ...] = Field((), max_length=64, description="places and their figures, a line each")
    licence: Text = ""
    attribution: Text = ""
    training: dict[str, Any] = Field(default_factory=dict)
    probed: Probed | None = Field(None, description="memory of a window, counted when the bundle was saved")

    _upgraded = model_validator(mode="before")(of_schema_2)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        BandSet(self.bands)  # both refuse what repeats
        ClassMap(self.classes)
        for name in (*(b.name for b in self.bands), *(c.name for c in self.classes)):
            a_name(name)
        stray = set(self.optional) - {b.name for b in self.bands}
        if stray or len(set(self.optional)) >= len(self.bands):
            raise ValueError(f"optional {', '.join(self.optional)}: some, and not all, of the bands")
        check(self.bands, self.derived)
        axis = Axis(self.window_px, self.window_px, margin=self.margin_px, ramp=self.ramp_px)
        axis.check_alignment(self.multiple_px)
        n = len(self.bands)
        if len(self.normalisation.mean) != n or len(self.normalisation.std) != n:
            raise ValueError(
                f"{n} bands, but {len(self.normalisation.mean)} means and {len(self.normalisation.std)} stds"
            )
        if self.values is not None and len(self.values.quantiles) != n:
            raise ValueError(f"{n} bands, but values of {len(self.values.quantiles)}")
        self._check_outputs()
        if self.calibration is not None and len(self.calibration.scale) != len(self.channels):
            raise ValueError(
                f"calibration of {len(self.calibration.scale)} channels, and there are {len(self.channels)}"
            )
        if self.thresholds and self.thresholds.keys() != {c.name for c in self.classes}:
            raise ValueError(f"thresholds of {', '.join(self.thresholds)}: one of every class is needed, or none")
        if self.polygon_class is not None and self.polygon_class not in {c.name for c in self.classes}:
            raise ValueError(f"polygon_class {self.polygon_class!r} is not a class")
        return self

    def _check_outputs(self) -> None:
        names = [group.name for group in self.outputs]
        if bool(names) == (self.task in WITHOUT_OUTPUTS):
            raise ValueError(f"outputs: {len(names)} groups; only {' and '.join(WITHOUT_OUTPUTS)} have none")
        if len(set(names)) < len(names):
            raise ValueError(f"outputs {', '.join(names)}: names are unique")
        if [group.activation for group in self.outputs].count("softmax") > 1:
            raise ValueError(f"outputs {', '.join(names)}: one of them may be a softmax, of the classes, and no more")
        self._check_things()
        ids = {c.id for c in self.classes}
        if self.task != "objects" and set(self._class_ids) != ids:
            raise ValueError(f"channels lead to classes {sorted(self._class_ids)}, the table has {sorted(ids)}")

    def _check_things(self) -> None:
        said = {key for key in ("grouping", "objects") if getattr(self, key) is not None}
        fits = {"panoptic": ({"grouping"}, {"objects"}), "objects": ({"objects"},)}.get(self.task, (set[str](),))
        if said not in fits:
            raise ValueError(
                f"{' and '.join(sorted(said)) or 'grouping'}: panoptic has grouping or objects, the task objects has "
                f"objects, and others have neither; this one is {self.task}"
            )
        names = {c.name for c in self.classes}
        faults = self.grouping.faults(self.outputs, names) if self.grouping else []
        if faults := [*faults, *(self.objects.faults(names, alone=not self.outputs) if self.objects else [])]:
            raise ValueError("; ".join(faults))

    def reading_gsd_m(self, grid: "Grid") -> float | None:
        """Return the resolution in metres at which a scene of ``grid`` is read; None for its own."""
        return reading_gsd_m(self.gsd_m, self.gsd_range_m, grid)

    @property
    def span_m(self) -> tuple[float, float] | None:
        """The resolutions of the scenes that it is for, in metres; None where any will do."""
        return self.suits_m or self.gsd_range_m or (None if self.gsd_m is None else (self.gsd_m, self.gsd_m))

    @property
    def trained_m(self) -> str:
        """In words, the resolutions that it was trained at or made for."""
        span = self.span_m
        return "any resolution" if span is None else " to ".join(f"{m:g}" for m in dict.fromkeys(span)) + " m"

    def times_off(self, grid: "Grid") -> float:
        """Return how many times finer or coarser a grid's pixels are than those it is for, on the worse axis; 1: not.

        Raises InputError where the grid has no place on Earth and the model is not for any resolution.
        """
        if self.span_m is None or not grid.has_size:
            return 1.0
        low, high = self.span_m
        return max(max(low / size, size / high, 1.0) for size in grid.ground_resolution_m())

    @property
    def band_set(self) -> BandSet:
        """The input bands in channel order."""
        return BandSet(self.bands)

    @property
    def source_bands(self) -> BandSet:
        """What a scene must hold: the bands that are not derived, then those that only derived ones need."""
        return source_bands(self.band_set, self.derived) if self.derived else self.band_set

    def inputs_of(self, bands: BandSet) -> tuple[int, ...]:
        """Return the input channel of each of ``bands``, which a scene was reduced to.

        Those that only derived bands need come last, and are no channel.
        """
        names = self.band_set.names
        return tuple(names.index(name) for name in bands.names if name in names)

    @property
    def class_map(self) -> ClassMap:
        """The class table."""
        return ClassMap(self.classes)

    @property
    def grouped(self) -> tuple[str, ...]:
        """Names of the groups of channels that objects are made of."""
        return () if self.grouping is None or self.grouping.by == "areas" else (CENTRE, OFFSET)

    @property
    def things(self) -> tuple[int, ...]:
        """Ids of the classes whose objects are told apart."""
        told = self.grouping or self.objects
        return () if told is None else tuple(self.class_map.by_name(name).id for name in told.things)

    @property
    def detects_alone(self) -> bool:
        """Whether its network lists objects, and answers nothing that is blended."""
        return self.objects is not None and not self.outputs

    @property
    def detected_ids(self) -> tuple[int, ...]:
        """Class ids by the numbers that a detector gives: of its objects alone, else of all its channels."""
        return self.things if self.detects_alone else self._class_ids

    @property
    def elsewhere(self) -> int | None:
        """Of the task objects: the class of ground without one; None where it is of no class."""
        return next((c.id for c in self.classes if self.detects_alone and c.id not in self.things), None)

    @property
    def out_channels(self) -> int:
        """How many channels the network answers, of all groups; of objects alone the number of their classes."""
        return len(self.things) if self.detects_alone else self.blended

    @property
    def blended(self) -> int:
        """How many channels are blended over a scene."""
        return sum(len(group.channels) for group in self.outputs)

    @property
    def softmax(self) -> Output | None:
        """The group whose channels are of the classes; None of a model of quantities alone."""
        return next((group for group in self.outputs if group.activation == "softmax"), None)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of the softmax."""
        return () if self.softmax is None else self.softmax.channels

    @property
    def interior(self) -> str | None:
        """Channel of the polygon class less the border of its objects; None where the model sees no border of them."""
        names = {c.name for c in self.channels}
        if "interior" in names:
            return "interior"
        return self.polygon_class if self.polygon_class and border_of(self.polygon_class) in names else None

    def channels_of(self, group: Output | None) -> slice:
        """Return which of the network's channels are those of a group; none of None."""
        if group is None:
            return slice(0)
        first = sum(len(before.channels) for before in self.outputs[: self.outputs.index(group)])
        return slice(first, first + len(group.channels))

    @property
    def vectors(self) -> tuple[slice, ...]:
        """The channels, row and col, of every signed group."""
        return tuple(self.channels_of(group) for group in self.outputs if group.activation == "signed")

    @property
    def scaling(self) -> Scaling:
        """The calibration of the channels of the softmax; one that changes nothing where there is none."""
        channels = len(self.class_of_channel)
        return self.calibration or Scaling((1.0,) * channels, (0.0,) * channels)

    @property
    def class_of_channel(self) -> tuple[int, ...]:
        """For each channel of the softmax, the position of its class in the class table."""
        if self.detects_alone:
            return tuple(range(len(self.classes)))  # as ``training`` paints what is detected
        position = {c.id: i for i, c in enumerate(self.classes)}
        return tuple(position[class_id] for class_id in self._class_ids)

    @property
    def _class_ids(self) -> tuple[int, ...]:
        return tuple(c.class_id for c in self.channels if c.class_id is not None)  # a softmax's channels all have one


def border_of(class_name: str) -> str:
    """Return the name of the channel of the border of a class's objects."""
    return f"{class_name} border"


def reading_gsd_m(gsd_m: float | None, span_m: tuple[float, float] | None, grid: "Grid") -> float | None:
    """Return the resolution in metres at which a scene of ``grid`` is read; None for its own.

    gsd_m: the one that a network was trained at; span_m: the range that it was trained over, instead. Raises InputError
    where the grid has no place on Earth and the range asks for its resolution.
    """
    return gsd_m if span_m is None else min(max(grid.mean_resolution_m(), span_m[0]), span_m[1])
