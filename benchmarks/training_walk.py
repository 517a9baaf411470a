"""From data to a scored model, as a user types it: autoconfig, check-labels, train, predict, evaluate; seconds, scores.

usage: python benchmarks/training_walk.py --data FOLDER [--case NAME ...] [--minutes 8]
FOLDER is that of the data: buildings/, landcover/, multispectral/; nothing of it is copied. Scores are of blocks that
the training kept for the test, by the split that it writes; with few labels there are none, and what chose the epoch is
scored instead, which is said. Training calibrates its bundle; its error on validation ground is printed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
from machine import describe


@dataclass(frozen=True)
class Case:
    """Scenes with their labels, by names below FOLDER; flags: more of autoconfig."""

    folder: str
    pairs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...] = ()


CHIPS = tuple((f"3708035_ne_{n}_naip.tif", f"3708035_ne_{n}_lc.tif") for n in range(8))
CASES = {
    "town of polygons": Case(
        "buildings/banepa_np", (("banepa.tif", "banepa_buildings.gpkg"),), ("--target", "buildings")
    ),
    "label rasters": Case(
        "landcover/chesapeake_wv_1m", CHIPS, ("--scenes", "*_naip.tif", "--labels", "*_lc.tif", "--target", "classes")
    ),
    "sentinel-2 coast": Case(
        "multispectral/s2_beaufort_us", (("s2_beaufort_8band.tif", "rcr_landcover.gpkg"),), ("--column", "Classname")
    ),
    "sentinel-2 forest": Case("multispectral/s2_amazon_br", (("sen2_12band.tif", "training_polygons.gpkg"),)),
}


@dataclass
class Walk:
    """One case in a folder of its own."""

    case: Case
    data: Path
    work: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def geoseg(self, verb: str, *arguments: str | Path, may_fail: Sequence[int] = ()) -> None:
        """Run a verb, and keep its time; may_fail: exit codes that are answers."""
        began = time.perf_counter()
        said = [sys.executable, "-m", "geoseg", verb, *map(str, arguments), "-q"]
        done = subprocess.run(said, check=False, capture_output=True, text=True)
        if done.returncode not in (0, *may_fail):
            sys.exit(f"geoseg {verb} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        self.seconds[verb] = self.seconds.get(verb, 0.0) + time.perf_counter() - began

    def run(self, minutes: float) -> list[str]:
        """Walk from data to scores; returns a row of each scene with test ground, or else of those that validated."""
        given = self.work / "data"
        given.mkdir()
        for name in {name for pair in self.case.pairs for name in pair}:
            (given / name).symlink_to((self.data / self.case.folder / name).resolve())
        config, model = self.work / "config.yaml", self.work / "model"
        self.geoseg("autoconfig", given, *self.case.flags, "--minutes", f"{minutes:g}", "-o", config)
        self.geoseg("check-labels", config, "-o", self.work / "checked", may_fail=(8,))
        self.geoseg("train", config, "-o", model)
        split = gpd.read_file(model / "split.gpkg", layer="split")
        role = "test" if (split["role"] == "test").any() else "validation"
        own = split[split["role"] == role]
        pairs = [(given / scene, given / labels) for scene, labels in self.case.pairs]
        return [row for scene, labels in pairs for row in self.scored(scene, labels, model, own)]

    def scored(self, scene: Path, labels: Path, model: Path, split: gpd.GeoDataFrame) -> Iterator[str]:
        """Yield the scores on a scene's part of some ground, where it has one."""
        ground = split[split["scenes"].str.contains(scene.name, regex=False)]
        if ground.empty:
            return
        aoi, out, told = (self.work / f"{scene.stem}{end}" for end in ("_test.gpkg", "_out", ".json"))
        within: list[str | Path] = []  # a whole scene is its own ground
        if not ground.geometry.isna().all():
            ground.to_file(aoi)
            within = ["--aoi", aoi]
        self.geoseg("predict", scene, "-m", model, "-o", out)
        column = self.case.flags[-1:] if "--column" in self.case.flags else ()
        truth = f"{labels}:{column[0]}" if column else str(labels)
        report = told.with_suffix(".html")
        self.geoseg("evaluate", out, "--truth", truth, *within, "--json", told, "--report", report)
        ious = {c["name"]: c["iou"] for c in json.loads(told.read_text())["classes"]}
        said = ", ".join(f"{k} {v:.3f}" for k, v in ious.items() if v is not None)
        yield f"| {scene.name} | {ground['role'].iloc[0]} | {said} |"


def main() -> None:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--minutes", type=float, default=8.0)
    asked = parser.parse_args()
    print(describe())
    for name in asked.case:
        with tempfile.TemporaryDirectory() as work:
            walk = Walk(CASES[name], asked.data, Path(work))
            rows = walk.run(asked.minutes)
            told = json.loads((Path(work) / "model" / "model.json").read_text())["training"].get("calibration")
        steps = ", ".join(f"{verb} {seconds:.0f}" for verb, seconds in walk.seconds.items())
        print(f"\n{name}: {sum(walk.seconds.values()) / 60:.1f} minutes (seconds: {steps})\n")
        print("| scene | ground | IoU |\n|---|---|---|", *rows, sep="\n")
        print("not calibrated" if told is None else f"calibration error: {told['after']['ece']:.3f}", flush=True)


if __name__ == "__main__":
    main()
