"""What a training run is told: data, target, split, augmentation, schedule. Frozen, and strict about unknown keys."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from geoseg.errors import ConfigError
from geoseg.models.adapt import Policy
from geoseg.models.architectures import NETWORKS, check_architecture
from geoseg.models.derived import Derived
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation, Range
from geoseg.models.value import Value, Views
from geoseg.training.chips import expanded
from geoseg.training.data_spec import BlockSplit, LabelledScene, Split
from geoseg.training.detected import ObjectsTarget
from geoseg.training.losses.terms import CE_DICE, OF_THINGS, Balance, Terms, groups_of
from geoseg.training.quantities import LearntOutput
from geoseg.training.targets import BuildingTarget, ClassTarget, NoTarget
from geoseg.training.things import CountedTarget, ThingsTarget
from geoseg.untrusted.validation import in_words, near_or_known
from geoseg.values.bands import Band, BandSet

WEIGHTS_NAME = re.compile(r"(torchgeo|timm|smp):([\w./+-]+)")  # of weights in a library's tables, no file
MOVING = ("rotate", "elastic")  # augmentation that leaves no box a box
USUAL_PX = 32  # windows are multiples of it, so that networks can be exchanged


class EncoderStart(Value):
    """Weights that the network's encoder starts from, and how it is trained."""

    weights: str | None = Field(
        None,
        description="safetensors file, checkpoint or folder of transformers; or torchgeo:, timm: or smp: and a name; "
        "null: what start_from gives it",
    )
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{8,64}$", description="what the file's begins with")
    bands: str | None = Field(None, description="the input bands of the weights, in order; null: as the file says")
    sensor: str | None = Field(None, description="sensor that gives these bands wavelengths")
    mean: tuple[float, ...] | None = Field(None, description="of each of these bands, as a share of white")
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(None, description="see mean")
    rate: float = Field(0.3, gt=0, le=1, description="its learning rate, as a share of the decoder's")
    white: float = Field(255.0, gt=0, description="value of the scenes that is the end of the encoder's input range")
    freeze_epochs: int = Field(0, ge=0, description="epochs in which it stays as it is")
    freeze_until_stall: bool = Field(False, description="it stays as it is until validation is no better than before")

    def based_on(self, folder: Path) -> "EncoderStart":
        """Return the same with a relative path taken from ``folder``; a name stays a name."""
        if self.weights is None or WEIGHTS_NAME.fullmatch(self.weights):
            return self
        return self.model_copy(update={"weights": str(folder / self.weights)})


class Teacher(Value):
    """A model of whose answers a network learns beside the labels, or instead of them (distillation)."""

    model: str = Field(description="its bundle: any network and any bands that the scenes have, of the same classes")
    weight: float = Field(0.5, gt=0, le=1, description="of its answers in the loss; labels have the rest")
    confidence: float = Field(
        0.5, ge=0, le=1, description="probability from which its class is the label in entries without labels"
    )

    @model_validator(mode="before")
    @classmethod
    def _model_alone(cls, said: object) -> object:
        return {"model": said} if isinstance(said, str) else said


