"""The flood config on one hand-labelled chip, Sentinel-2 and Sentinel-1, beside rules that need no labels.

usage: python benchmarks/flood.py --data FOLDER [--steps 120] [--only s2 s1 rules]
FOLDER is multispectral/s2_spain_water: 512 x 512 px, 10 m. Learnt on the western half, watched on the next strip, and
scored on the eastern quarter, which neither training nor choice saw. Nothing of the chip is written beside a folder
that goes at the end.
"""

import argparse
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import rasterio
import yaml
from machine import describe

from geoseg.cli import main as geoseg

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "train_flood.yaml"
SPLIT = {
    "test": {"side": "east", "share": 0.25},
    "validation": {"side": "east", "share": 0.25},
    "buffer_px": 16,
}
SENSORS: dict[str, dict[str, Any]] = {
    "s2": {"bands": "2,3,4,8,12", "file": "Spain_7370579_S2Hand.tif", "changes": {}},
    "s1": {"bands": "1,2", "file": "Spain_7370579_S1Hand.tif", "changes": {"bands": "vv,vh", "derived": []}},
}
NAMES = "coastal,blue,green,red,rededge1,rededge2,rededge3,nir,nir08,nir09,cirrus,swir16,swir22"
LABELS = "Spain_7370579_LabelHand.tif"


def quietly(*words: str | Path) -> None:
    """Run a verb; what it says is left out."""
    with redirect_stdout(StringIO()):
        code = geoseg([*map(str, words), "-q"])
    if code:
        raise SystemExit(f"geoseg {words[0]} ended with {code}")


def score(out: Path, data: Path, water: int) -> float:
    """Return the IoU of water on the eastern quarter."""
    with rasterio.open(out / "classes.tif") as mapped, rasterio.open(data / LABELS) as labels:
        said, truth = (src.read(1)[:, -(src.width // 4) :] for src in (mapped, labels))
    known = (said > 0) & (truth >= 0)
    both, either = ((said == water) & (truth == 1) & known), ((said == water) | (truth == 1)) & known
    return float(both.sum() / either.sum())


def trained(name: str, data: Path, work: Path, steps: int) -> Path:
    """Train for a sensor, and return its map."""
    sensor, content = SENSORS[name], yaml.safe_load(CONFIG.read_text())
    layer = {"file": LABELS, "values": {0: 1, 1: 2, -1: None}}
    content |= {
        "data_folder": str(data), "out": str(work / f"model_{name}"), "split": SPLIT, **sensor["changes"],
        "data": [{"scene": sensor["file"], "labels": [layer], "bands": sensor["bands"]}],
    }  # fmt: skip
    del content["target"]["column"]
    content["target"]["values"] = {0: 1, 1: 2, -1: None}
    content["schedule"] |= {"epochs": max(1, steps // 20), "steps_per_epoch": 20, "batch": 4}
    file = work / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    quietly("train", file)
    out = work / f"map_{name}"
    quietly("predict", data / sensor["file"], "-m", content["out"], "--bands", sensor["bands"], "-o", out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--only", nargs="+", choices=(*SENSORS, "rules"), default=[*SENSORS, "rules"])
    asked = parser.parse_args()
    print(describe(), "| water by | IoU, eastern quarter | CPU seconds |\n|---|---|---|", sep="\n")
    data = asked.data.resolve()
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        for name in asked.only:
            began = time.process_time()
            if name == "rules":
                out = work / "map_rules"
                scene = data / SENSORS["s2"]["file"]
                quietly("predict", scene, "-m", "spectral", "--bands", NAMES, "-o", out)
            else:
                out = trained(name, data, work, asked.steps)
            print(
                f"| {name} | {score(out, data, 1 if name == 'rules' else 2):.3f} | {time.process_time() - began:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
