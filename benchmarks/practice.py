"""What the choices of a training give: one change at a time, on three sites, under one time limit.

usage: python benchmarks/practice.py DATA RESULTS.jsonl [--site NAME] [--row NAME ...] [--seeds 2] [--seconds 20]
           [--default-steps 36] [--encoder lite0.safetensors]
Every row is a training of --seconds CPU seconds: a few steps are timed, and as many are done as fit. On a machine whose
speed changes with what else it does, the limit is the CPU time of --default-steps steps of the default, timed just
before. The network of the last step is scored on a strip of the scene that chose nothing. RESULTS.jsonl keeps each
score as it comes: what stands there is not trained again, and the tables are made of all of it. The encoder is made by
scripts/fetch_encoder.py.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import geopandas as gpd
import yaml
from machine import describe

from geoseg.config.load import load_config
from geoseg.models.backends.torch import one_thread_per_network
from geoseg.training.fitted import Fitted
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec

Content = dict[str, Any]
TIMED = 6  # steps, of which the first two are not counted
TARGET = {"kind": "classes", "column": "kind", "values": {"building": 2}, "elsewhere": 1}
SITES: dict[str, Content] = {
    "aerial": {  # Banepa, Nepal, a drone; footprints of OpenStreetMap
        "data": [{"scene": "buildings/banepa_np/banepa.tif", "labels": "masks.gpkg"}],
        "split": {"validation": {"side": "east", "share": 0.25}, "buffer_px": 128},
        "bands": "red,green,blue",
        "gsd_m": 0.3,
        "target": TARGET
        | {
            "classes": [
                {"id": 1, "name": "ground", "color": "#d0d0d0"},
                {"id": 2, "name": "building", "color": "#c04030"},
            ]
        },
    },
    "satellite": {  # Sentinel-2 in Chile, 224 x 224 px of TerraMesh; classes are what a model of ESRI says
        "data": [
            {
                "scene": "landcover/terramesh_s2_10m/S2L2A/433D_629L_3_1.tif",
                "labels": "landcover/terramesh_s2_10m/LULC/433D_629L_3_1.tif",
                "bands": "2,3,4,8,11,12",
            }
        ],
        "split": {"validation": {"side": "south", "share": 0.35}, "buffer_px": 8},
        "bands": "blue,green,red,nir,swir16,swir22",
        "gsd_m": 10.0,
        "target": {
            "kind": "classes",
            "values": {1: 1, 2: 2, 4: 3, 5: 4, 9: 5, 3: None},
            "classes": [
                {"id": i, "name": name, "color": color}
                for i, (name, color) in enumerate(
                    (("water", "#2b6cb0"), ("trees", "#1b6b2f"), ("crops", "#d9b44a"), ("built", "#9a8f8a"),
                     ("rangeland", "#a8d66b")), 1)
            ],
        },
    },
    "cover": {  # NAIP of West Virginia, 1 m, eight chips of 256 x 256 px with classes that people have drawn
        "data": [
            {
                "scene": f"landcover/chesapeake_wv_1m/3708035_ne_{n}_naip.tif",
                "labels": f"landcover/chesapeake_wv_1m/3708035_ne_{n}_lc.tif",
                "bands": "1,2,3,4",
            }
            for n in range(8)
        ],
        "split": {"validation": {"side": "east", "share": 0.35}, "buffer_px": 16},
        "bands": "red,green,blue,nir",
        "gsd_m": 1.0,
        "target": {
            "kind": "classes",
            "values": {1: None, 2: 1, 3: 2, 4: None, 5: 3, 6: 3},
            "classes": [
                {"id": 1, "name": "tree", "color": "#1b6b2f"},
                {"id": 2, "name": "low vegetation", "color": "#a8d66b"},
                {"id": 3, "name": "impervious", "color": "#9a8f8a"},
            ],
        },
    },
}  # fmt: skip
SCHEDULE = {"epochs": 1, "batch": 4, "crop_px": 128, "precision": "fp32", "keep": "last", "ema": 0.98}
STILL = {
    "scale": [1.0, 1.0], "rotate": False, "gain": 0.0, "band_gain": 0.0, "offset": 0.0, "gamma": [1.0, 1.0],
    "noise": 0.0, "blur": 0.0, "erase": 0.0,
}  # fmt: skip
COMPACT: Content = {"name": "compact-unet", "options": {"widths": [16, 32, 64, 96]}}
LITE: Content = {"arch": {"name": "smp-unet", "options": {"encoder_name": "tu-tf_efficientnet_lite0"}}}
ALONE = ("cross-entropy", "dice", "focal", "lovasz", "tversky", "focal-tversky", "jaccard", "bce")
STRAIGHT = {"augmentation": {"rotate": False}}  # boxes stay upright
ROWS: dict[str, Content] = {
    "default": {},
    "no augmentation": {"augmentation": STILL},
    "scales 0.5 to 2": {"augmentation": {"scale": [0.5, 2.0]}},
    "class weights auto": {"schedule": {"class_weights": "auto"}},
    "encoder, random": LITE,
    "encoder, pretrained": {**LITE, "encoder": {"weights": "ENCODER"}},
    **{f"loss: {name}": {"loss": name} for name in ALONE},
    **{
        f"loss: default + {name}": {
            "loss": {"cross-entropy": 0.5, "dice": 0.5, name: {"weight": 0.1, "ramp": [0.2, 0.5]}}
        }
        for name in ("boundary", "hausdorff")
    },
    "masks, upright": STRAIGHT,
    "boxes as masks": {**STRAIGHT, "labels": "boxes.gpkg"},
    "boxes, GrabCut": {**STRAIGHT, "labels": [{"file": "grabcut.tif", "values": {1: 1, 2: 2}}]},
    "boxes, boxinst": {**STRAIGHT, "labels": "boxes.gpkg", "loss": {"boxinst": {"classes": ["building"]}}},
    **{
        f"network: {name}": {"arch": {"name": name}}
        for name in ("unet", "unet++", "fpn", "pspnet", "linknet", "deeplabv3+", "segformer", "upernet", "pixel-mlp")
    },
}
OF_BOXES = [name for name in ROWS if name.startswith(("boxes", "masks"))]
KEYS = ("site", "row", "seed", "seconds", "default_steps")  # of a line of RESULTS.jsonl


class Bench:
    """Where files lie, and how long a training takes."""

    def __init__(self, data: Path, work: Path, seconds: float, encoder: Path | None, default_steps: int | None) -> None:
        self.data, self.work, self.seconds, self.encoder = data.resolve(), work.resolve(), seconds, encoder
        self.default_steps = default_steps
        work.mkdir(exist_ok=True)
        if not (work / "boxes.gpkg").exists():
            masks = gpd.read_file(self.data / "buildings/banepa_np/banepa_buildings.gpkg")[["geometry"]]
            masks.assign(kind="building").to_file(work / "masks.gpkg")
            masks.assign(kind="building", geometry=masks.envelope).to_file(work / "boxes.gpkg")
            self._grabcut()

    def _grabcut(self) -> None:
        """Make labels of the boxes, as a user does."""
        scene = self.data / "buildings/banepa_np/banepa.tif"
        marks, labels = self.work / "boxes.gpkg", self.work / "grabcut.tif"
        command = ["labels", "weak", str(scene), "--marks", str(marks), "-o", str(labels), "--overwrite"]
        subprocess.run([sys.executable, "-m", "geoseg", *command], check=True)

    def spec(self, site: str, row: str, seed: int, steps: int, *, masks: bool = False) -> TrainSpec:
        """Return a row's training; masks: of the site's own labels, whatever the row shows."""
        change = dict(ROWS[row])
        shown = change.pop("labels", None)
        content: Content = {**SITES[site], "job": "train", "name": row, "arch": COMPACT, **change}
        content["schedule"] = {**SCHEDULE, **change.get("schedule", {}), "steps_per_epoch": steps, "seed": seed}
        one = dict(content["data"][0])
        if shown is not None and not masks:
            one["labels"] = shown
        content["data"] = [self._placed(one), *content["data"][1:]]
        if "encoder" in content:
            content["encoder"] = {"weights": str(self.encoder)}
        config = self.work / "config.yaml"
        config.write_text(yaml.safe_dump({**content, "data_folder": str(self.data), "out": str(self.work / "model")}))
        return load_config(config).spec  # type: ignore[union-attr]

    def _placed(self, one: Content) -> Content:
        """Return an entry whose labels that were made lie in the work folder."""
        labels = one["labels"]
        if isinstance(labels, list):
            return one | {"labels": [layer | {"file": str(self.work / layer["file"])} for layer in labels]}
        return one if "/" in labels else one | {"labels": str(self.work / labels)}

    def score(self, site: str, row: str, seed: int) -> Content:
        """Time some steps, train as many as fit, and return the scores of the last network."""
        seconds = self.seconds
        if self.default_steps is not None:
            seconds = self.default_steps * self._seconds_per_step(site, "default", seed)
        steps = max(TIMED, int(seconds / self._seconds_per_step(site, row, seed)))
        fitted = self._fit(self.spec(site, row, seed, steps), site, row, None)
        facts = fitted.spec.training
        ious = [iou for iou in facts["validation_iou"] if iou is not None]
        found = ious[-1] if site == "aerial" else mean(ious)
        return {"iou": round(found, 4), "ious": ious, "steps": steps, "parameters": facts["parameters"]}

    def _seconds_per_step(self, site: str, row: str, seed: int) -> float:
        ends: list[float] = []
        self._fit(self.spec(site, row, seed, TIMED), site, row, lambda *_: ends.append(time.process_time()))
        return (ends[-1] - ends[1]) / (TIMED - 2)

    def _fit(self, spec: TrainSpec, site: str, row: str, on_step: Callable[[int, int, str], None] | None) -> Fitted:
        samples, plan = load_samples(spec), spec.schedule
        if "labels" in ROWS[row]:
            judged = load_samples(self.spec(site, row, plan.seed, plan.steps_per_epoch, masks=True))
            samples = replace(samples, validation=judged.validation, mapped=judged.mapped)
        return fit(spec, samples, on_step=on_step)


def tables(file: Path) -> Iterator[str]:
    """Yield a table for each site and time limit: mean and spread over seeds, and how far from the default."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for site, seconds in dict.fromkeys((row["site"], row["seconds"]) for row in rows):
        own = [row for row in rows if (row["site"], row["seconds"]) == (site, seconds)]
        ious = {
            name: [row["iou"] for row in own if row["row"] == name] for name in dict.fromkeys(r["row"] for r in own)
        }
        usual = mean(ious["default"]) if "default" in ious else float("nan")
        yield f"\n{site}, {seconds:g} CPU seconds each; {' / '.join(dict.fromkeys(row['on'] for row in own))}\n"
        yield "| change | IoU | spread (s, n - 1) | seeds | against the default | steps |\n|---|---|---|---|---|---|"
        for name, found in ious.items():
            spread = f"{stdev(found):.3f}" if len(found) > 1 else "–"
            steps = mean(row["steps"] for row in own if row["row"] == name)
            yield f"| {name} | {mean(found):.3f} | {spread} | {len(found)} | {mean(found) - usual:+.3f} | {steps:.0f} |"


