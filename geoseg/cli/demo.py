"""geoseg demo: the whole way on a real scene that comes with geoseg."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, TalkFlags, named_path, spread
from geoseg.cli.table import print_result, table
from geoseg.config.load import DEMO_SCENE, BuildingsConfig
from geoseg.options.run import RunOptions

DEMO_TRUTH = "buildings_truth.gpkg"
DEMO_MODEL = "buildings-banepa"  # of the town that the scene shows


@spread
def demo(
    *,
    talk: TalkFlags,
    output: Annotated[
        Path, typer.Option("-o", "--output", parser=named_path, metavar="PATH", help="Folder for the outputs.")
    ] = Path("demo"),
    overwrite: Overwrite = False,
) -> None:
    """Map the buildings of the scene that comes with geoseg, and score them against the truth.

    The scene shows a quarter of Banepa, Nepal, that its model, buildings-banepa, has never seen.
    """
    from geoseg.pipelines import buildings

    config = BuildingsConfig(
        scene=(DEMO_SCENE,), model=DEMO_MODEL, out=str(output), options=RunOptions(overwrite=overwrite)
    ).based_on(Path())
    with talk.listener() as listen:
        result = buildings.run(config, listen=listen)
    from geoseg.jobs.evaluate import evaluate  # geopandas: what is refused above does not wait for it

    truth = resources.files("geoseg") / "demo" / DEMO_TRUTH
    scores = evaluate(result.folder, Path(str(truth))).as_json()
    print_result(result)
    building, objects, base = scores["classes"][-1], scores["objects"], scores["baseline"]
    rows = [
        ["IoU", building["iou"], base["iou"]],
        ["F1", building["f1"], base["f1"]],
        [f"boundary F1 at {scores['boundary_tolerance_m']:g} m", building["boundary_f1"], "–"],
        ["object F1 at IoU 0.5", objects["f1"], "–"],
    ]
    print(
        "\n"
        + table([[n, _short(v), _short(b)] for n, v, b in rows], head=["against the truth", "geoseg", "all building"])
    )


def _short(value: float | str | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–"
