"""What is found out of a bundle once it is trained: its calibration, its robustness card, windows for exports."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.cli.calibrate import as_text
from geoseg.cli.card import choice
from geoseg.cli.progress import tell
from geoseg.cli.table import table
from geoseg.errors import InputError
from geoseg.options.calibrate import CalibrateOptions

if TYPE_CHECKING:
    from geoseg.models.border import BorderProfile
    from geoseg.models.bundle import ModelBundle
    from geoseg.training.samples import Samples
    from geoseg.training.spec import TrainSpec
    from geoseg.training.split_plan import SplitPlan

log = logging.getLogger(__name__)
CARD_WINDOWS = 4
KEPT = "thresholds stay: fitted ones suit the watched ground alone (thresholds: f1; geoseg calibrate on your ground)"
CARD_HEAD = ["robustness: what is done to a window", "pixels of another class"]


def judged(bundle: "ModelBundle", spec: "TrainSpec", samples: "Samples") -> "ModelBundle":
    """Return the bundle with all of that, which is printed."""
    if bundle.spec.objects is not None:
        return bundle  # all of it is of values
    from geoseg.models.border import store, with_margin  # torch

    profile = _border(bundle, spec)
    if spec.margin_px is None:
        bundle = with_margin(bundle, profile)
    if bundle.spec.classes:
        bundle = calibrated_bundle(bundle, spec, plan=samples.plan)
        bundle = _with_card(bundle, spec)
    _store_windows(bundle, spec)
    if profile is not None:
        store(Path(bundle.path), profile)
        tell(f"windows: {choice(profile, bundle.spec)}")
    return bundle


def _border(bundle: "ModelBundle", spec: "TrainSpec") -> "BorderProfile | None":
    """Return how the bundle's labels change towards its windows' borders, measured on some of its scenes."""
    from geoseg.jobs.calibration import border_of
    from geoseg.training.scenes import open_labelled

    return border_of(bundle, [open_labelled(item) for item in spec.data[:CARD_WINDOWS]])


def calibrated_bundle(bundle: "ModelBundle", spec: "TrainSpec", *, plan: "SplitPlan | None") -> "ModelBundle":
    """Return the bundle calibrated on the validation areas; as it is where they are of one class."""
    from geoseg.models.bundle import write_bundle
    from geoseg.training.calibrate import calibrated, ground_of

    if spec.calibrate == "none":
        return bundle
    try:
        ground = ground_of(bundle, spec, ("validation",), plan=plan)
        options = CalibrateOptions(method=spec.calibrate, thresholds=spec.thresholds)
        found = calibrated(bundle, ground, options, anyway=True)
    except InputError as error:
        log.warning("not calibrated on the validation areas: %s", error)
        return bundle
    tell(as_text(found))
    if spec.thresholds == "keep":
        tell(KEPT)
    return write_bundle(Path(bundle.path), bundle.content(), spec=found.spec, file=bundle.weights.file)


def _with_card(bundle: "ModelBundle", spec: "TrainSpec") -> "ModelBundle":
    """Return the bundle with the robustness card of windows of scenes that it was validated on."""
    import numpy as np

    from geoseg.jobs.calibration import windows_of
    from geoseg.models.bundle import write_bundle
    from geoseg.selftest.robustness import card_rows, robustness
    from geoseg.training.scenes import open_labelled

    items = [item for item in spec.data if item.use in ("split", "validation")][:CARD_WINDOWS]
    windows = [windows_of(open_labelled(item), bundle, most=-(-CARD_WINDOWS // len(items))) for item in items]
    card = robustness(bundle, np.concatenate(windows)[:CARD_WINDOWS])
    tell(table(card_rows(card), head=CARD_HEAD))
    told = bundle.spec.model_copy(update={"training": {**bundle.spec.training, "robustness": card}})
    return write_bundle(Path(bundle.path), bundle.content(), spec=told, file=bundle.weights.file)


def _store_windows(bundle: "ModelBundle", spec: "TrainSpec") -> None:
    """Store calibration windows of the scenes that may be passed on beside the bundle, if there are any."""
    import numpy as np

    from geoseg.jobs.calibration import MOST, windows_of
    from geoseg.models.calibration import store
    from geoseg.training.scenes import open_labelled

    items = [item for item in spec.data if item.shippable][:MOST]
    if items:
        windows = [windows_of(open_labelled(item), bundle, most=MOST // len(items)) for item in items]
        store(Path(bundle.path), np.concatenate(windows), bundle.spec)
