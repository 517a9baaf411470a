"""How well a toy tells objects apart: a small network trained on one synthetic scene, scored on another.

    OMP_NUM_THREADS=1 python benchmarks/panoptic.py [--epochs 8] [--folder FOLDER]

Boxes and discs that often touch, on ground and water (tests/panoptic.py). Training, a run with geoseg predict, and
geoseg evaluate against the polygons of the second scene; prints CPU seconds and PQ.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "training")]

from test_things import spec_of, write_data  # noqa: E402 - after the path

from geoseg import predict  # noqa: E402
from geoseg.jobs.evaluate import evaluate  # noqa: E402
from geoseg.models.bundle import save_model  # noqa: E402
from geoseg.training.loop import fit  # noqa: E402
from geoseg.training.samples import load_samples  # noqa: E402


def toy(folder: Path, *, epochs: int, size: int = 800) -> dict[str, object]:
    """Train on a scene of ``size`` pixels square, run on another, and return the scores of that one."""
    write_data(folder, (size, size), seed=0)
    scene = write_data(folder, (size, size), seed=1)
    schedule = {
        "epochs": epochs, "steps_per_epoch": 80, "batch": 4, "crop_px": 128, "class_weights": "auto", "keep": "last",
        "learning_rate": 4e-3,
    }  # fmt: skip
    arch = {"name": "compact-unet", "options": {"widths": [12, 24, 40, 64]}}
    spec = spec_of(folder, schedule=schedule, arch=arch)
    started = time.process_time()
    made = fit(spec, load_samples(spec), on_epoch=lambda e, _: print(f"epoch {e.number}: {e.validation_loss:.3f}"))
    seconds = time.process_time() - started
    model = save_model(folder / "model", made.network, spec=made.spec)
    run = predict(scene, model, folder / "out")
    scores = evaluate(run.folder, folder / "labels1.gpkg", column="kind", values={"box": "box"}).as_json()
    return {"cpu_s": round(seconds), "found": run.run["instances"], **{k: scores[k] for k in ("panoptic", "instances")}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(toy(given.folder or Path(temporary), epochs=given.epochs), indent=1))
