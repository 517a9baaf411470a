"""geoseg verify: does this scene, on this machine, come out the same however it is run?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli.options import JsonOut, SceneFlags, TalkFlags, spread
from geoseg.cli.predict import Models, named
from geoseg.cli.stopping import terminable
from geoseg.cli.table import print_json, table
from geoseg.errors import FaultFoundError
from geoseg.options.run import RunOptions

if TYPE_CHECKING:
    from geoseg.scenes.scene import Scene
    from geoseg.selftest.isolated_run import Ran
    from geoseg.selftest.verify import Report

COLUMNS = ("network", "engine", "chunk px", "chunks"), ("peak MB", "planned MB", "missing", "s")  # outputs between them
CARD_WINDOWS = 8
DIGITS = 8  # of a hash, in the table; --json has all


@spread
def verify(
    scene: SceneFlags,
    *,
    run: RunOptions,
    talk: TalkFlags,
    model: Models = None,
    crop_px: Annotated[int, typer.Option(min=1, help="Side of the square in the scene's middle that is run.")] = 1536,
    scratch: Annotated[
        Path | None,
        typer.Option(help="Folder for outputs, removed afterwards; workers of a cluster must see it.", exists=True),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="See instead how many pixels change where images differ a little."),
    ] = False,
    json_out: JsonOut = False,
) -> None:
    """Run probes and a model over a crop in several ways, and compare bytes, memory and chunks; exit code 8 at a fault.

    Each run has a process of its own: threads, sync, local and the engine named, chunks of several sizes, one run that
    is stopped and resumed. The probes (identity, constant, ramp) are networks whose answer is known; that of a detector
    (oracle) is never wrong about drawn objects, each of which must come back pixel for pixel.
    """
    if robustness:
        _print_card(scene.open(), named(model), as_json=json_out)
        return
    from geoseg.selftest.verify import verify as run_verify

    with terminable(), talk.listener() as listen:
        report = run_verify(scene.open(), named(model), options=run, crop_px=crop_px, scratch=scratch, listen=listen)
    if json_out:
        print_json(report.as_json())
    else:
        print(as_text(report))
    if report.faults:
        first = report.faults[0]
        raise FaultFoundError(
            f"{report.scene}: {len(report.faults)} of {len(report.findings)} checks found a fault, first "
            f"{first.name}: {first.detail}"
        )


def _print_card(scene: "Scene", models: Sequence[str], *, as_json: bool) -> None:
    """Print the robustness card of each model on windows from all over a scene."""
    from geoseg.jobs.calibration import windows_of
    from geoseg.models.bundle import load_model
    from geoseg.selftest.robustness import card_rows
    from geoseg.selftest.robustness import robustness as card_of

    for name in models:
        bundle = load_model(name)
        card = card_of(bundle, windows_of(scene, bundle, most=CARD_WINDOWS))
        head = [f"{bundle.spec.name}: what is done to a window", "pixels of another class"]
        print(json.dumps({"model": bundle.spec.name, **card}) if as_json else table(card_rows(card), head=head))


def as_text(report: "Report") -> str:
    """Return the runs and what follows from them as two tables."""
    crop = report.crop
    judged_crop = f"{report.scene}: rows {crop.row0}..{crop.row1}, columns {crop.col0}..{crop.col1}"
    findings = table([["ok" if f.ok else "FAULT", f.name, f.detail] for f in report.findings])
    files = sorted({name for ran in report.runs for name in ran.hashes if not name.endswith(".xml")})
    head = (*COLUMNS[0], *(Path(name).stem for name in files), *COLUMNS[1])
    return "\n\n".join((judged_crop, table([_row(ran, files) for ran in report.runs], head=head), findings))


def _row(ran: "Ran", files: Sequence[str]) -> list[object]:
    hashes = [ran.hashes.get(name, "–")[:DIGITS] for name in files]
    peak = "–" if ran.peak_bytes is None else f"{ran.peak_bytes / 1e6:.0f}"
    missing = "–" if ran.error else f"{len(ran.missing)}"
    return [
        ran.trial.network, ran.trial.way, ran.trial.options.chunk_px, ran.chunks, *hashes, peak,
        f"{ran.planned_bytes / 1e6:.0f}", missing, f"{ran.seconds:.1f}",
    ]  # fmt: skip
