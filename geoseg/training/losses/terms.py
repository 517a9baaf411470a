"""What a config says of the loss: names, weights and options. Configs are read without torch, so none is here."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from geoseg.models.outputs import Activation
from geoseg.models.value import Value
from geoseg.training.targets import BuildingTarget, ClassTarget
from geoseg.untrusted.text import shown
from geoseg.untrusted.validation import in_words, near_or_known

Group = tuple[int, ...]  # channels whose summed probability is judged as one
Share = Annotated[float, Field(ge=0, le=1)]


class Term(Value):
    """A summand of the loss; a number alone is its weight."""

    judges: ClassVar[Activation] = "softmax"
    outputs: ClassVar[tuple[Activation, ...]] = ()  # of outputs beside the target that it may judge
    regions: ClassVar[bool] = True  # whether it judges a target's regions; else its single channels
    measured: ClassVar[bool] = False  # whether it needs distances to the boundaries of the truth
    upright: ClassVar[bool] = False  # whether labels are boxes, which have to stay upright and whole

    weight: float = Field(1.0, gt=0, le=1e6, description="against the other terms'; their mean counts as 1")
    ramp: tuple[Share, Share] | None = Field(
        None, description="shares of the training between which its weight rises from nothing"
    )
    classes: tuple[str, ...] | None = Field(None, min_length=1, description="classes or channels it judges; null: all")

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, said: object) -> object:
        return {"weight": said} if isinstance(said, int | float) and not isinstance(said, bool) else said

    @model_validator(mode="after")
    def _rises(self) -> "Term":
        if self.ramp is not None and self.ramp[0] > self.ramp[1]:
            raise ValueError(f"ramp: {self.ramp[0]:g}, {self.ramp[1]:g}: give the start before the end")
        return self

    def risen(self, share: float) -> float:
        """Return how much of its weight counts after a ``share`` of the training.

        >>> [round(Term(ramp=(0.2, 0.6)).risen(share), 6) for share in (0.1, 0.4, 0.7)]
        [0.0, 0.5, 1.0]
        """
        start, end = self.ramp or (0.0, 0.0)
        return 1.0 if share >= end else max(0.0, share - start) / (end - start) if end > start else 0.0


class _OfPixels(Term):
    regions: ClassVar[bool] = False


class CrossEntropy(_OfPixels):
    """Mean of -log p of the true channel."""

    smoothing: float = Field(0.0, ge=0, lt=1, description="share of the truth that is spread over all channels")


class BinaryCrossEntropy(_OfPixels):
    """Every channel against all others, by a sigmoid of its own; of sigmoid outputs each channel by its own truth."""

    outputs: ClassVar[tuple[Activation, ...]] = ("sigmoid",)


class Focal(_OfPixels):
    """Cross entropy times (1 - p)^gamma of the true channel (Lin et al. 2017)."""

    gamma: float = Field(2.0, ge=0, le=10, description="how little pixels count that are right already")


class Dice(Term):
    """1 - F1 of each region (Milletari et al. 2016, V-Net)."""


class Jaccard(Term):
    """1 - IoU of each region."""


class Tversky(Term):
    """1 - TP / (TP + alpha FP + beta FN) of each region (Salehi et al. 2017)."""

    alpha: float = Field(0.3, ge=0, le=10, description="what an invented pixel costs")
    beta: float = Field(0.7, gt=0, le=10, description="what a missed pixel costs")


class FocalTversky(Tversky):
    """The Tversky loss of each region to the power of gamma (after Abraham and Khan 2019)."""

    gamma: float = Field(4 / 3, ge=1, le=10, description="how little regions count that are right already")


class Lovasz(Term):
    """The Lovász extension of 1 - IoU of each region (Berman et al. 2018)."""


class Boundary(Term):
    """Mean of p x signed distance to the region's boundary (Kervadec et al. 2019); begin it late, see ramp."""

    measured: ClassVar[bool] = True


class Hausdorff(Term):
    """Squared error x distance^alpha to the region's boundary (Karimi and Salcudean 2019, the one-sided form)."""

    measured: ClassVar[bool] = True
    alpha: float = Field(2.0, gt=0, le=10, description="how much more errors cost that are far from the boundary")


