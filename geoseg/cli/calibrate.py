"""geoseg calibrate: a bundle whose probabilities say how often they are right on the user's own ground."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli.options import DataFolder, Overwrite, spread
from geoseg.cli.options import Output as BundleFolder
from geoseg.cli.table import table
from geoseg.config.load import load_config
from geoseg.config.trainings import TrainConfig
from geoseg.disk.files import atomic
from geoseg.errors import ConfigError
from geoseg.options.calibrate import CalibrateOptions

if TYPE_CHECKING:
    from geoseg.training.calibrate import Calibrated
    from geoseg.trust.calibration import Reliability

PLOT_FILE = "reliability.png"
COLOURS = {"before": "#8a8f98", "after": "#2b6cb0"}


@spread
def calibrate(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A model bundle, by folder or name.")],
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="With job: train; its validation and test ground counts."),
    ],
    *,
    output: BundleFolder,
    data: DataFolder = None,
    overwrite: Overwrite = False,
    options: CalibrateOptions,
) -> None:
    """Fit a model's probabilities and thresholds to labelled ground, without training, and write it as a bundle.

    Half of the ground is fitted to, the other half shows the error before and after. Ground of less than 50 objects of
    the class that is drawn as polygons, or 1 ha of another class, is refused.
    """
    from geoseg.models.bundle import load_model, refuse_bundle, write_bundle

    loaded = load_config(config, changes={} if data is None else {"data_folder": str(data)})
    if not isinstance(loaded, TrainConfig):
        raise ConfigError(f"{config}: job: {loaded.job}; labelled ground is named by job: train")
    refuse_bundle(output, overwrite=overwrite, beside=(PLOT_FILE,))
    from geoseg.models.calibration import BORDER_FILE
    from geoseg.models.calibration import FILE as WINDOWS_FILE
    from geoseg.training.calibrate import calibrated, ground_of

    given = load_model(bundle)
    found = calibrated(given, ground_of(given, loaded.spec, ("validation", "test")), options)
    write_bundle(output, given.content(), spec=found.spec, file=given.weights.file)
    for name in (WINDOWS_FILE, BORDER_FILE):
        if (Path(given.path) / name).is_file():
            shutil.copyfile(Path(given.path) / name, output / name)
    plot(output / PLOT_FILE, found, title=f"Calibration of {given.spec.name}")
    print(as_text(found))
    print(f"model {output}, {PLOT_FILE}")


def as_text(found: "Calibrated") -> str:
    """Return what was found as tables."""
    names = [c.name for c in found.spec.classes]
    rows = [
        [name, f"{t:.3f}", _number(before), _number(after)]
        for name, t, before, after in zip(names, _thresholds(found), found.f1_before, found.f1_after, strict=True)
    ]
    scaling = found.spec.calibration
    assert scaling is not None  # calibrated has fitted one
    alike = len(set(scaling.scale)) == 1 and not any(scaling.bias)
    how = f"temperature {1 / scaling.scale[0]:.3g}" if alike else f"scales {scaling.scale}, biases {scaling.bias}"
    return "\n\n".join(
        (
            f"{how}; {found.pixels} pixels show: expected calibration error {found.before.ece:.4f} before, "
            f"{found.after.ece:.4f} after",
            table(rows, head=["class", "threshold", "F1 before", "F1 after"]),
        )
    )


def _thresholds(found: "Calibrated") -> list[float]:
    from geoseg.training.calibrate import thresholds_of

    return [float(t) for t in thresholds_of(found.spec)]


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.4f}"  # noqa: PLR0124  # true for NaN alone


def plot(path: Path, found: "Calibrated", *, title: str) -> None:
    """Draw how often pixels of a confidence are right, before and after; on the diagonal as often as it says."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for name, one in (("before", found.before), ("after", found.after)):
        _curve(axes, one, colour=COLOURS[name], label=f"{name}, error {one.ece:.3f}")
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _curve(axes: object, one: "Reliability", *, colour: str, label: str) -> None:
    """Draw the bins that hold a pixel in a thousand or more, as large as they are."""
    total = max(1, sum(one.count))
    there = [i for i, n in enumerate(one.count) if n * 1000 >= total]
    x, y = ([values[i] for i in there] for values in (one.confidence, one.right))
    axes.plot(x, y, "-", color=colour, label=label)  # type: ignore[attr-defined]
    axes.scatter(x, y, s=[4 + 120 * one.count[i] / total for i in there], color=colour)  # type: ignore[attr-defined]
