"""Whether objects on the borders of windows come out as well as those between: a dense toy and a Mask R-CNN.

    OMP_NUM_THREADS=1 python benchmarks/object_seams.py [--epochs 5] [--size 1000] [--kind dense mask-rcnn]

Each learns one synthetic scene (tests/panoptic.py) and is run on another. An object is on a border where its box
crosses one between the cells of two windows. It is found whole where one found object has an IoU above 0.5 with it, and
twice where two or more lie in it by more than half of their pixels.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "training"), str(ROOT / "benchmarks")]

import machine  # noqa: E402 - after the path
import numpy as np  # noqa: E402
import panoptic  # noqa: E402
import test_detected  # noqa: E402
import test_things  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy import ndimage  # noqa: E402

from geoseg import predict  # noqa: E402
from geoseg.models.bundle import save_model  # noqa: E402
from geoseg.models.spec import ModelSpec  # noqa: E402
from geoseg.tiling.windows import WindowGrid  # noqa: E402
from geoseg.training.loop import fit  # noqa: E402
from geoseg.training.samples import load_samples  # noqa: E402
from geoseg.training.spec import TrainSpec  # noqa: E402


def spec_of(kind: str, folder: Path, epochs: int) -> TrainSpec:
    """Return the training of a toy."""
    plan = {"epochs": epochs, "steps_per_epoch": 80, "keep": "last"}
    if kind == "dense":
        test_things.write_data(folder, (800, 800), seed=0)
        arch = {"name": "compact-unet", "options": {"widths": [12, 24, 40, 64]}}
        schedule = {**plan, "batch": 4, "crop_px": 128, "class_weights": "auto", "learning_rate": 4e-3}
        return test_things.spec_of(folder, schedule=schedule, arch=arch)
    test_detected.write_objects(folder, shape=(800, 800))
    return test_detected.spec_of(folder, schedule={**plan, "batch": 2, "crop_px": 96, "learning_rate": 2e-3})


def on_border(boxes: list[tuple[slice, slice]], spec: ModelSpec, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which boxes cross a border of two windows' cells."""
    grid = WindowGrid.fit(
        shape, window=spec.window_px, margin=spec.margin_px, ramp=spec.ramp_px, multiple=spec.multiple_px
    )
    cuts = [[axis.cell(i)[0] for i in range(1, axis.count)] for axis in (grid.rows, grid.cols)]
    crossed = [[any(s.start < cut < s.stop for cut in own) for s, own in zip(box, cuts, strict=True)] for box in boxes]
    return np.array(crossed).any(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1000, help="side of the scene that is judged")
    parser.add_argument("--kind", nargs="+", default=["dense", "mask-rcnn"], choices=["dense", "mask-rcnn"])
    given = parser.parse_args()
    print(machine.describe())
    for kind in given.kind:
        with tempfile.TemporaryDirectory() as temporary:
            folder, started = Path(temporary), time.process_time()
            spec = spec_of(kind, folder, given.epochs)
            made = fit(spec, load_samples(spec))
            model = save_model(folder / "model", made.network, spec=made.spec)
            scene = test_things.write_data(folder, (given.size, given.size), seed=1)
            run = predict(scene, model, folder / "out")
            _, ids = panoptic.truth_of((given.size, given.size), seed=1)
            border = on_border(ndimage.find_objects(ids), made.spec, ids.shape)
            whole, twice = panoptic.found_of(ids, run.to_xarray("panoptic").to_numpy())
            for name, which in (("on borders", border), ("between", ~border)):
                print(
                    f"{kind} {name}: {which.sum()} objects, found whole {whole[which].mean():.1%}, twice "
                    f"{twice[which].mean():.1%}"
                )
            print(f"{kind}: {time.process_time() - started:.0f} CPU s, {run.run['instances']}", flush=True)


if __name__ == "__main__":
    main()
