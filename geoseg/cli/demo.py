"""geoseg demo: the whole way on a real scene that comes with geoseg."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geoseg.cli.options import Overwrite, TalkFlags, spread, target
from geoseg.cli.table import print_result, table
from geoseg.config.runs import BuildingsConfig, LandCoverConfig
from geoseg.config.scene import DEMO_LAND_COVER, DEMO_SCENE
from geoseg.options.run import RunOptions

if TYPE_CHECKING:
    from geoseg.jobs.result import Result

Job = Literal["buildings", "land-cover"]
DEMO_TRUTH = "buildings_truth.gpkg"
DEMO_MODEL = "buildings-banepa"  # of the town that the scene shows
LAND_COVER_MODEL, LAND_COVER_FILE = "land-cover", "land_cover.gpkg"
LEAST_PATCH_M2, STRAY_M = 25.0, 1.0  # of the polygons: about a tree's crown, and a pixel


@spread
def demo(
    *,
    job: Annotated[Job, typer.Option(help="What is mapped: each job has a scene of its own.")] = "buildings",
    talk: TalkFlags,
    output: Annotated[Path, target("Folder for the outputs.")] = Path("demo"),
    overwrite: Overwrite = False,
) -> None:
    """Map a scene that comes with geoseg: its buildings, scored against the truth, or its land cover.

    Buildings: a quarter of Banepa, Nepal, that their model, buildings-banepa, has never seen. Land cover: woods in
    Virginia that no model has seen, and that have no truth: look at the map.
    """
    if job == "buildings":
        _buildings(output, talk, overwrite=overwrite)
    else:
        _land_cover(output, talk, overwrite=overwrite)


def _buildings(output: Path, talk: TalkFlags, *, overwrite: bool) -> None:
    from geoseg.pipelines import buildings

    options = RunOptions(overwrite=overwrite, report=True)
    config = BuildingsConfig(scene=(DEMO_SCENE,), model=DEMO_MODEL, out=str(output), options=options).based_on(Path())
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


def _land_cover(output: Path, talk: TalkFlags, *, overwrite: bool) -> None:
    from geoseg.disk.places import vector_target
    from geoseg.pipelines import land_cover

    polygons = vector_target(output / LAND_COVER_FILE, overwrite=overwrite, inputs=())
    options = RunOptions(overwrite=overwrite, report=True)
    config = LandCoverConfig(
        scene=(DEMO_LAND_COVER,), model=LAND_COVER_MODEL, out=str(output), options=options
    ).based_on(Path())
    with talk.listener() as listen:
        result = land_cover.run(config, listen=listen)
    print_result(result)
    _print_coverage(result, polygons)


def _print_coverage(result: "Result", polygons: Path) -> None:
    """Draw the polygons of all classes, which share their borders, and print how many there are."""
    from geoseg.vector.coverage.coverage import CoverageRules
    from geoseg.vector.coverage.draw import draw_coverage

    rules = CoverageRules(min_area_m2=LEAST_PATCH_M2, tolerance_m=STRAY_M)
    made = draw_coverage(result.paths["classes.tif"], polygons, rules=rules, overwrite=True)
    rows = [[c["name"], f"{c['area_m2'] / 1e4:.2f}", f"{c['polygons']}"] for c in made["classes"]]
    head = [f"polygons from {LEAST_PATCH_M2:g} m²", "area ha", "polygons"]
    print(f"{polygons}\n\n{table(rows, head=head)}")


def _short(value: float | str | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–"
