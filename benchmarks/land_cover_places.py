"""Land cover of the Chesapeake chips: the bundled model, the same config on parts of the ground, and a random forest.

usage: python benchmarks/land_cover_places.py --data FOLDER [--row NAME ...] [--config CONFIG]
FOLDER holds the chips that configs/train_land_cover.yaml names; nothing of it is copied. Rows: bundle (as it comes with
geoseg: it has seen all of this ground), half (trained on the left half of every chip, scored on the right), chips
(trained without the two chips that are scored, four times), autumn (trained on the summer's pixels alone, scored on the
autumn's), forest and forest-chips (a random forest on the same halves and chips; needs scikit-learn).
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from machine import describe
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from geoseg import RunOptions, load_model, open_scene, predict
from geoseg.config.load import load_config
from geoseg.config.trainings import TrainConfig
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.training.data_spec import Cut, LabelledScene, Split
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec

BANDS = {
    "autumn, with NIR": "1,2,3,4",
    "autumn, RGB alone": "1,2,3",
    "summer, with NIR": "5,6,7,8",
    "summer, RGB alone": "5,6,7",
}
LEFT_OUT = ((0, 3), (1, 6), (2, 4), (5, 7))  # impervious ground lies in 1 and 2, hardly any in 0
RIGHT_HALF = Split(test=Cut(side="east", share=0.5), validation=Cut(side="east", share=0.12), buffer_px=0)
Classify = Callable[[str, str], NDArray[np.uint8]]  # (chip, bands) -> class ids


@dataclass(frozen=True)
class Fold:
    """What is trained on, and which chips and columns are scored by it."""

    train: TrainSpec | None  # None: the bundle that comes with geoseg
    chips: tuple[str, ...]
    columns: slice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", default=str(Path(__file__).parent.parent / "configs" / "train_land_cover.yaml"))
    parser.add_argument("--row", action="append", choices=[*ROWS])
    args = parser.parse_args()
    config = load_config(args.config, changes={"data_folder": str(args.data.resolve())})
    assert isinstance(config, TrainConfig)
    spec = config.spec
    print(describe())
    names = [c.name for c in spec.target.class_table]
    print(f"| what | scored on | {' | '.join(f'IoU {name}' for name in names)} | mean | accuracy |")
    print("|---" * (4 + len(names)) + "|")
    for row in args.row or ROWS:
        if row.startswith("forest") and importlib.util.find_spec("sklearn") is None:
            print(f"{row}: no scikit-learn here; pip install scikit-learn")
            continue
        for scored, confusion in totals(row, spec).items():
            print(f"| {row} | {scored} | {' | '.join(cells(confusion))} |", flush=True)


def totals(row: str, spec: TrainSpec) -> dict[str, NDArray[np.int64]]:
    """Return the confusion of true and mapped classes over all folds of a row, by what was scored."""
    found: dict[str, NDArray[np.int64]] = {}
    for fold in ROWS[row](spec):
        with tempfile.TemporaryDirectory() as folder:
            classify = forest(fold.train, spec) if row.startswith("forest") else network(fold.train, Path(folder))
            for scored, bands in BANDS.items():
                if row.startswith("forest") and "RGB" in scored:
                    continue
                for chip in fold.chips:
                    said, truth = (a[:, fold.columns] for a in (classify(chip, bands), true_classes(chip, spec)))
                    found[scored] = found.get(scored, 0) + confusion_of(said, truth, spec)
    return found


def bundle(spec: TrainSpec) -> Iterator[Fold]:
    yield Fold(None, chips_of(spec), slice(None))


def half(spec: TrainSpec) -> Iterator[Fold]:
    data = tuple(item.model_copy(update={"split": RIGHT_HALF}) for item in spec.data)
    yield Fold(spec.model_copy(update={"data": data}), chips_of(spec), slice(128, None))


def chips(spec: TrainSpec) -> Iterator[Fold]:
    for left_out in LEFT_OUT:
        scored = tuple(chips_of(spec)[i] for i in left_out)
        data = tuple(item for item in spec.data if item.scene not in scored)
        yield Fold(spec.model_copy(update={"data": data}), scored, slice(None))


def autumn(spec: TrainSpec) -> Iterator[Fold]:
    data = tuple(item for item in spec.data if item.bands == BANDS["summer, with NIR"])
    yield Fold(spec.model_copy(update={"data": data}), chips_of(spec), slice(None))


ROWS: dict[str, Callable[[TrainSpec], Iterator[Fold]]] = {
    "bundle": bundle, "half": half, "chips": chips, "autumn": autumn, "forest": half, "forest-chips": chips,
}  # fmt: skip


def chips_of(spec: TrainSpec) -> tuple[str, ...]:
    """Return the scenes, each once."""
    return tuple(dict.fromkeys(str(item.scene) for item in spec.data))


def network(train: TrainSpec | None, folder: Path) -> Classify:
    """Return the map of a network: the bundle's, or that of one trained on what ``train`` names."""
    model = load_model("land-cover") if train is None else trained(train, folder)

    def classify(chip: str, bands: str) -> NDArray[np.uint8]:
        out = folder / "out"
        predict(open_scene(chip, bands=bands), model, out, options=RunOptions(overwrite=True, fresh=True))
        return read(out / "classes.tif")[0]

    return classify


