"""Networks of the table beside each other: parameters, CPU seconds and memory of one window; writes docs/models.md.

    OMP_NUM_THREADS=1 python benchmarks/networks.py [--px 512] [--parity] [NAME ...]

Each network with its usual options and random weights, for 6 bands and 4 classes (bands of 3 dates for stacks), in fp32
on one thread: a call for a small window, then one for a window of --px pixels, whose CPU seconds are told, then one
whose tensors are counted. Parity: which share of the pixels of two small windows of noise has the network's own class
by ONNX Runtime, and by OpenVINO. Rows of networks that are not named stay as they were; so do, with --parity, all
figures but these.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from geoseg.models.architectures import NETWORKS, build_network, check_architecture
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.exports.graph import exported
from geoseg.models.exports.parity import LEAST_EQUAL, compared
from geoseg.models.exports.runtimes import by_onnxruntime, by_openvino
from geoseg.models.live_bytes import probe
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import Band
from geoseg.values.classes import ClassInfo

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
BANDS, CLASSES, SMALL_PX = 6, 4, 128
NAMES = [name for name, kind in NETWORKS.items() if not kind.detects]
HEAD = (
    "network", "M parameters", "CPU s", "live MiB", "ONNX", "OpenVINO", "windows", "code", "published weights",
)  # fmt: skip
PARITY = slice(4, 6)  # of the cells
ROW = re.compile(r"^\| `([^`]+)` \|.*$", re.MULTILINE)
START, END = "<!-- networks -->\n", "<!-- end of networks -->\n"


def row(name: str, px: int) -> list[str]:
    """Return a network's cells, measured now; those of parity are empty."""
    network = built(name)
    with torch.inference_mode():
        network(torch.zeros(1, BANDS, SMALL_PX, SMALL_PX))
        started = time.process_time()
        network(torch.randn(1, BANDS, px, px))
        seconds = time.process_time() - started
    live, card = probe(network, BANDS, px).live_bytes, NETWORKS[name].card()
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    said = card["windows"], card["code"], card["weights"]
    return [f"`{name}`", f"{millions:.1f}", f"{seconds:.2f}", f"{live / 2**20:.0f}", "", "", *said]


def built(name: str) -> torch.nn.Module:
    """Return a network with its usual options and random weights."""
    torch.manual_seed(0)
    network = build_network(arch_of(name), in_channels=BANDS, out_channels=CLASSES)
    return network.eval().requires_grad_(requires_grad=False)


def arch_of(name: str) -> Architecture:
    """Return a network by its name and usual options."""
    return Architecture(name=name, options=dict(NETWORKS[name].usual))


def parity(name: str) -> list[str]:
    """Return the shares of equal classes by ONNX Runtime and OpenVINO."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = saved(name, Path(folder) / "bundle")
        side = bundle.spec.window_px
        windows = np.random.default_rng(0).standard_normal((2, BANDS, side, side)).astype(np.float32)
        content = exported(bundle, takes="normalised", per_class=False).SerializeToString()
        cells = []
        for run, runtime in (by_onnxruntime(content), by_openvino(content, Path(folder))):
            found = compared(bundle, run, windows, takes="normalised", runtime=runtime, least=LEAST_EQUAL)
            cells.append(f"{found.equal_classes:.2%}".replace("%", " %"))
    return cells


def saved(name: str, folder: Path) -> ModelBundle:
    """Return a bundle of a network, with windows of SMALL_PX or the least that it takes."""
    classes = tuple(ClassInfo(i + 1, f"class {i + 1}", (i, i, i)) for i in range(CLASSES))
    spec = ModelSpec(
        name=name,
        arch=arch_of(name),
        bands=tuple(Band(f"b{i}") for i in range(BANDS)),
        gsd_m=1.0,
        normalisation=Normalisation(mean=(0.0,) * BANDS, std=(1.0,) * BANDS),
        window_px=max(SMALL_PX, check_architecture(arch_of(name)).least_px),
        margin_px=0,
        ramp_px=0,
        outputs=(Output(channels=tuple(Channel(name=c.name, class_id=c.id) for c in classes)),),
        classes=classes,
    )
    return save_model(folder, built(name), spec=spec, half=False)


def cells_of(page: str) -> dict[str, list[str]]:
    """Return the cells of each row of the page's table."""
    table = page.split(START)[1].split(END, maxsplit=1)[0]
    return {found[1]: [c.strip() for c in found[0].strip("|").split("|")] for found in ROW.finditer(table)}


def main() -> None:
    """Measure the networks that are named, or all, and put their lines into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--px", type=int, default=512)
    parser.add_argument("--parity", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.names or NAMES:
        new, beside = [] if asked.parity else row(name, asked.px), parity(name)
        page = PAGE.read_text(encoding="utf-8")
        rows = cells_of(page)
        rows[name] = new or rows[name]
        rows[name][PARITY] = beside
        print(lined(rows[name]), flush=True)
        lines = [lined(HEAD), "|---" * len(HEAD) + "|", *(lined(rows[n]) for n in NAMES if n in rows)]
        before, after = page.split(START)[0], page.split(END)[1]
        PAGE.write_text(before + START + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


def lined(cells: Sequence[str]) -> str:
    """Return cells as a line of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
