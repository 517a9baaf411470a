"""What pseudo-labels give: land cover of one labelled chip, with five more that a model of it has labelled.

usage: python benchmarks/self_training.py FOLDER [SEEDS]    (the chips that configs/train_land_cover.yaml names)
Scored on two chips that no training has, by each seed, with the network of that config. Also a student with an eighth
of the weights: it learns what a teacher of six labelled chips says of them.
"""

import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from machine import describe

from geoseg.config.load import load_config
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.scenes.open import open_scene
from geoseg.training.loop import fit
from geoseg.training.pseudo import pseudo_labels
from geoseg.training.samples import load_samples
from geoseg.training.weak import write_labels

CONFIG = Path(__file__).parents[1] / "configs" / "train_land_cover.yaml"
CHIPS, SCORED = (2, 3, 4, 5, 6, 7), (0, 1)  # the first of them is labelled; the other two hold all classes
SCHEDULE = {"epochs": 2, "steps_per_epoch": 20, "precision": "fp32", "patience": 3}
STUDENT = {"widths": [12, 12]}


@dataclass(frozen=True)
class Bench:
    """Where things lie, and the seed."""

    work: Path
    folder: Path
    seed: int

    def train(
        self, name: str, chips: Iterable[int], pseudo: Mapping[int, Path] | None = None, **options: Any
    ) -> ModelBundle:
        """Train on the bands of 2014 of some chips, with pseudo-labels where there are any."""
        content = yaml.safe_load(CONFIG.read_text())
        data = [{**one, "shippable": False} for one in content["data"] if one["bands"] == "1,2,3,4"]
        used = [{**data[i], "use": "train"} for i in chips]
        for i, file in (pseudo or {}).items():
            used.append({**data[i], "use": "train", "labels": [{"file": str(file), "values": {1: 1, 2: 2, 3: 3}}]})
        content |= {"data": [*used, *({**data[i], "use": "validation"} for i in SCORED)], "split": None}
        content |= {"data_folder": str(self.folder.resolve()), "out": str(self.work / name)}
        content["schedule"] |= {**SCHEDULE, "seed": self.seed}
        content["arch"]["options"] |= options
        config = self.work / f"{name}.yaml"
        config.write_text(yaml.safe_dump(content))
        spec = load_config(config).spec  # type: ignore[union-attr]
        fitted = fit(spec, load_samples(spec))
        return save_model(self.work / name, fitted.network, spec=fitted.spec)

    def label(self, bundle: ModelBundle, chips: Iterable[int], confidence: float) -> dict[int, Path]:
        """Write what a bundle says of chips."""
        out = {}
        for chip in chips:
            scene = open_scene(self.folder / f"3708035_ne_{chip}_naip.tif", bands="1,2,3,4").select(
                bundle.spec.source_bands
            )
            out[chip] = self.work / f"{bundle.spec.training['parameters']}_{chip}_{confidence}.tif"
            ids = pseudo_labels(scene, bundle, confidence=confidence)
            write_labels(out[chip], ids, scene, bundle.spec.class_map, source="")
        return out

    def rows(self) -> dict[str, ModelBundle]:
        """Train everything once."""
        one, six = self.train("one", CHIPS[:1]), self.train("six", CHIPS)
        out = {"one chip by hand": one, "six chips by hand": six}
        for confidence in (0.0, 0.9):
            said = self.label(one, CHIPS[1:], confidence)
            out[f"one by hand, five pseudo from {confidence} on"] = self.train(f"self{confidence}", CHIPS[:1], said)
        out["student, six by hand"] = self.train("small", CHIPS, **STUDENT)
        out["student, six as the teacher says"] = self.train("taught", [], self.label(six, CHIPS, 0.0), **STUDENT)
        return out


def main(folder: Path, seeds: int = 1) -> None:
    print(describe())
    print("| trained on | mean IoU of each seed | mean | parameters |\n|---|---|---|---|")
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as work:
            for name, bundle in Bench(Path(work), folder, seed).rows().items():
                found.setdefault(name, []).append(bundle.spec.training)
    for name, told in found.items():
        ious = [float(np.mean(one["validation_iou"])) for one in told]
        print(f"| {name} | {', '.join(f'{v:.3f}' for v in ious)} | {np.mean(ious):.3f} | {told[0]['parameters']} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
