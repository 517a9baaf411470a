"""Results on stdout: small tables of plain text, the same on a terminal and in a file."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoseg.jobs.result import Result


def table(rows: Sequence[Sequence[object]], *, head: Sequence[str] | None = None) -> str:
    """Return rows as aligned columns; columns of numbers stand to the right.

    >>> print(table([["building", 12.5], ["background", 3.0]], head=["class", "ha"]))
    class         ha
    building    12.5
    background   3.0
    """
    texts = [[str(cell) for cell in row] for row in rows]
    every = [list(head), *texts] if head else texts
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    right = [all(isinstance(row[i], int | float) or _is_number(row[i]) for row in rows) for i in range(len(widths))]
    return "\n".join(
        "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in every
    )


def print_json(value: object, *, dates: bool = False) -> None:
    """Print a value as indented JSON, in which names keep their letters; dates: it holds some, which become texts."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str if dates else None))


def _is_number(cell: object) -> bool:
    return str(cell).replace(".", "", 1).replace("-", "", 1).isdigit() or cell == "–"


def shard_done(shard: tuple[int, int], done: str, out: object) -> str:
    """Return what is said of a shard, and what comes next."""
    return f"shard {shard[0]}/{shard[1]}: {done} done; geoseg finish {out} writes the outputs when all shards are"


def print_result(result: "Result") -> None:
    """Print what a run made: areas of classes, buildings, cost, files."""
    print(
        table([[c["name"], f"{c['area_ha']:.2f}", f"{c['pixels']}"] for c in classes_of(result.run)], head=CLASS_HEAD)
    )
    if "polygons" in result.run:
        found = result.run["polygons"]
        print(f"\n{found['count']} polygons, {found['area_m2'] / 1e4:.2f} ha")
    print(f"\n{cost(result.run)}")
    for path in result.paths.values():
        if not path.name.endswith(".aux.xml"):  # a raster's sidecar goes with it
            print(path)


CLASS_HEAD = ("class", "area ha", "pixels")


def classes_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of run.json's class table."""
    return list(run["classes"])


def cost(run: dict[str, Any]) -> str:
    """Return what a run cost, in words."""
    return f"{run['run']['seconds']:.1f} s, peak memory {run['run']['peak_memory_bytes'] / 1e6:.0f} MB"