class Augmentation(Value):
    """Random changes of a training window; the dihedral group D4 is always in."""

    scale: Range = (0.7, 1.4)
    gsd_m: Range | None = Field(None, description="ground resolution of a window, drawn evenly by ratio; null: scale")
    rotate: bool = True
    gain: float = 0.25
    band_gain: float = 0.1
    offset: float = 0.1
    gamma: Range = (0.7, 1.4)
    noise: float = 0.05
    blur: float = Field(0.2, ge=0, le=1, description="share of windows that are blurred")
    sharpen: float = Field(0.0, ge=0, le=1, description="share of windows whose edges are sharpened")
    coarse: float = Field(0.0, ge=0, le=1, description="share of windows shown as a coarser sensor would see them")
    pansharpen: float = Field(
        0.0, ge=0, le=1, description="share of windows whose colours are coarser than their detail, and misplaced"
    )
    jpeg: float = Field(0.0, ge=0, le=1, description="share of windows compressed as JPEG")
    gray: float = Field(0.0, ge=0, le=1, description="share of windows whose bands are mixed with their mean")
    drop: float = Field(0.0, ge=0, le=1, description="share of windows that lack the optional bands")
    band_drop: float = Field(0.0, ge=0, le=1, description="share of windows that lack one band, whichever")
    haze: float = Field(0.0, ge=0, le=1, description="share of windows in haze, more of it in short wavelengths")
    shadow: float = Field(0.0, ge=0, le=1, description="share of windows with a strip in shadow")
    elastic: float = Field(0.0, ge=0, le=1, description="share of windows that are bent; not for buildings")
    cutmix: float = Field(0.0, ge=0, le=1, description="share of windows that get a rectangle of another")
    mixup: float = Field(0.0, ge=0, le=1, description="share of batches of which each window is mixed with another")
    copy_paste: float = Field(0.0, ge=0, le=1, description="share of windows that get rare objects of another")
    coarse_first: float = Field(
        0.0, ge=0, le=1, description="part of the training in which windows become as fine as scale or gsd_m say"
    )
    erase: float = Field(0.3, ge=0, le=1, description="share of windows in which a rectangle becomes nodata")


class Schedule(Value):
    """How long and how fast."""

    epochs: int = Field(30, gt=0, description="at most")
    steps_per_epoch: int = Field(80, gt=0, description="steps between two validations")
    batch: int = Field(8, gt=0, description="windows that go through the network at once")
    crop_px: int = Field(256, gt=0, multiple_of=32, description="side of a training window")
    accumulate: int = Field(1, gt=0, description="batches whose gradients make a step together")
    learning_rate: float = Field(2e-3, gt=0, description="at its peak")
    rate: Literal["one-cycle", "cosine", "constant"] = Field(
        "one-cycle", description="how the learning rate goes: up and down, with or without momentum, or not at all"
    )
    clip: float = Field(1.0, ge=0, description="largest norm of a step's gradients; 0: any")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of the network's layers; auto: half where that is faster, losses are always in fp32"
    )
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")
    ema: float = Field(0.995, ge=0, lt=1, description="how slowly the averaged weights follow")
    keep: Literal["best", "last"] = Field("best", description="the epoch whose averaged weights become the model")
    deep_supervision: bool = Field(True, description="networks that answer at several levels learn at all of them")
    validation: Literal["run", "blocks"] = Field(
        "run", description="scores: of maps as a run makes them; or, faster, without margins, blending and turned views"
    )
    patience: int = Field(10, gt=0, description="epochs without a better validation score after which it stops")
    rare_share: float = Field(
        1 / 3, ge=0, le=1, description="share of windows around a class with less than a tenth of the labels"
    )
    hard_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of windows where a review corrected labels, or the network before was wrong",
    )
    border_weight: float = Field(2.0, ge=1, description="weight of pixels at and near borders in losses of pixels")
    class_weights: Balance | dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="weights of pixels by channel in losses of pixels, 1 where none is named; auto, inverse: counted",
    )
    seed: int = Field(0, description="of windows and weights: a run of the same seed is the same")


