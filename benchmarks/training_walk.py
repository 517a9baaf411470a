"""From data to a scored model, as a user types it: autoconfig, check-labels, train, predict, evaluate; CPU and scores.

usage: python benchmarks/training_walk.py --data FOLDER [--case NAME ...] [--minutes 8]
FOLDER is that of the data: buildings/, landcover/, multispectral/; nothing of it is copied. Scores are of blocks that
the training kept for the test, by the split that it writes. Where labels are too few for blocks of their own, every
third polygon of a class is taken out of them before the walk begins, and is what is scored. Training calibrates its
bundle; its error on validation ground is printed.
"""

import argparse
import json
import resource
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
    """Scenes with their labels, by names below FOLDER; flags: more of autoconfig; few: few polygons, by this column."""

    folder: str
    pairs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...] = ()
    few: str | None = None


def cpu_of_children() -> float:
    """Return the CPU seconds of all processes that this one has started and that are at their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


CHIPS = tuple((f"3708035_ne_{n}_naip.tif", f"3708035_ne_{n}_lc.tif") for n in range(8))
CASES = {
    "town of polygons": Case(
        "buildings/banepa_np", (("banepa.tif", "banepa_buildings.gpkg"),), ("--target", "buildings")
    ),
    "label rasters": Case(
        "landcover/chesapeake_wv_1m", CHIPS, ("--scenes", "*_naip.tif", "--labels", "*_lc.tif", "--target", "classes")
    ),
    "sentinel-2 coast": Case(
        "multispectral/s2_beaufort_us",
        (("s2_beaufort_8band.tif", "rcr_landcover.gpkg"),),
        ("--column", "Classname"),
        few="Classname",
    ),
    "sentinel-2 forest": Case(
        "multispectral/s2_amazon_br", (("sen2_12band.tif", "training_polygons.gpkg"),), few="class"
    ),
}


@dataclass
class Walk:
    """One case in a folder of its own."""

    case: Case
    data: Path
    work: Path
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def geoseg(self, verb: str, *arguments: str | Path, may_fail: Sequence[int] = ()) -> None:
        """Run a verb, and keep its time and CPU seconds; may_fail: exit codes that are answers."""
        began, used = time.perf_counter(), cpu_of_children()
        said = [sys.executable, "-m", "geoseg", verb, *map(str, arguments), "-q"]
        done = subprocess.run(said, check=False, capture_output=True, text=True)
        if done.returncode not in (0, *may_fail):
            sys.exit(f"geoseg {verb} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        self.seconds[verb] = self.seconds.get(verb, 0.0) + time.perf_counter() - began
        self.cpu_seconds[verb] = self.cpu_seconds.get(verb, 0.0) + cpu_of_children() - used

    def run(self, minutes: float) -> list[str]:
        """Walk from data to scores; returns a row of each scene with test ground, or else of those that validated."""
        given = self.work / "data"
        given.mkdir()
        for name in {name for pair in self.case.pairs for name in pair}:
            (given / name).symlink_to((self.data / self.case.folder / name).resolve())
        kept = {labels: self.kept(given / labels) for _, labels in self.case.pairs} if self.case.few else {}
        config, model = self.work / "config.yaml", self.work / "model"
        self.geoseg("autoconfig", given, *self.case.flags, "--minutes", f"{minutes:g}", "-o", config)
        self.geoseg("check-labels", config, "-o", self.work / "checked", may_fail=(8,))
        self.geoseg("train", config, "-o", model)
        if kept:
            return [self.score(given / scene, kept[labels], model, "kept") for scene, labels in self.case.pairs]
        split = gpd.read_file(model / "split.gpkg", layer="split")
        role = "test" if (split["role"] == "test").any() else "validation"
        own = split[split["role"] == role]
        pairs = [(given / scene, given / labels) for scene, labels in self.case.pairs]
        return [row for scene, labels in pairs for row in self.scored(scene, labels, model, own)]

    def kept(self, labels: Path) -> Path:
        """Take every third polygon of each class out of the labels, and return the file that they are in."""
        every = gpd.read_file(labels)
        aside = every.groupby(self.case.few).cumcount() % 3 == 2
        labels.unlink()  # the link
        every[~aside].to_file(labels)
        every[aside].to_file(self.work / "kept.gpkg")
        return self.work / "kept.gpkg"

    def scored(self, scene: Path, labels: Path, model: Path, split: gpd.GeoDataFrame) -> Iterator[str]:
        """Yield the scores on a scene's part of some ground, where it has one."""
        ground = split[split["scenes"].str.contains(scene.name, regex=False)]
        if ground.empty:
            return
        aoi = self.work / f"{scene.stem}_test.gpkg"
        within: list[str | Path] = []  # a whole scene is its own ground
        if not ground.geometry.isna().all():
            ground.to_file(aoi)
            within = ["--aoi", aoi]
        yield self.score(scene, labels, model, ground["role"].iloc[0], *within)

    def score(self, scene: Path, labels: Path, model: Path, ground: str, *within: str | Path) -> str:
        """Return a row of what a run over a scene has, against labels."""
        out, told = (self.work / f"{scene.stem}{end}" for end in ("_out", ".json"))
        self.geoseg("predict", scene, "-m", model, "-o", out)
        column = ["--column", self.case.few] if self.case.few else []
        report = told.with_suffix(".html")
        self.geoseg("evaluate", out, "--truth", labels, *column, *within, "--json", told, "--report", report)
        ious = {c["name"]: c["iou"] for c in json.loads(told.read_text())["classes"]}
        said = ", ".join(f"{k} {v:.3f}" for k, v in ious.items() if v is not None)
        return f"| {scene.name} | {ground} | {said} |"


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
        steps = ", ".join(f"{verb} {seconds:.0f}" for verb, seconds in walk.cpu_seconds.items())
        minutes = sum(walk.seconds.values()) / 60
        print(f"\n{name}: {minutes:.1f} minutes, {sum(walk.cpu_seconds.values()):.0f} CPU seconds ({steps})\n")
        print("| scene | ground | IoU |\n|---|---|---|", *rows, sep="\n")
        print("not calibrated" if told is None else f"calibration error: {told['after']['ece']:.3f}", flush=True)


if __name__ == "__main__":
    main()
