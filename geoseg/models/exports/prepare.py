"""What ``exports.cache`` runs in processes of their own: exporting a network, and measuring what it holds.

``python -m geoseg.models.exports.prepare export|measure ASKED FOLDER``; an error is one line on stderr.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import GeosegError, ModelError
from geoseg.models.backends import library
from geoseg.models.backends.activation import activated
from geoseg.models.backends.exported import runtime
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.models.calibration import of_size, stored
from geoseg.models.exports.cache import MEASURED_FILE, NETWORK_FILE
from geoseg.models.exports.graph import logits
from geoseg.models.exports.parity import LEAST_EQUAL, LEAST_EQUAL_INT8, Parity, compared
from geoseg.models.exports.runtimes import int8
from geoseg.models.imports.probing import peak_growth

CALLS = 2  # the second has what the first left


def export(asked: dict[str, Any], folder: Path) -> None:
    """Write a bundle's network, and how near it comes to the network itself on the bundle's calibration windows.

    In 8 bits every second window gives the ranges, and the others are measured. Raises ModelError where the bundle
    holds no windows, or too few.
    """
    bundle, shape = load_model(Path(asked["bundle"])), tuple(asked["shape"])
    windows = _windows(bundle, shape, in_8_bits=asked["precision"] == "int8")
    model, judged, least = logits(bundle, shape), windows, LEAST_EQUAL
    content = model.SerializeToString(deterministic=True)
    if asked["precision"] == "int8":
        content, judged, least = int8(model, windows[::2]), windows[1::2], LEAST_EQUAL_INT8
    parity = _parity(bundle, content, judged, asked, least)
    (folder / NETWORK_FILE).write_bytes(content)
    (folder / MEASURED_FILE).write_text(json.dumps({"parity": parity.as_json()}), encoding="utf-8")


def measure(asked: dict[str, Any], folder: Path) -> None:
    """Add what opening the network and calling it holds, in a process that has run no other."""
    file, content = folder / MEASURED_FILE, (folder / NETWORK_FILE).read_bytes()
    runs = runtime(asked["backend"])
    bands = len(load_model(Path(asked["bundle"])).spec.bands)

    def call() -> None:
        network = runs.open_network(content, asked["precision"])
        for _ in range(CALLS):
            network(np.zeros((bands, *asked["shape"]), np.float32))

    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**told, "held_bytes": peak_growth(call)}), encoding="utf-8")


def _windows(bundle: ModelBundle, shape: tuple[int, int], *, in_8_bits: bool) -> NDArray[np.float32]:
    """Return the bundle's calibration windows, mirrored or cut to (h, w)."""
    spec, least = bundle.spec, 2 if in_8_bits else 1
    way = f"leave {'--backend and --precision' if in_8_bits else '--backend'} out"
    if not spec.classes:
        raise ModelError(f"answers no classes, by which other backends are measured; {way}")
    found = stored(Path(bundle.path), spec)
    if found is None or len(found) < least:
        raise ModelError(
            f"holds {0 if found is None else len(found)} calibration windows, and {least} are the least by which "
            f"another backend is measured; {way}"
        )
    return np.ascontiguousarray(of_size(found, max(shape))[..., : shape[0], : shape[1]])


def _parity(
    bundle: ModelBundle, content: bytes, windows: NDArray[np.float32], asked: dict[str, Any], least: float
) -> Parity:
    runs = runtime(asked["backend"])
    network = runs.open_network(content, asked["precision"])
    name = f"{runs.identity('cpu').rpartition(', ')[2]} in {asked['precision']}"

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return activated(network(batch[0]), bundle.spec)[None]

    with library(bundle.backend).one_thread_per_network():
        return compared(bundle, run, windows, takes="normalised", runtime=name, least=least)


if __name__ == "__main__":
    try:
        {"export": export, "measure": measure}[sys.argv[1]](json.loads(sys.argv[2]), Path(sys.argv[3]))
    except GeosegError as error:
        sys.exit(str(error))
