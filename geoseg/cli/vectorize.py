"""geoseg vectorize: polygons of a raster that is there already."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from geoseg.cli.options import VECTOR_FILE, Overwrite, TalkFlags, spread, target
from geoseg.cli.stopping import stoppable, terminable
from geoseg.cli.table import table
from geoseg.disk.places import vector_target
from geoseg.errors import ConfigError
from geoseg.options.polygons import PolygonOptions
from geoseg.options.run import EngineOptions

Kind = Literal["buildings", "coverage"]
OF_COVERAGES = {"raster", "output", "vector_format", "overwrite", "kind", "band", "min_area_m2", "tolerance_m"}
OF_COVERAGES |= {"memory_bytes"} | {f.name for f in fields(TalkFlags)}


@spread
def vectorize(
    ctx: typer.Context,
    raster: Annotated[Path, typer.Argument(metavar="RASTER", help="Probabilities, or classes.")],
    *,
    output: Annotated[
        Path,
        target(VECTOR_FILE),
    ],
    kind: Annotated[
        Kind, typer.Option(help="buildings: one class, straightened; coverage: all classes, without gap or overlap.")
    ] = "buildings",
    polygons: PolygonOptions,
    band: Annotated[
        str | None, typer.Option(help="Band number or name (default: the only one, or the last of probabilities.tif).")
    ] = None,
    class_id: Annotated[int | None, typer.Option(help="Draw this class of a class raster.")] = None,
    full_scale: Annotated[
        float | None,
        typer.Option(help="Value that means p = 1, where the file states no scale: 100 for percent, 255 for bytes."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is inside.")] = 0.5,
    split: Annotated[
        Literal["necks", "none"], typer.Option(help="necks: part what is connected where it is narrow; none: merged.")
    ] = "none",
    run: EngineOptions,
    overwrite: Overwrite = False,
) -> None:
    """Draw the polygons of a raster and write them, styled: buildings, or all classes as a coverage.

    For a coverage, --min-area-m2 is the minimum mapping unit: smaller patches go to the neighbour they share most
    border with; and --tolerance-m is how far shared borders may stray from the pixels. Both are off unless given.
    """
    # before the libraries that draw are loaded
    output = vector_target(output, vector_format=polygons.vector_format, overwrite=overwrite, inputs=[raster])
    if kind == "coverage":
        for name in (name for name in ctx.params if name not in OF_COVERAGES and _given(ctx, name)):
            raise ConfigError(f"--{name.replace('_', '-')} means nothing to --kind {kind}; leave it out")
        min_area_m2 = polygons.min_area_m2 if _given(ctx, "min_area_m2") else 0.0
        rules = {"min_area_m2": min_area_m2, "tolerance_m": polygons.tolerance_m or 0.0}
        _coverage(raster, output, band=band, rules=rules, run=run, overwrite=overwrite)
        return
    with stoppable() as stop:
        from geoseg.jobs.vectorize import vectorize as draw

        made = draw(
            raster,
            output,
            band=band,
            class_id=class_id,
            full_scale=full_scale,
            threshold=threshold,
            options=replace(polygons, split=split),
            run=run,
            stop=stop,
            overwrite=overwrite,
        )
    print(f"{made['count']} polygons, {made['area_m2'] / 1e4:.2f} ha\n{made['file']}")


def _given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _coverage(
    raster: Path, output: Path, *, band: str | None, rules: dict[str, float], run: EngineOptions, overwrite: bool
) -> None:
    from geoseg.vector.coverage.coverage import CoverageRules
    from geoseg.vector.coverage.draw import draw_coverage

    with terminable():
        made = draw_coverage(
            raster, output, band=band, rules=CoverageRules(**rules), memory_bytes=run.memory_bytes, overwrite=overwrite
        )
    rows = [[c["name"], f"{c['area_m2'] / 1e4:.2f}", f"{c['polygons']}"] for c in made["classes"]]
    print(f"{table(rows, head=['class', 'ha', 'polygons'])}\n\n{made['file']}")
