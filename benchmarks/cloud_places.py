"""The cloud models on labelled scenes, and how close they are to the package that they come from.

usage: python benchmarks/cloud_places.py --data FOLDER [--model clouds ...] [--parity]
Needs `geoseg models --install clouds` first, and onnxruntime for --parity. FOLDER holds clouds/ and multispectral/;
nothing of it is copied. The three scenes of clouds/ are test files of the package itself, so they are no measure of
other ground. The label of the Gulf coast is made of the product's quality band: two automatic masks are compared.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from machine import describe

from geoseg import RunOptions, predict
from geoseg.models.bundle import load_model
from geoseg.scenes.open import open_scene
from geoseg.scenes.scene import Scene

OWN = "clouds/clouds_s2_landsat_6band"
# Of the package's test files, 0..4. Their provenance calls 1 snow and 2 water; on the pictures 1 lies on rivers and
# reservoirs, and 2 does not occur.
LABELS = ("cloud shadow", "water", "code 2", "land", "cloud")
SCALED = {"scale": 1e-4}
GULF = "multispectral/l8_gulf_coast_us"
GULF_LABELS = {1: "clear", 2: "cirrus", 3: "cloud"}
SCENES = {
    "sentinel2": (f"{OWN}/sentinel2.tif", f"{OWN}/sentinel2_label.tif", dict(enumerate(LABELS)), SCALED),
    "landsat7": (f"{OWN}/landsat7.tif", f"{OWN}/landsat7_label.tif", dict(enumerate(LABELS)), SCALED),
    "landsat5": (f"{OWN}/landsat5.tif", f"{OWN}/landsat5_label.tif", dict(enumerate(LABELS)), SCALED),
    "gulf coast": (f"{GULF}/l8_10band.tif", f"{GULF}/qa_cloudmask.tif", GULF_LABELS, {"sensor": "landsat-8"}),
}
SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append")
    parser.add_argument("--parity", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the maps")
    args = parser.parse_args()
    print(describe())
    for model in args.model or ["clouds"]:
        for name, (path, label, labels, told) in SCENES.items():
            scene = open_scene(str(args.data / path), **told)
            with tempfile.TemporaryDirectory() as folder:
                out = (args.keep or Path(folder)) / f"{model}, {name}"
                predict(scene, model, out, options=RunOptions(overwrite=True))
                with rasterio.open(out / "classes.tif") as src, rasterio.open(args.data / label) as truth:
                    print(f"{model}, {name}: {score(src.read(1), truth.read(1), labels)}", flush=True)
            if args.parity and path.startswith(OWN):
                print(f"  parity: {parity(scene, model)}", flush=True)


def score(found: np.ndarray, label: np.ndarray, labels: dict[int, str]) -> str:
    """Return, for each label, the share of its pixels that is taken for clear, cloud and shadow."""
    names = ("clear", "cloud", "cloud shadow")
    rows = []
    for code, name in labels.items():
        of = found[(label == code) & (found > 0)]
        if of.size:
            shares = ", ".join(f"{n} {np.mean(of == i):.3f}" for i, n in enumerate(names, 1))
            rows.append(f"{name} ({of.size} px): {shares}")
    return "; ".join(rows)


def parity(scene: Scene, model: str) -> str:
    """Return how far the network's logits, in fp32, are from the package's own, and the share of equal classes."""
    import onnxruntime
    import torch
    import ukis_csmask

    from geoseg.models.csmask import KINDS
    from geoseg.scenes.reading import read

    bundle = load_model(model)
    selected = scene.select(bundle.spec.band_set)
    image = selected.physical(read(selected, selected.grid.box).data.astype(np.float32))
    normal = bundle.spec.normalisation
    image = (image - np.float32(normal.mean)[:, None, None]) / np.float32(normal.std)[:, None, None]
    file = Path(ukis_csmask.__file__).parent / f"model_{KINDS[model][0]}.onnx"
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    package = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    network, far, same = bundle.network(), 0.0, []
    for row in range(0, image.shape[1], SIDE):
        for col in range(0, image.shape[2], SIDE):
            window = np.ascontiguousarray(image[None, :, row : row + SIDE, col : col + SIDE])
            with torch.inference_mode():
                own = network(torch.from_numpy(window)).numpy()
            theirs = package.run(None, {package.get_inputs()[0].name: window})[0].astype(np.float32)
            far = max(far, float(np.abs(own - theirs).max()))
            same.append(np.mean(own.argmax(1) == theirs.argmax(1)))
    return f"logits differ by {far:.4f} at most, {np.mean(same):.6f} of the classes are equal"


if __name__ == "__main__":
    main()