def main() -> None:
    """Train what is not there yet, seed by seed, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--site", nargs="+", choices=SITES, default=list(SITES))
    parser.add_argument("--row", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--default-steps", type=int, help="the limit is the CPU time of so many steps of the default")
    parser.add_argument("--encoder", type=Path, help="weights of EfficientNet-Lite0")
    asked = parser.parse_args()
    bench = Bench(asked.data, asked.results.with_suffix(".work"), asked.seconds, asked.encoder, asked.default_steps)
    done = (
        {tuple(json.loads(line).get(k) for k in KEYS) for line in asked.results.open()}
        if asked.results.exists()
        else set()
    )
    for row, site, seed in product(asked.row, asked.site, range(asked.seeds)):
        lacks_weights = "encoder" in ROWS[row] and asked.encoder is None
        cell = (site, row, seed, asked.seconds, asked.default_steps)
        if cell in done or lacks_weights or (site != "aerial" and row in OF_BOXES):
            continue
        with one_thread_per_network():
            found = bench.score(site, row, seed)
        told = {**dict(zip(KEYS, cell, strict=True)), **found, "on": describe()}
        with asked.results.open("a") as file:
            file.write(json.dumps(told) + "\n")
        print(site, row, seed, found["iou"], f"{found['steps']} steps", flush=True)
    print(*tables(asked.results), sep="\n")


if __name__ == "__main__":
    main()
