"""geoseg fit: a classical method becomes a model bundle."""

from pathlib import Path
from typing import Annotated

from geoseg.cli.options import Overwrite, SceneFlags, spread, target
from geoseg.options.fit import FitOptions


@spread
def fit(
    scene: SceneFlags,
    *,
    bundle: Annotated[Path, target("Folder to write.", flag="--bundle")],
    options: FitOptions,
    overwrite: Overwrite = False,
) -> None:
    """Fit a method without training to a scene and write it as a model: Otsu's threshold, or clusters of k-means.

    Map with it: geoseg predict SCENE -m BUNDLE -o OUT. It runs over other scenes of the same bands, too.
    """
    from geoseg.models.bundle import refuse_bundle

    refuse_bundle(bundle, overwrite=overwrite)
    from geoseg.jobs.fit import fit as fitted

    spec = fitted(scene.open(), bundle, options, overwrite=overwrite).spec
    told = spec.training
    of = ", ".join(told["of"])
    if options.method == "otsu":
        low, high = (c.name for c in spec.classes)
        print(
            f"{bundle}: {low} up to {told['threshold']:.6g}, {high} above, of {of} at {told['pixels']} pixels; "
            f"{told['separability']:.1%} of the variance lies between them"
        )
    else:
        shares = ", ".join(f"{c.name} {share:.1%}" for c, share in zip(spec.classes, told["shares"], strict=True))
        print(f"{bundle}: {shares}, of {of} at {told['pixels']} pixels, one in {told['every_px']} x {told['every_px']}")