def trained(spec: TrainSpec, folder: Path) -> ModelBundle:
    """Train a network and return its bundle."""
    fitted = fit(spec, load_samples(spec))
    save_model(folder / "model", fitted.network, spec=fitted.spec)
    return load_model(folder / "model")


def forest(train: TrainSpec | None, spec: TrainSpec) -> Classify:
    """Return the map of a random forest: pixels, means of 5 and 15 px, NDVI; trained on the autumn's pixels alone."""
    from sklearn.ensemble import RandomForestClassifier

    assert train is not None
    items = [item for item in train.data if item.bands == BANDS["autumn, with NIR"]]
    pairs = [left(features(read(item.scene, "1,2,3,4")), true_classes(item.scene, spec), item) for item in items]
    x, y = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    model = RandomForestClassifier(100, max_samples=0.25, n_jobs=1, random_state=0).fit(x[y > 0], y[y > 0])

    def classify(chip: str, bands: str) -> NDArray[np.uint8]:
        seen = features(read(chip, bands))
        return model.predict(seen.reshape(-1, seen.shape[-1])).reshape(seen.shape[:2])

    return classify


def left(seen: NDArray[np.float32], truth: NDArray[np.uint8], item: LabelledScene) -> tuple[NDArray, NDArray]:
    """Return the pixels to train on: the left half of a chip that is split for it, else all."""
    columns = slice(0, 128) if item.split is not None else slice(None)
    return seen[:, columns].reshape(-1, seen.shape[-1]), truth[:, columns].ravel()


def features(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return (h, w, 13) values of each of (4, h, w) pixels."""
    x = pixels.astype(np.float32)
    means = [uniform_filter(band, side) for side in (5, 15) for band in x]
    return np.stack([*x, *means, (x[3] - x[0]) / (x[3] + x[0] + 1)], -1)


def true_classes(chip: str | tuple[str, ...], spec: TrainSpec) -> NDArray[np.uint8]:
    """Return the class ids of a chip's labels, 0 where there is none."""
    labels = next(item.labels for item in spec.data if item.scene == chip)
    table = np.zeros(256, np.uint8)
    for value, class_id in spec.target.values.items():
        table[int(value)] = class_id or 0
    return table[read(labels)[0]]


def read(path: str | Path, bands: str | None = None) -> NDArray[np.uint8]:
    """Return bands (C, h, w) of a raster."""
    with rasterio.open(path) as src:
        return src.read(None if bands is None else [int(b) for b in bands.split(",")])


def confusion_of(said: NDArray[np.uint8], truth: NDArray[np.uint8], spec: TrainSpec) -> NDArray[np.int64]:
    """Return counts (true class, mapped class) of the pixels with a label."""
    ids = [c.id for c in spec.target.class_table]
    return np.array([[np.sum((truth == a) & (said == b)) for b in ids] for a in ids])


def cells(confusion: NDArray[np.int64]) -> list[str]:
    """Return the IoU of every class, their mean, and the accuracy."""
    hit = np.diag(confusion)
    iou = hit / np.maximum(confusion.sum(0) + confusion.sum(1) - hit, 1)
    return [f"{value:.3f}" for value in (*iou, iou.mean(), hit.sum() / confusion.sum())]


if __name__ == "__main__":
    main()