class TrainSpec(Value):
    """One training run."""

    name: str
    data: tuple[LabelledScene, ...] = Field(min_length=1)
    target: BuildingTarget | ClassTarget | ThingsTarget | ObjectsTarget | NoTarget = Field(discriminator="kind")
    outputs: tuple[LearntOutput, ...] = Field((), description="groups of channels beside the classes, see data.truth")
    bands: str = Field(description="the model's input bands, e.g. red,green,blue")
    derived: tuple[str, ...] = Field(
        (), description="further input channels that are computed: ndvi, ndwi, ndbi, name=(a-b)/(a+b) or name=a-b"
    )
    optional: str = Field("", description="those of the bands that a scene may lack, e.g. nir; see augmentation.drop")
    sensor: str | None = None
    gsd_m: float | None = Field(None, gt=0)
    gsd_range_m: Range | None = Field(None, description="scenes in this range are read at their own resolution")
    arch: Architecture = Architecture(name="compact-unet", options={"widths": [24, 48, 96, 160, 240]})
    start_from: str | None = Field(None, description="a bundle whose weights to start from; its input layer is adapted")
    encoder: EncoderStart | None = None
    teacher: Teacher | None = Field(None, description="a model to learn of: a bundle, or its options")
    stem: Policy = Field("copy", description="where filters come from of bands that the weights do not know")
    normalisation: Normalisation | None = Field(None, description="null: the encoder's, else that of the training data")
    split: Split | BlockSplit | None = Field(
        None, discriminator="by", description="strips of every scene, or blocks of ground: docs/training.md"
    )
    loss: Terms = Field(CE_DICE, description="losses by name, with a weight or options")
    augmentation: Augmentation = Augmentation()
    schedule: Schedule = Schedule()
    calibrate: Literal["temperature", "vector", "none"] = Field(
        "temperature", description="how probabilities are fitted to the validation areas"
    )
    thresholds: Literal["keep", "f1"] = Field(
        "keep",
        description="of the classes; f1: those that are best on the validation areas",
    )
    window_px: int | None = Field(None, description="null: the network's default, as margin_px and ramp_px")
    margin_px: int | None = None
    ramp_px: int | None = None
    tta: Views = Field("none", description="views of a window that runs average by default")
    suits_m: Range | None = Field(None, description="resolutions of the scenes that the model is for")
    ground: str = Field("", description="what ground it is trained on, in words")
    licence: str = ""
    attribution: str = ""

    @field_validator("split", mode="before")
    @classmethod
    def _strips_unsaid(cls, split: object) -> object:
        return {"by": "strips", **split} if isinstance(split, dict) else split

    @model_validator(mode="before")
    @classmethod
    def _usual_loss(cls, said: object) -> object:
        """Let things be judged where nothing is said of the loss."""
        target = said.get("target") if isinstance(said, dict) else None
        kind = target.get("kind") if isinstance(target, dict) else getattr(target, "kind", None)
        return {"loss": OF_THINGS, **said} if isinstance(said, dict) and kind == "things" else said

    @model_validator(mode="after")
    def _has_splits(self) -> Self:
        open_ends = [d for d in self.data if d.use == "split" and (d.split or self.split) is None]
        if open_ends:
            named = next(iter(open_ends[0].label_files), open_ends[0].name)
            raise ValueError(f"split is missing, and {named} says neither use nor a split of its own")
        return self

    @model_validator(mode="after")
    def _has_truth(self) -> Self:
        names = [output.name for output in self.outputs]
        if not names and isinstance(self.target, NoTarget):
            raise ValueError("outputs: name one or more, a target of quantities has nothing else to learn")
        for item in self.data:
            taught = self.teacher is not None and item.use == "train" and isinstance(self.target, ClassTarget)
            if not (item.labels or isinstance(self.target, NoTarget) or taught):
                raise ValueError(f"data: {item.name} has no labels")
            if stray := sorted(set(item.truth) - set(names)):
                raise ValueError(f"data: {item.name}: truth of {stray[0]}; {near_or_known(stray[0], names)}")
        if self.schedule.hard_share > 0 and isinstance(self.target, NoTarget):
            raise ValueError("schedule.hard_share: it is of wrong classes, and quantities have none; leave it out")
        if untold := [name for name in names if not any(name in item.truth for item in self.data)]:
            raise ValueError(f"outputs: {untold[0]}: no entry of data has its truth")
        return self

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if self.encoder is not None and self.encoder.weights is None and self.start_from is None:
            raise ValueError("encoder: weights is missing; name them, or a bundle to start_from")
        return self

    @model_validator(mode="after")
    def _can_be_taught(self) -> Self:
        if self.teacher is None:
            return self
        if self.target.kind not in ("buildings", "classes"):
            raise ValueError(f"teacher: it says classes, and the target is of {self.target.kind}; leave it out")
        if any(not item.labels for item in self.data) and self.target.border is not None:
            raise ValueError("teacher: it knows no borders of objects; every entry of data needs labels for them")
        if upright := [name for name, term in self.loss.items() if term.upright]:
            raise ValueError(f"teacher: {upright[0]} takes labels for boxes, and its answers are none; leave it out")
        return self

    @model_validator(mode="after")
    def _makes_a_model(self) -> Self:
        """Refuse before the first epoch what the bundle would refuse after it."""
        if not self.target.channels:  # its labels bring the classes: see resolve
            return self
        bands = len(self.band_set)
        try:
            model = self.of_model(Normalisation(mean=(0.0,) * bands, std=(1.0,) * bands))
        except ValidationError as error:
            raise ValueError(in_words(ModelSpec, error)) from error
        network = check_architecture(self.arch)
        wanted = (model.objects is not None, not model.detects_alone)
        if (network.detects, network.blends) != wanted:
            fits = [
                name
                for name, kind in NETWORKS.items()
                if kind.detects and wanted in ((True, kind.blends), (False, True))
            ]
            known = ", ".join(fits)
            told = f"objects{' with things' if wanted[0] and wanted[1] else ''} is learnt by {known}, and by no other"
            raise ValueError(f"arch: target.kind {told}; not {self.arch.name}")
        if network.detects and ((model.detects_alone and self.loss != CE_DICE) or self.outputs):
            raise ValueError(f"{'outputs' if self.outputs else 'loss'}: {self.arch.name} has its own; leave it out")
        for key, size_px in (("window_px", model.window_px), ("schedule.crop_px", self.schedule.crop_px)):
            if fault := network.fault_of_window(size_px):
                raise ValueError(f"{key}: {self.arch.name}: {fault}")
        if self.schedule.batch < network.least_batch:
            raise ValueError(
                f"schedule.batch: {self.arch.name} takes batches of {network.least_batch} or more in training, not "
                f"{self.schedule.batch}"
            )
        weights = self.schedule.class_weights
        stray = [] if isinstance(weights, str) else sorted(set(weights) - {c.name for c in self.target.channels})
        if stray:
            raise ValueError(f"class_weights of {', '.join(stray)}, which no channel is called")
        return self

    @model_validator(mode="after")
    def _judges_its_target(self) -> Self:
        judged = {"softmax", *(group.activation for group in self.target.more)}
        if missing := [group.name for group in self.target.more if group.name not in self.loss]:
            raise ValueError(f"loss: {', '.join(missing)}: of things it is needed, e.g. {{{missing[0]}: 10}}")
        mixing = [name for name in ("cutmix", "copy_paste", "mixup") if getattr(self.augmentation, name) > 0]
        if isinstance(self.target, CountedTarget) and mixing:
            raise ValueError(f"augmentation.{mixing[0]}: it cuts objects, which are learnt one by one; leave it out")
        if (self.outputs or self.teacher) and mixing:
            told = "outputs" if self.outputs else "answers of a teacher"
            raise ValueError(f"augmentation.{mixing[0]}: {told} are not mixed; leave it out")
        for name, term in self.loss.items() if self.class_channels else ():
            if term.judges not in judged:
                raise ValueError(f"loss: {name} is of {term.judges} outputs, and the target is of classes")
            try:
                groups_of(term, self.target)
            except ValueError as error:
                raise ValueError(f"loss: {name}: {error}") from error
        if upright := [name for name, term in self.loss.items() if term.upright]:
            turned = [name for name in (*MOVING, *mixing) if getattr(self.augmentation, name)]
            if turned:
                raise ValueError(f"augmentation.{turned[0]}: {upright[0]} needs boxes upright and whole; leave it out")
            if len(self.target.channels) > len(self.target.class_table):
                raise ValueError(f"target: {upright[0]} learns no borders; take kind: classes, without border_m")
        return self

    @property
    def class_channels(self) -> tuple[Channel, ...]:
        """The channels of the classes, which come first; none of a target of quantities."""
        return () if isinstance(self.target, NoTarget) else self.target.channels

    @property
    def band_set(self) -> BandSet:
        """The input bands in channel order."""
        own = BandSet.parse(self.bands, sensor=self.sensor)
        return BandSet((*own, *(Band(one.band) for one in self.derived_bands)))

    @property
    def derived_bands(self) -> tuple[Derived, ...]:
        """The input channels that are computed; raises ConfigError."""
        return tuple(Derived.parse(text) for text in self.derived)

    @property
    def optional_bands(self) -> tuple[str, ...]:
        """Names of the bands that a scene may lack."""
        return BandSet.parse(self.optional, sensor=self.sensor).names if self.optional else ()

    def of_model(self, normalisation: Normalisation) -> ModelSpec:
        """Return what the bundle will say of its network; raises ValidationError."""
        network = check_architecture(self.arch)
        window_px, margin_px, ramp_px = network.windows
        return ModelSpec(
            name=self.name,
            arch=self.arch,
            bands=self.band_set.bands,
            optional=self.optional_bands,
            derived=self.derived_bands,
            gsd_m=self.gsd_m,
            gsd_range_m=self.gsd_range_m,
            normalisation=normalisation,
            window_px=window_px if self.window_px is None else self.window_px,
            margin_px=margin_px if self.margin_px is None else self.margin_px,
            ramp_px=ramp_px if self.ramp_px is None else self.ramp_px,
            multiple_px=USUAL_PX if USUAL_PX % network.multiple_px == 0 else network.multiple_px,
            tta=self.tta,
            task="objects"
            if self.target.detects_alone
            else "panoptic"
            if self.target.grouping or self.target.detecting
            else "semantic",
            outputs=()
            if self.target.detects_alone
            else (
                *([Output(channels=self.class_channels)] if self.class_channels else []),
                *self.target.more,
                *(output.plain for output in self.outputs),
            ),
            grouping=self.target.grouping,
            objects=self.target.detecting,
            classes=self.target.class_table,
            polygon_class=self.target.polygon_class,
            suits_m=self.suits_m,
            ground=self.ground,
            licence=self.licence,
            attribution=self.attribution,
        )

    def with_fold(self, fold: int, *, folds: int | None = None) -> Self:
        """Return the same run in which another part validates; raises ConfigError where the split has no such part.

        folds: into how many parts the ground is divided, instead of as many as the split says.
        """
        if not isinstance(self.split, BlockSplit):
            raise ConfigError("folds: only blocks and groups have them; say split: {by: blocks}, or site, date, sensor")
        if folds is not None and self.split.keep is not None:
            raise ConfigError("split.keep: kept blocks have the same role in every fold; leave it out, or --folds")
        count = folds or self.split.folds
        if count is None or fold >= count:
            raise ConfigError(f"fold {fold}: split.folds says into how many parts blocks are divided, from 0")
        return self.model_copy(update={"split": self.split.model_copy(update={"fold": fold, "folds": count})})

    def resolve(self, folder: Path) -> "TrainSpec":
        """Return the same run with all data paths under ``folder``, an entry for each chip, and classes.

        Raises what ``expanded`` and ``with_classes`` do.
        """
        data = tuple(one for item in self.data for one in expanded(item.under(folder)))
        changes: dict[str, object] = {"data": data}
        if isinstance(self.split, BlockSplit) and self.split.keep is not None:
            changes["split"] = self.split.model_copy(update={"keep": str(folder / self.split.keep)})
        if self.target.channels:
            return self.model_copy(update=changes)
        from geoseg.training.palette import with_classes

        assert isinstance(self.target, ClassTarget)  # buildings have channels
        keys = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return type(self).model_validate({**keys, **changes, "target": with_classes(self.target, data)})
        except ValidationError as error:
            raise ConfigError(in_words(type(self), error)) from error
