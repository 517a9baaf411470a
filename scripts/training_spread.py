"""Enter into a bundle how far the areas of its training are apart, which ``geoseg train`` keeps since it was made.

usage: python scripts/training_spread.py CONFIG BUNDLE --data FOLDER [--pieces 768]
CONFIG and FOLDER are those of ``geoseg train``; nothing is trained. The quantiles that the bundle holds are compared
with those of FOLDER, and nothing is written where they differ by more than 2 % of their range: it is other ground then.
--pieces tells how far pieces of so many pixels of the areas are, at the resolution of the training.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geoseg.config.load import load_config
from geoseg.config.trainings import TrainConfig
from geoseg.models.bundle import load_model
from geoseg.models.values import TrainedValues
from geoseg.training.samples import Samples, load_samples
from geoseg.values.box import Box

MOST = 0.02  # of the range of a band's quantiles


def main() -> None:
    """Read the training areas, compare, and write values.among into model.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pieces", type=int, metavar="PX")
    args = parser.parse_args()
    config = load_config(args.config, changes={"data_folder": args.data})
    held = load_model(args.bundle).spec.values
    if not isinstance(config, TrainConfig) or held is None:
        parser.error("the config is not one of geoseg train, or the bundle says nothing of its values")
    samples = load_samples(config.spec)
    found = samples.values()
    before, after = np.array(held.quantiles), np.array(found.quantiles)
    apart = np.abs(before - after) / np.ptp(before, axis=1, keepdims=True)
    print(f"{len(samples.train)} areas; quantiles differ by {apart.max():.2%} of their range at most")
    print(f"among: {', '.join(f'{index:g}' for index in found.among) or 'one area alone'}")
    if args.pieces is not None:
        indices = np.array([*piece_indices(samples, found, args.pieces)])
        for share in (0.5, 0.9, 1):
            told_at = ", ".join(f"{index:.2f}" for index in np.quantile(indices, share, 0))
            print(f"{len(indices)} pieces of {args.pieces} px, index that {share:.0%} of them do not exceed: {told_at}")
    if apart.max() > MOST:
        parser.error(f"{args.data} holds other ground than that of {args.bundle}")
    if found.among:
        file = args.bundle / "model.json"
        told = json.loads(file.read_text(encoding="utf-8"))
        told["values"]["among"] = list(found.among)
        file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def piece_indices(samples: Samples, values: TrainedValues, side_px: int) -> Iterator[list[float]]:
    """Yield the stability index of each band of each piece of which half is valid or more."""
    for area in samples.train:
        for box in Box(0, 0, *area.shape).blocks(side_px):
            pixels = area.read(box)
            if 2 * pixels.valid.sum() >= side_px**2:
                bands = pixels.image[: len(values.quantiles), pixels.valid]
                yield [values.stability_index(i, band[~np.isnan(band)]) for i, band in enumerate(bands)]


if __name__ == "__main__":
    main()
