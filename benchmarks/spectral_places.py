"""The rules of `spectral` on labelled places: water, vegetation, bare or built, and whether confidence sifts.

usage: python benchmarks/spectral_places.py --data FOLDER [--place NAME ...] [--keep OUT]
FOLDER holds landcover/ and multispectral/; nothing of it is copied. Classes are compared as coarse as both sides know
them: dense and sparse vegetation are one, and crops and flooded vegetation are left out. The labels of terramesh are
themselves made by a model (ESRI, 10 m), those of chesapeake are mapped at 1 m and thinned.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from machine import describe

from geoseg import RunOptions, predict
from geoseg.scenes.open import open_scene

WATER, VEGETATION, BARE, SNOW, REST = "water", "vegetation", "bare or built", "snow", "no water"
GROUP_OF_CLASS = {1: WATER, 2: VEGETATION, 3: VEGETATION, 4: BARE, 5: SNOW}
S2 = "B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B11,B12"
S2_L1C = "B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B10,B11,B12"
L8 = "B1,B2,B3,B4,B5,B6,B7,B10,B11"
ESRI = {1: WATER, 2: VEGETATION, 5: BARE, 6: BARE, 7: SNOW, 9: VEGETATION}
CHESAPEAKE = {1: WATER, 2: VEGETATION, 3: VEGETATION, 4: BARE, 5: BARE, 6: BARE}
SURE = 0.8  # confidence


@dataclass(frozen=True)
class Place:
    """A labelled scene; truth: which group each code of the label is of, others are not scored."""

    scene: str
    label: str
    truth: Mapping[int, str]
    bands: str | None = None
    sensor: str | None = None
    group_of_class: Mapping[int, str] = field(default_factory=lambda: GROUP_OF_CLASS)


def _terramesh(level: str, chip: str) -> Place:
    folder = "landcover/terramesh_s2_10m"
    bands = S2 if level == "S2L2A" else S2_L1C
    return Place(f"{folder}/{level}/{chip}.tif", f"{folder}/LULC/{chip}.tif", ESRI, bands, "sentinel-2")


def _chesapeake(season: str) -> Place:
    quad = "landcover/chesapeake_md_26m/m_3907833_nw_17_1"
    return Place(f"{quad}_landsat-{season}.tif", f"{quad}_lc.tif", CHESAPEAKE, L8, "landsat-8")


SPAIN = "multispectral/s2_spain_water/Spain_7370579"
PLACES = {
    "Paraná coast, S2 L2A": _terramesh("S2L2A", "282D_485L_3_3"),
    "Paraná coast, S2 L1C": _terramesh("S2L1C", "282D_485L_3_3"),
    "Temuco, S2 L2A": _terramesh("S2L2A", "433D_629L_3_1"),
    "Temuco, S2 L1C": _terramesh("S2L1C", "433D_629L_3_1"),
    "Maryland, Landsat 8, leaf on": _chesapeake("leaf-on"),
    "Maryland, Landsat 8, leaf off": _chesapeake("leaf-off"),
    "Spain, S2 L1C": Place(
        f"{SPAIN}_S2Hand.tif", f"{SPAIN}_LabelHand.tif", {0: REST, 1: WATER}, S2_L1C, "sentinel-2",
        {1: WATER, 2: REST, 3: REST, 4: REST, 5: REST},
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--place", action="append", choices=PLACES)
    parser.add_argument("--model", default="spectral")
    parser.add_argument("--keep", type=Path, help="folder for the maps")
    args = parser.parse_args()
    print(describe())
    print(f"| place | pixels | right | IoU (share of truth) | right at confidence ≥ {SURE:g} (share) | below |")
    print("|---" * 6 + "|")
    for name in args.place or PLACES:
        with tempfile.TemporaryDirectory() as folder:
            out = args.keep / name if args.keep else Path(folder) / "out"
            print(f"| {name} | {' | '.join(score(PLACES[name], args.data, args.model, out))} |", flush=True)


def score(place: Place, data: Path, model: str, out: Path) -> list[str]:
    """Map a place and return the cells of its row."""
    scene = open_scene(str(data / place.scene), bands=place.bands, sensor=place.sensor)
    predict(scene, model, out, options=RunOptions(overwrite=True))
    with rasterio.open(out / "classes.tif") as src, rasterio.open(out / "confidence.tif") as sure:
        found, confidence = src.read(1), (sure.read(1) - 1.0) / 254
    with rasterio.open(data / place.label) as src:
        label = src.read(1)
    known = np.isin(label, list(place.truth)) & (found > 0)
    truth = np.array([place.truth.get(int(v), "") for v in label[known]])
    said = np.array([place.group_of_class[int(v)] for v in found[known]])
    right, certain = truth == said, confidence[known] >= SURE
    cells = [
        f"{group} {iou(truth == group, said == group):.3f} ({np.mean(truth == group):.3f})" for group in _order(truth)
    ]
    return [
        f"{known.sum()}", f"{right.mean():.3f}", ", ".join(cells),
        f"{right[certain].mean():.3f} ({certain.mean():.2f})", f"{right[~certain].mean():.3f}",
    ]  # fmt: skip


def _order(truth: np.ndarray) -> list[str]:
    return [group for group in (WATER, VEGETATION, BARE, SNOW) if (truth == group).any()]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


if __name__ == "__main__":
    main()
