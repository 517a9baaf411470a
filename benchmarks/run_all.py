"""The benchmarks of speed and memory one after the other: what they print as one page, and pictures of its tables.

    python benchmarks/run_all.py [--smoke] [--skip SCRIPT ...] [--out FILE] [--note "beside other programs"]

--smoke: the smallest sizes of some, to see that they run; its figures say nothing. One that fails has its last line in
the page, and the exit code is 1. What was left out stands at the end of the page.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import machine
from plots import draw

HERE = Path(__file__).parent
DEMO = str(HERE.parent / "geoseg" / "demo" / "scene.tif")
LAND_COVER = str(HERE.parent / "geoseg" / "demo" / "land_cover.tif")
TRUTH = str(HERE.parent / "geoseg" / "demo" / "buildings_truth.gpkg")
BESIDE = "what asks for data, a GPU or the source of another commit: polygon_speed.py, views.py, the tables of places"
# What is asked, its script and arguments, and those of a smoke run, where it has one.
RUNS: list[tuple[str, list[str], list[str] | None]] = [
    ("Accuracy of the default model on the demo's scene", ["accuracy.py", DEMO, TRUTH], None),
    (
        "A run beside the network alone",
        ["end_to_end.py", LAND_COVER, "-m", "land-cover", "--size", "2048", "4096"],
        ["end_to_end.py", LAND_COVER, "-m", "land-cover", "--runs", "1"],
    ),
    (
        "Other tools beside geoseg",
        ["peers.py", "--tables", "equal", "defaults"],
        ["peers.py", "--sizes", "640", "--runs", "1", "--tables", "equal"],
    ),
    ("Lanes", ["lanes.py"], None),
    ("Workers", ["scaling.py", "--runs", "3"], None),
    (
        "Backends and precisions",
        ["backends.py"],
        ["backends.py", "land-cover", "--rounds", "1", "--windows", "1", "--only", "torch"],
    ),
    (
        "Memory against the scene's size",
        ["memory.py", "--sizes", "4000", "12000", "36000"],
        ["memory.py", "--sizes", "512"],
    ),
    ("Cost against overlap", ["overlap.py", "--size", "1760"], ["overlap.py", "--size", "640", "--shares", "0.25"]),
    ("Reading", ["reading.py"], ["reading.py", "--side", "640", "--seconds", "0", "--layouts", "tiles, by pixel"]),
    ("Start-up", ["startup.py"], None),
]


def section(title: str, call: list[str]) -> tuple[str, bool]:
    """Return the section of a benchmark, run now, and whether it ended well."""
    began = time.perf_counter()
    command = [sys.executable, str(HERE / call[0]), *call[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shown = " ".join(part.removeprefix(f"{HERE.parent}/") for part in call)
    last = done.stderr.strip().rpartition("\n")[2]
    said = done.stdout.strip() if done.returncode == 0 else f"Failed: {last}"
    body = said if "\n|--" in said else f"```\n{said}\n```"
    return f"## {title}\n\n`{shown}`, {time.perf_counter() - began:.0f} s\n\n{body}\n", done.returncode == 0


def main() -> int:
    """Run all, or those with a smoke run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--skip", nargs="+", default=[], metavar="SCRIPT", help="what is left out this time")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "RESULTS.md")
    parser.add_argument("--note", default="", help="what else the page has to say, e.g. that the machine was busy")
    asked = parser.parse_args()
    parts, left_out, sound = [f"# Results\n\n{machine.describe()}. {asked.note}".strip() + "\n"], [], True
    for title, full, smoke in RUNS:
        call = smoke if asked.smoke else full
        if call is None or call[0] in asked.skip:
            left_out.append(title)
            continue
        text, ended = section(title, call)
        parts.append(text)
        sound &= ended
        asked.out.write_text("\n".join(parts), encoding="utf-8")  # what is done stays, should a later one be killed
    left_out = [f"this time: {', '.join(left_out)}"] if left_out else []
    parts.append("## Left out\n\n" + "\n".join(f"- {what}" for what in (*left_out, BESIDE)) + "\n")
    asked.out.write_text("\n".join(parts), encoding="utf-8")
    print(asked.out, *draw(asked.out), sep="\n")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