class BoxInst(Term):
    """Boxes for masks: nothing outside, something in all their rows and columns, one class where colours are alike."""

    upright: ClassVar[bool] = True
    classes: tuple[str, ...] = Field(min_length=1, description="classes that are drawn as boxes")
    pairwise: float = Field(1.0, ge=0, le=100, description="what neighbours of one colour count against projections")
    colour: float = Field(
        0.3, gt=0, le=10, description="largest difference of one colour: root mean square over bands, in their spread"
    )


class Huber(_OfPixels):
    """Half the squared error of a quantity, growing linearly beyond delta (Huber 1964)."""

    judges: ClassVar[Activation] = "linear"
    outputs: ClassVar[tuple[Activation, ...]] = ("linear",)
    delta: float = Field(1.0, gt=0, description="in the unit of the output")


class Centre(_OfPixels):
    """Squared error of the bumps at the centres of things (Cheng et al. 2020)."""

    judges: ClassVar[Activation] = "sigmoid"


class Offset(_OfPixels):
    """Absolute error of the way from pixels of things to their centres, as a share of range_px (Cheng et al. 2020)."""

    judges: ClassVar[Activation] = "signed"


TERMS: Mapping[str, type[Term]] = {
    "cross-entropy": CrossEntropy,
    "bce": BinaryCrossEntropy,
    "focal": Focal,
    "dice": Dice,
    "jaccard": Jaccard,
    "tversky": Tversky,
    "focal-tversky": FocalTversky,
    "lovasz": Lovasz,
    "boundary": Boundary,
    "hausdorff": Hausdorff,
    "boxinst": BoxInst,
    "huber": Huber,
    "centre": Centre,
    "offset": Offset,
}


def _read(said: object) -> object:
    """Return terms by name from names with weights or options, or from one name; raises ValueError."""
    if isinstance(said, str):
        said = {said: 1.0}
    if not isinstance(said, Mapping) or not said:
        raise ValueError(f"{shown(said)}: write names with weights, e.g. {{cross-entropy: 0.5, dice: 0.5}}")
    return {str(name): _term(str(name), options) for name, options in said.items()}


def _term(name: str, said: object) -> Term:
    if name not in TERMS:
        raise ValueError(f"no loss is called {shown(name)}; {near_or_known(name, TERMS)}")
    try:
        return TERMS[name].model_validate(said)
    except ValidationError as error:
        raise ValueError(f"{name}: {in_words(TERMS[name], error)}") from error


def _said(terms: Mapping[str, Term]) -> dict[str, object]:
    """Return what a config would say: a weight, or the options that are not the default's."""
    options = {name: term.model_dump(mode="json", exclude_defaults=True) for name, term in terms.items()}
    return {name: terms[name].weight if own.keys() <= {"weight"} else own for name, own in options.items()}


Terms = Annotated[dict[str, Term], BeforeValidator(_read), PlainSerializer(_said)]
Balance = Literal["auto", "inverse"]
CE_DICE: dict[str, Term] = {"cross-entropy": CrossEntropy(weight=0.5), "dice": Dice(weight=0.5)}
OF_THINGS: dict[str, Term] = {  # by what a toy of boxes and discs is learnt in minutes
    "cross-entropy": CrossEntropy(weight=1),
    "centre": Centre(weight=20),
    "offset": Offset(weight=8),
}


def groups_of(term: Term, target: BuildingTarget | ClassTarget) -> tuple[Group, ...]:
    """Return the channels of every region that a term judges; raises ValueError for classes that there are not."""
    if term.classes is None:
        return target.regions if term.regions else tuple((c,) for c in range(len(target.channels)))
    known: dict[str, Group] = {c.name: (i,) for i, c in enumerate(target.channels)}
    for one in target.class_table:
        known[one.name] = tuple(i for i, c in enumerate(target.channels) if c.class_id == one.id)
    stray = [name for name in term.classes if name not in known]
    if stray:
        raise ValueError(f"no class is called {shown(stray[0])}; {near_or_known(stray[0], known)}")
    return tuple(dict.fromkeys(known[name] for name in term.classes))
