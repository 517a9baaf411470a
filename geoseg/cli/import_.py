"""geoseg import: a network from elsewhere to a model bundle."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.export import Calibrate
from geoseg.cli.options import Overwrite, named_path, spread, target
from geoseg.options.exchange import ImportOptions


@spread
def import_(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", parser=named_path, help="ONNX file, checkpoint or STAC item.")
    ],
    *,
    bundle: Annotated[Path, target("Folder to write.", flag="--bundle")],
    like: Annotated[
        str | None,
        typer.Option(metavar="BUNDLE", help="A bundle whose bands, classes, values and windows it shares."),
    ] = None,
    options: ImportOptions,
    calibrate: Calibrate = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a bundle of a network from elsewhere: an ONNX file, a checkpoint, or a STAC item with its file.

    Size, layout, stride and answers are found by running it. What nobody says and no run shows is asked for by name.
    """
    from geoseg.models.imports.run import import_model

    made = import_model(model, bundle, options, like=like, overwrite=overwrite)
    spec = made.bundle.spec
    if calibrate is not None:
        from geoseg.cli.card import choice
        from geoseg.jobs.calibration import border_of, windows_of
        from geoseg.models.border import store as store_border
        from geoseg.models.border import with_margin
        from geoseg.models.calibration import store
        from geoseg.scenes.open import open_scene

        scene = open_scene(calibrate)
        profile = border_of(made.bundle, [scene])
        if made.margin_assumed:
            spec = with_margin(made.bundle, profile).spec
        count, side = store(bundle, windows_of(scene, made.bundle), spec)
        if profile is not None:
            store_border(bundle, profile)
            print(f"windows: {choice(profile, spec)}")
        print(f"{count} calibration windows of {side} px, whose pixels go wherever the bundle goes")
    if options.family is not None:
        print(f"licence of the weights: {spec.licence or 'not stated; see where they come from'}")
    for line in made.made:
        print(line)
    for line in made.assumed:
        print(f"assumed {line}")
    print(
        f"{made.bundle.path}: {len(spec.bands)} bands, {len(spec.classes)} classes, windows of {spec.window_px} px, "
        f"margin {spec.margin_px}, ramp {spec.ramp_px}, multiple {spec.multiple_px}"
    )
