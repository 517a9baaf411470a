"""One evaluation from the files that it reads to those that it writes: errors, report, blind sheet."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geoseg.disk.places import refuse_file, vector_files
from geoseg.errors import ConfigError, InputError
from geoseg.jobs.evaluate.blind import key_file, write_blind
from geoseg.jobs.evaluate.compare import Comparison
from geoseg.jobs.evaluate.errors import write_errors
from geoseg.jobs.evaluate.judged import judge
from geoseg.jobs.evaluate.report import Report, write_report
from geoseg.jobs.evaluate.scores import Evaluation
from geoseg.options.evaluate import CompareOptions, EvaluateOptions
from geoseg.outputs.run_json import RUN_FILE, finished_run
from geoseg.scenes.open import open_scene
from geoseg.scenes.polygons import split_layer
from geoseg.scenes.scene import Scene

NO_COMPARISON = CompareOptions()


@dataclass(frozen=True, slots=True)
class Files:
    """What is written of an evaluation, None: not."""

    errors: Path | None = None
    """GeoTIFF of what is right and wrong."""
    report: Path | None = None
    """Page of scores and maps."""
    blind: Path | None = None
    """Page that shows two predictions as A or B; its key is written beside it."""
    scene: str | None = None
    """Imagery that the pages show; None: that of the run, where the prediction is a run's folder."""

    json: Path | None = None
    """The scores, which the verb writes."""

    def refuse(self, inputs: Iterable[str | Path], *, overwrite: bool) -> None:
        """Raise OutputError and ConfigError for what cannot be written: an input never is."""
        inputs = list(inputs)
        pages = [path for path in (self.report, self.blind) if path is not None]
        keys = [] if self.blind is None else [key_file(self.blind)]
        if odd := [path for path in pages if path.suffix.lower() not in (".html", ".htm")]:
            raise ConfigError(f"{odd[0]}: pages are HTML, so the name ends in .html")
        for path in (*pages, *keys, *(path for path in (self.errors, self.json) if path is not None)):
            refuse_file(path, overwrite=overwrite, inputs=inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """The scores of a prediction, and how they differ from those of an earlier one, if there is one."""

    scores: Evaluation
    comparison: Comparison | None


def evaluate_files(
    prediction: str | Path,
    truth: str | Path,
    options: EvaluateOptions,
    *,
    compare: CompareOptions = NO_COMPARISON,
    files: Files,
    overwrite: bool = False,
) -> Done:
    """Score a prediction, compare it with ``compare.against``, and write what ``files`` names.

    Raises InputError, ConfigError and OutputError.
    """
    read = (prediction, truth, options.aoi, options.zones, compare.against, files.scene)
    files.refuse(files_behind(*read), overwrite=overwrite)
    if files.blind is not None and compare.against is None:
        raise ConfigError("--blind: name the other prediction with --against")
    scene = _imagery(files, prediction)
    judged, near_m = judge(prediction, truth, options), options.tolerance_m
    earlier = None if compare.against is None else judge(compare.against, truth, options)
    scores = judged.scores(near_m)
    comparison = None if earlier is None else Comparison.of(earlier, judged, block_m=compare.block_m)
    if files.errors is not None:
        write_errors(files.errors, judged, near_m=near_m)
    if files.report is not None:
        changed = None if comparison is None else comparison.as_json()
        known = str(prediction), str(truth), options.aoi, judged, scores.as_json(), near_m
        write_report(files.report, Report(*known, against=compare.against, comparison=changed, scene=scene))
    if files.blind is not None and earlier is not None and scene is not None:
        names = str(compare.against), str(prediction)
        write_blind(files.blind, earlier, judged, names=names, scene=scene, seed=secrets.randbits(32))
    return Done(scores, comparison)


def files_behind(*named: str | Path | None) -> list[str | Path]:
    """Return the files that runs' folders, rasters and ``FILE:LAYER`` stand for; raises InputError for no run."""
    found: list[str | Path] = []
    for name in (n for n in named if n is not None):
        if Path(name).is_dir():
            found += [Path(name) / file for file in (RUN_FILE, *finished_run(Path(name)).facts["outputs"])]
        else:
            found += vector_files(split_layer(name)[0])
    return found


def _imagery(files: Files, prediction: str | Path) -> Scene | None:
    """Return the scene that pages show, None where there is none; raises ConfigError where a blind sheet lacks one."""
    if files.report is None and files.blind is None:
        return None
    if files.scene is not None:
        return open_scene(files.scene)
    if Path(prediction).is_dir():
        with suppress(InputError, LookupError):  # a run of elsewhere, whose scene is not here: maps stand without it
            return open_scene(finished_run(Path(prediction)).facts["scene"]["files"])
    if files.blind is not None:
        raise ConfigError("--blind: name the imagery with --scene; boundaries alone cannot be judged")
    return None
