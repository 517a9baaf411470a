"""Networks of the table beside each other: parameters, CPU seconds and memory of one window; writes docs/models.md.

    OMP_NUM_THREADS=1 python benchmarks/networks.py [--px 512] [NAME ...]

Each network with its usual options and random weights, for 6 bands and 4 classes (bands of 3 dates for stacks), in fp32
on one thread: a call for a small window, then one for a window of --px pixels, whose CPU seconds are told, then one
whose tensors are counted. Rows of networks that are not named stay as they were.
"""

import argparse
import re
import time
from pathlib import Path

import torch

from geoseg.models.architectures import NETWORKS, build_network
from geoseg.models.live_bytes import probe
from geoseg.models.spec import Architecture

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"
BANDS, CLASSES, SMALL_PX = 6, 4, 128
HEAD = ("network", "M parameters", "CPU s", "live MiB", "windows", "code", "published weights")
ROW = re.compile(r"^\| `([^`]+)` \|.*$", re.MULTILINE)
START, END = "<!-- networks -->\n", "<!-- end of networks -->\n"


def row(name: str, px: int) -> str:
    """Return a network's line of the table, measured now."""
    arch = Architecture(name=name, options=dict(NETWORKS[name].usual))
    network = build_network(arch, in_channels=BANDS, out_channels=CLASSES).eval().requires_grad_(requires_grad=False)
    with torch.inference_mode():
        network(torch.zeros(1, BANDS, SMALL_PX, SMALL_PX))
        started = time.process_time()
        network(torch.randn(1, BANDS, px, px))
        seconds = time.process_time() - started
    live, card = probe(network, BANDS, px).live_bytes, NETWORKS[name].card()
    parameters = sum(p.numel() for p in network.parameters())
    cells = (
        f"`{name}`", f"{parameters / 1e6:.1f}", f"{seconds:.2f}", f"{live / 2**20:.0f}", card["windows"], card["code"],
        card["weights"],
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure the networks that are named, or all, and put their lines into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--px", type=int, default=512)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    table, after = rest.split(END)
    rows = {found[1]: found[0] for found in ROW.finditer(table)}
    for name in asked.names or NETWORKS:
        rows[name] = row(name, asked.px)
        print(rows[name], flush=True)
        lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *(rows[n] for n in NETWORKS if n in rows)]
        PAGE.write_text(before + START + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
