"""Pictures of the page that run_all.py writes: what its tables show, as PNG files beside it.

usage: python benchmarks/plots.py [RESULTS.md]

Sections that the page lacks are not drawn. Each picture names the commit that its section does.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PAGE = Path(__file__).parent / "results" / "RESULTS.md"
BLUE, GRAY, RED = "#2b6cb0", "#9aa5b1", "#c05621"


def sections(page: str) -> dict[str, str]:
    """Return what stands under each heading."""
    parts = re.split(r"(?m)^## (.+)$", page)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def tables(text: str) -> list[list[list[str]]]:
    """Return the rows of each table of a section, the head first."""
    blocks = re.findall(r"(?m)(?:^\|.*\n)+", text + "\n")
    rows = [[[cell.strip() for cell in line.strip("| ").split("|")] for line in one.splitlines()] for one in blocks]
    return [[row for row in table if not row[0].startswith("--")] for table in rows]


def number(text: str) -> float:
    """Return the first number of a cell."""
    found = re.search(r"-?[\d.]+", text)
    return float(found[0]) if found else float("nan")


def peers(text: str, axes: Axes) -> None:
    """Draw the clock of each tool over geoseg's, in equal settings, by size of the scene."""
    _, *rows = tables(text)[0]
    for offset, (size, color) in enumerate(zip(dict.fromkeys(row[0] for row in rows), (GRAY, BLUE), strict=False)):
        own = [row for row in rows if row[0] == size]
        at = [i + 0.4 * offset for i in range(len(own))]
        axes.barh(at, [number(row[3]) for row in own], 0.38, color=color, label=size)
        axes.set_yticks(at, [row[1] for row in own])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.legend(title="scene, px", frameon=False)
    axes.set(xlabel="times geoseg's clock, equal settings; above 1: slower", title="Other tools")


def memory(text: str, axes: Axes) -> None:
    """Draw peak memory, and what was planned, against the side of the scene."""
    seen = re.findall(r"(\d+) x \d+ px.*?peak (\d+) MB, planned (\d+) MB", text)
    sides, peaks, planned = ([float(one[i]) for one in seen] for i in range(3))
    axes.plot(sides, planned, "o--", color=GRAY, label="planned")
    axes.plot(sides, peaks, "o-", color=BLUE, label="peak")
    axes.legend(frameon=False)
    axes.set(xlabel="side of the scene, px", ylabel="MB", title="Memory, a network that costs nothing")
    axes.set_ylim(0, 1.15 * max(planned))


def overlap(text: str, axes: Axes) -> None:
    """Draw the labels that differ from those of one window against the network's pixels."""
    _, *rows = tables(text)[0]
    axes.plot([number(row[2]) for row in rows], [number(row[5]) for row in rows], "o-", color=BLUE)
    for row in rows:
        axes.annotate(row[0], (number(row[2]), number(row[5])), xytext=(5, 5), textcoords="offset points")
    axes.set(xlabel="network pixels over the scene's", ylabel="labels that differ, %")
    axes.set_ylim(0, 1.2 * max(number(row[5]) for row in rows))
    axes.margins(x=0.1)
    axes.set_title("Cost against overlap")


def beside(text: str, axes: Axes) -> None:
    """Draw CPU seconds a megapixel of each stage, for each size and precision."""
    runs = re.findall(r"precision (\w+): ([\d.]+) Mpx.*?((?:\n  \w+ +[\d.]+)+)", text)
    names, left = [f"{precision}, {mpx} Mpx" for precision, mpx, _ in runs], [0.0] * len(runs)
    colors = {"network": GRAY, "read": "#38a169", "blend": BLUE, "encode": RED, "finish": "#805ad5"}
    for stage, color in colors.items():
        values = [float(re.search(rf"{stage} +([\d.]+)", stages)[1]) for *_, stages in runs]  # type: ignore[index]
        axes.barh(names, values, left=left, color=color, label=stage)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set(xlabel="CPU seconds a megapixel", title="Stages")


DRAWN: dict[str, tuple[str, Callable[[str, Axes], None]]] = {
    "A run beside the network alone": ("stages.png", beside),
    "Other tools beside geoseg": ("peers.png", peers),
    "Memory against the scene's size": ("memory.png", memory),
    "Cost against overlap": ("overlap.png", overlap),
}


def draw(page: Path) -> list[Path]:
    """Draw what a page holds; returns the files, which lie beside it."""
    text, files = page.read_text(encoding="utf-8"), []
    own, first = sections(text), re.search(r"commit (\w+)", text)
    for title, (name, draws) in DRAWN.items():
        if title not in own or "Failed:" in own[title]:
            continue
        figure = Figure((7, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        draws(own[title], axes := figure.add_subplot())
        axes.spines[["top", "right"]].set_visible(False)
        commit = re.search(r"commit (\w+)", own[title]) or first
        figure.text(0.995, 0.005, f"commit {commit[1]}" if commit else "", ha="right", fontsize=7, color=GRAY)
        figure.savefig(page.with_name(name), dpi=110)
        files.append(page.with_name(name))
    return files


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE), sep="\n")
