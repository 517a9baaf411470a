"""Fit how likely a model's polygons are right, on ground that it was not trained on, and print it for model.json.

usage: python scripts/fit_confidence.py --model BUNDLE --place SCENE.tif TRUTH.gpkg [--place ...] [--into BUNDLE]
With --into, writes it into that bundle's model.json: of the network trained on all places, where --model left some out.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg import PolygonOptions, predict
from geoseg.models.bundle import load_model
from geoseg.training.confidence import fit_confidence
from geoseg.trust.objects import match_pairs
from geoseg.values.confidence import polygon_features


def main() -> None:
    """Run the model over every place, match its polygons, fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--place", nargs=2, action="append", required=True, metavar=("SCENE", "TRUTH"))
    parser.add_argument("--into", type=Path)
    args = parser.parse_args()
    if load_model(args.model).spec.polygon_confidence is not None:
        parser.error(f"{args.model} has a confidence already: its polygons do not tell their mean probability")
    found = [polygons_of(args.model, scene, truth) for scene, truth in args.place]
    features, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    fitted = fit_confidence(features, right)
    print(json.dumps(asdict(fitted)))
    said = fitted.of(features)
    for least in (0.0, 0.5, 0.8):
        kept = right[said >= least]
        print(f"confidence ≥ {least:g}: {kept.mean():.3f} of {len(kept)} are buildings")
    if args.into is not None:
        file = args.into / "model.json"
        told = json.loads(file.read_text())
        changed = told | {"polygon_confidence": asdict(fitted)}
        file.write_text(json.dumps(changed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def polygons_of(model: str, scene: str, truth: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the features of the polygons that a model finds, and whether each is a building."""
    with tempfile.TemporaryDirectory() as folder:
        predict(scene, model, Path(folder) / "out", polygons=PolygonOptions())
        made = gpd.read_file(Path(folder) / "out" / "buildings.gpkg", layer="buildings")
    true = shapely.get_parts(shapely.make_valid(gpd.read_file(truth).to_crs(made.crs).geometry.values))
    right = np.zeros(len(made), bool)
    right[match_pairs(true, shapely.make_valid(made.geometry.values)).predicted] = True
    print(f"{Path(scene).name}: {right.sum()} of {len(made)} polygons are buildings, of {len(true)}")
    said = made.confidence.to_numpy(float)
    features = polygon_features(
        mean_probability=said,
        area_m2=made.area_m2.to_numpy(float),
        perimeter_m=made.perimeter_m.to_numpy(float),
        iou_contour=made.iou_contour.to_numpy(float),
    )
    return features, right


if __name__ == "__main__":
    main()
