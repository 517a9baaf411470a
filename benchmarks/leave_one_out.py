"""Leave one site out: networks of the default's config trained without a site, and scored there.

usage: python benchmarks/leave_one_out.py --data FOLDER --encoder lite2.safetensors --bundles FOLDER
       [--site NAME ...] [--epochs 9] [--precision bf16]
--data holds banepa_np/, austin_us/ and so on; --encoder comes from scripts/fetch_encoder.py. --bundles keeps the
networks, outside the repository: what is there is not trained again. Confidence of a site's polygons is fitted to the
polygons of the other sites that were left out, each by the network that has not seen it: nothing of it is of the site.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from building_places import PLACES, Run, cells, head, run_place
from machine import describe
from numpy.typing import NDArray

from geoseg.cli import main as geoseg
from geoseg.training.confidence import fit_confidence
from geoseg.trust.objects import match_pairs
from geoseg.values.confidence import polygon_features

CONFIG = Path(__file__).parents[1] / "configs" / "train_buildings.yaml"
SITES = ("austin", "chicago", "kitsap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--bundles", type=Path, required=True)
    parser.add_argument("--site", nargs="+", choices=SITES, default=list(SITES))
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    print(describe(), flush=True)
    schedule = {"epochs": args.epochs, "steps_per_epoch": args.steps, "precision": args.precision}
    for site in args.site:
        out = args.bundles / f"without-{site}"
        if not (out / "model.json").exists():
            train(site, args.data, args.encoder, out, schedule)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            site: run_place(PLACES[site], args.data, str(args.bundles / f"without-{site}"), Path(folder) / site)
            for site in args.site
        }
        learnt = {site: features_of(run) for site, run in runs.items()}
        print(head())
        for site, run in runs.items():
            others = [pair for other, pair in learnt.items() if other != site]
            row = cells(run, confidences(learnt[site][0], others))
            print(f"| {site} | without-{site} | its own | {' | '.join(row)} |", flush=True)


def features_of(run: Run) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what the confidence of each polygon is made of, and whether it is a building."""
    made = run.predicted
    features = polygon_features(
        mean_probability=made.confidence.to_numpy(float),  # these bundles know no other
        area_m2=made.area_m2.to_numpy(float),
        perimeter_m=made.perimeter_m.to_numpy(float),
        iou_contour=made.iou_contour.to_numpy(float),
    )
    right = np.zeros(len(made), bool)
    right[match_pairs(run.truth, shapely.make_valid(made.geometry.values)).predicted] = True
    return features, right


def confidences(
    features: NDArray[np.float64], others: list[tuple[NDArray[np.float64], NDArray[np.bool_]]]
) -> NDArray[np.float64]:
    """Return the chance of each polygon, (N,), fitted to those of other sites."""
    if not others:
        raise SystemExit("confidence is fitted to other sites: give two or more of --site")
    seen, right = (np.concatenate(parts) for parts in zip(*others, strict=True))
    return fit_confidence(seen, right).of(features)


def train(site: str, data: Path, encoder: Path, out: Path, schedule: Mapping[str, Any]) -> None:
    """Train the default's config without the scenes of a site."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(without(site, data, encoder, out, schedule)))
    if geoseg(["train", str(config), "-q"]) != 0:
        raise SystemExit(f"{site}: the training failed")


def without(site: str, data: Path, encoder: Path, out: Path, schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default's config without the scenes of a site."""
    content = yaml.safe_load(CONFIG.read_text())
    scenes = [scene for scene in content["data"] if not scene["scene"].startswith(site)]
    if len(scenes) == len(content["data"]):
        raise SystemExit(f"{site}: {CONFIG} has no scene of it")
    folders = {file.name: file.parent.name for file in data.glob("*/*")}
    for scene in scenes:
        scene |= {key: f"{folders[scene[key]]}/{scene[key]}" for key in ("scene", "labels")}
    content |= {"name": out.name, "data": scenes, "data_folder": str(data.resolve()), "out": str(out.resolve())}
    content["encoder"] |= {"weights": str(encoder.resolve())}
    content["schedule"] |= {**schedule, "patience": schedule["epochs"]}
    return content


if __name__ == "__main__":
    main()
