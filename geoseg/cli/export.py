"""geoseg export: a bundle's network for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Output, Overwrite, spread
from geoseg.errors import ConfigError
from geoseg.options.exchange import ExportOptions

Calibrate = Annotated[
    str | None,
    typer.Option(metavar="SCENE", help="A raster with named bands: up to 16 windows from all over it are taken."),
]


@spread
def export(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A model bundle, or the name of one.")],
    *,
    output: Output,
    options: ExportOptions,
    calibrate: Calibrate = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a bundle's network for ONNX Runtime, OpenVINO, Deepness in QGIS or STAC catalogues.

    Its classes are compared with the network's own on calibration windows: those in the bundle, or those of a scene.
    Below 99.9 % equal classes, 99.5 % in 8 bits, nothing is written.
    """
    from geoseg.models.bundle import load_model
    from geoseg.models.calibration import fault_in_8_bits, stored
    from geoseg.models.exports.run import export_model, names, refuse_export

    loaded = load_model(bundle)
    refuse_export(loaded, output, options, overwrite=overwrite)
    windows = stored(Path(loaded.path), loaded.spec) if calibrate is None else None
    if calibrate is not None:
        from geoseg.jobs.calibration import windows_of
        from geoseg.scenes.open import open_scene

        windows = windows_of(open_scene(calibrate), loaded)
    elif options.int8 and (fault := fault_in_8_bits(loaded.path)):
        raise ConfigError(f"{loaded.path}: {fault}; name a scene that it suits: --calibrate SCENE")
    if windows is None:
        raise ConfigError(f"{loaded.path}: holds no calibration windows; name a scene that it suits: --calibrate SCENE")
    parity = export_model(loaded, output, options, windows)
    print(
        f"{parity.equal_classes:.4%} of {parity.pixels} pixels in {parity.windows} windows have its own class "
        f"by {parity.runtime}, probabilities differ by {parity.largest_probability_error:.2g} at most"
    )
    for name in names(loaded, options):
        print(output / name)
