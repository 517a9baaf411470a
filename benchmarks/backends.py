"""What each backend and precision gives of each bundle that ships: the gate, parity on a scene, and CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/backends.py [--rounds 3] [--windows 4] [--only onnx] [--compiled] [--norms]
        [BUNDLE ...]

Bundles without calibration windows are left out. Gate: as a run measures it on the bundle's calibration windows. Scene:
windows of the demo's scenes, against torch in fp32: equal classes, the largest error of a probability, and how much the
IoU of a class can fall at most against any truth, which is 1 - IoU of the two maps (the Jaccard distance is a metric).
CPU s/Mpx: network and activation of one window a call on one thread, medians of rounds in which backends take turns.
--compiled: torch.compile beside them, which geoseg does not offer: it needs a C++ compiler. What that takes is told.
--norms: torch in fp32 with batch normalisations as they are, and in bf16 with folded ones; geoseg folds them in fp32.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np

from geoseg.errors import GeosegError
from geoseg.executors.heap import keep_freed_memory
from geoseg.jobs.calibration import windows_of
from geoseg.models.backends import library
from geoseg.models.backends.exported import runtime
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.models.calibration import FILE as CALIBRATION
from geoseg.models.exports.cache import measured
from geoseg.models.exports.parity import per_class
from geoseg.models.known import bundled_models
from geoseg.scenes.open import open_scene

DEMO = Path(__file__).resolve().parent.parent / "geoseg" / "demo"
SCENES = {"land-cover": "land_cover.tif"}  # others: scene.tif
WAYS = [
    ("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"),
    ("onnx", "fp32"), ("onnx", "int8"),
]  # fmt: skip
NORMS = [("torch, norms as they are", "fp32"), ("torch, norms folded", "bf16")]
COMPILED = [("torch.compile", "fp32"), ("torch.compile", "bf16")]
HEAD = (
    "bundle", "backend", "precision", "gate: equal classes", "gate: largest error", "gate", "scene: equal classes",
    "scene: largest error", "IoU loss at most", "CPU s/Mpx",
)  # fmt: skip


def opened(bundle: ModelBundle, backend: str, precision: str) -> tuple[list[str], object]:
    """Return the gate's cells, and the backend, which a bundle that is refused has none of."""
    if backend == "torch.compile":
        import torch

        own = library("torch").open_backend(bundle, device="cpu", precision=precision)
        own.network = torch.compile(own.network, dynamic=False)
        return ["", "", "not offered"], own
    if (backend, precision) in NORMS:
        from geoseg.models.backends.folded import fold
        from geoseg.models.backends.torch import channels_last

        network, own = bundle.network(), library("torch").open_backend(bundle, device="cpu", precision=precision)
        if backend == "torch, norms folded":
            fold(network, len(bundle.spec.bands), bundle.spec.window_px)
        own.network = channels_last(network)
        return ["", "", "not offered"], own
    if backend == "torch":
        return ["", "", "own"], library("torch").open_backend(bundle, device="cpu", precision=precision)
    try:
        found = measured(bundle, backend=backend, precision=precision, shape=(bundle.spec.window_px,) * 2)
    except GeosegError as error:
        return ["", "", str(error).partition(": ")[2].partition(";")[0]], None
    parity = found.parity
    cells = [f"{parity.equal_classes:.3%}", f"{parity.largest_probability_error:.2g}"]
    if not parity.holds:
        return [*cells, "refused"], None
    return [*cells, "passed"], runtime(backend).open_backend(bundle, device="cpu", precision=precision)


def near(own: np.ndarray, other: np.ndarray, bundle: ModelBundle) -> list[str]:
    """Return the cells of parity of answers (N, K, h, w)."""
    wanted, found = (np.stack([per_class(one, bundle.spec) for one in answers]) for answers in (own, other))
    ids, other_ids = wanted.argmax(1), found.argmax(1)
    ious = [
        ((ids == i) & (other_ids == i)).sum() / max(1, ((ids == i) | (other_ids == i)).sum()) for i in np.unique(ids)
    ]
    return [f"{(ids == other_ids).mean():.3%}", f"{np.abs(wanted - found).max():.2g}", f"{1 - min(ious):.4f}"]


def print_rows(bundle: ModelBundle, windows: np.ndarray, rounds: int, ways: list[tuple[str, str]]) -> None:
    """Print the lines of a bundle's table."""
    told = [(way, *opened(bundle, *way)) for way in ways]
    answers: dict[tuple[str, str], np.ndarray] = {}
    seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    mpx = windows.shape[0] * windows.shape[2] * windows.shape[3] / 1e6
    for turn in range(rounds + 1):  # the first compiles
        for way, _, run in told:
            if run is not None:
                began, children = time.process_time(), sum(os.times()[2:4])
                answers[way] = np.concatenate([run(window[None]).values for window in windows])
                took = time.process_time() - began
                seconds[way] += [took / mpx] if turn else []
                if way in COMPILED and turn == 0:
                    compiled = took + sum(os.times()[2:4]) - children
                    print(f"{bundle.spec.name}: {' '.join(way)} took {compiled:.0f} CPU s at first", file=sys.stderr)
    for way, gate, run in told:
        cells = [*near(answers[WAYS[0]], answers[way], bundle), f"{median(seconds[way]):.2f}"] if run else [""] * 4
        print(f"| {' | '.join((bundle.spec.name, *way, *gate, *cells))} |", flush=True)


def main() -> None:
    """Measure the bundles that are named, or all that ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--only", choices=sorted({name for name, _ in WAYS}), help="beside torch")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too")
    parser.add_argument("--norms", action="store_true", help="torch with other normalisations, too")
    asked = parser.parse_args()
    every = [*WAYS, *(NORMS if asked.norms else []), *(COMPILED if asked.compiled else [])]
    ways = [way for way in every if asked.only in (None, way[0]) or way[0].startswith("torch")]
    keep_freed_memory()
    print(machine.describe(), "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    with library("torch").one_thread_per_network():
        for name in asked.bundles or bundled_models():
            bundle = load_model(name)
            if not (Path(bundle.path) / CALIBRATION).is_file():
                continue
            scene = open_scene(DEMO / SCENES.get(name, "scene.tif"))
            print_rows(bundle, windows_of(scene, bundle, most=asked.windows), asked.rounds, ways)


if __name__ == "__main__":
    main()
