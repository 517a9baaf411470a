"""What each verb loads: every other library is hidden, and the verb runs without it, and does not even ask."""

import json
import shutil
import subprocess
import sys
from itertools import chain, pairwise

import pytest
import yaml
from onnx_nets import onnx_bundle

from geoseg.cli import main
from geoseg.cli.verbs import VERBS

VECTORS = {"geopandas", "pandas", "pyarrow", "pyogrio", "shapely", "xarray"}  # pyogrio loads geopandas where it is
COMPILED = {"numba", "scipy"}  # numba loads scipy by itself
POLYGONS, NETWORK = {*COMPILED, *VECTORS}, {*COMPILED, "shapely", "torch"}
LOOKED_FOR = {"onnx", "onnxruntime", "sklearn"}  # torch._dynamo asks where they lie
# What a verb may load of the libraries that take long to load, and the exit code of its arguments below. A refusal of
# flags loads none.
MAY_LOAD: dict[str, tuple[set[str], int]] = {
    "--help": ({"rich"}, 0),
    "info": (set(), 0),
    "models": (set(), 0),
    "models, networks": (set(), 0),
    "advise": (set(), 0),
    "autoconfig, refused": (set(), 2),
    "labels, refused": (set(), 2),
    "labels export, refused": (set(), 5),
    "labels import, refused": (set(), 3),
    "train, refused": (set(), 5),
    "regularize, refused": (set(), 2),
    "refine, refused": (set(), 2),
    "fetch-tiles, refused": (set(), 5),
    "qgis": (set(), 0),
    "demo, refused": ({"shapely"}, 5),
    "check": (POLYGONS, 0),
    "evaluate": (POLYGONS, 0),
    "report": (POLYGONS, 0),
    "areas": (POLYGONS, 0),
    "change": (POLYGONS, 0),
    "vectorize": (POLYGONS, 0),
    "regularize": (POLYGONS, 0),
    "buildings": ({*POLYGONS, "torch"}, 0),
    "train": ({*POLYGONS, "torch", "matplotlib", *LOOKED_FOR}, 0),
    "finish": ({"shapely"}, 0),
    "predict, an ONNX file": ({"rich", *COMPILED, "shapely", "onnx", "onnxruntime"}, 0),
    "predict": (NETWORK, 0),
    "plan": (NETWORK, 0),
    "run": (NETWORK, 0),
    "batch": (NETWORK, 0),
    "import, refused": (set(), 5),
    "export, refused": (set(), 5),
    "fit, refused": (set(), 5),
    "segment, refused": (set(), 2),
    "prompt, refused": (set(), 2),
    "review, refused": (set(), 2),
    "clean, refused": (set(), 2),
    "annotations, refused": (set(), 5),
    "monitor, refused": (set(), 2),
    "calibrate, refused": (set(), 5),
    "check-labels, refused": (set(), 3),
    "verify, refused": ({*POLYGONS, "torch"}, 6),
}
# Verbs that run one after the other in one process: a later one may load all that those before it may.
CHAINS = (
    ("--help", "predict, an ONNX file"),
    (
        "info", "models", "import, refused", "export, refused", "fit, refused", "segment, refused", "prompt, refused",
        "review, refused", "monitor, refused", "clean, refused", "annotations, refused",
        "advise", "autoconfig, refused", "labels, refused", "labels export, refused", "labels import, refused",
        "calibrate, refused", "check-labels, refused",
        "train, refused", "regularize, refused", "refine, refused", "fetch-tiles, refused", "qgis", "demo, refused",
        "check", "evaluate", "areas", "report", "change", "vectorize", "regularize", "buildings", "train",
    ),
    ("finish", "predict", "plan", "run", "batch", "verify, refused"),
)  # fmt: skip
SLOW = {
    "dask", "distributed", "matplotlib", "numba", "onnx", "onnxruntime", "openvino", "rich", "scipy",
    "segmentation_models_pytorch", "sklearn", "timm", "torch", "torchgeo", "torchvision", "transformers", *VECTORS,
}  # fmt: skip
HIDE = """
import json, sys
hidden, asked, ends = set(), [], []
class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            asked.append(f"{name} by {frame.f_globals.get('__name__')}")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hider())
for verb, hides, argv in json.loads(sys.argv[1]):
    hidden = set(hides)
    from geoseg.cli import main
    ends.append([verb, main(argv), asked])
    asked = []
print(json.dumps(ends), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def arguments(tiny_scene, tiny_bundle, tiny_truth, finished_run, tmp_path_factory):
    """The arguments of each verb on small inputs."""
    folder = tmp_path_factory.mktemp("imports")
    model = ["-m", tiny_bundle, "--device", "cpu"]
    parts = ["predict", tiny_scene, *model, "-q", "-o", folder / "parts", "--shard", "1/1"]
    assert main(list(map(str, parts))) == 0
    each = {"job": "land_cover", "model": str(tiny_bundle)}
    batch = {"job": "batch", "scenes": str(tiny_scene), "out": "batch", "each": each}
    (folder / "batch.yaml").write_text(yaml.safe_dump(batch))
    train = {
        "job": "train", "name": "houses", "data": [{"scene": str(tiny_scene), "labels": str(tiny_truth)}],
        "target": {"kind": "buildings", "border_m": 0.5}, "bands": "red,green,blue", "gsd_m": 0.5,
        "arch": {"name": "compact-unet", "options": {"widths": [4, 8]}},
        "split": {
            "validation": {"side": "south", "share": 0.3}, "test": {"side": "east", "share": 0.25}, "buffer_px": 8,
        },
        "schedule": {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop_px": 32},
        "window_px": 128, "margin_px": 16, "ramp_px": 32,
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(train))
    (folder / "exported").mkdir()
    for name in ("model.onnx", "instances.json"):
        (folder / "exported" / name).touch()
    net = onnx_bundle(folder / "net", tiny_bundle)
    classes = finished_run / "classes.tif"
    tiles = ["https://example.org/{z}/{x}/{y}", "--aoi", tiny_truth, "--zoom", "9", "--licence", "CC0"]
    return {
        "--help": ["--help"],
        "info": ["info", tiny_scene],
        "models": ["models"],
        "models, networks": ["models", "--networks"],
        "check": ["check", finished_run],
        "predict": ["predict", tiny_scene, *model, "-q", "-o", folder / "second"],
        "predict, an ONNX file": ["predict", tiny_scene, "-m", net, "--device", "cpu", "-q", "-o", folder / "onnx"],
        "plan": ["plan", tiny_scene, *model],
        "buildings": ["buildings", tiny_scene, *model, "-q", "-o", folder / "third"],
        "finish": ["finish", folder / "parts", "-q"],
        "run": ["run", folder / "parts" / "run.json", "-q", "-o", folder / "again"],
        "batch": ["batch", folder / "batch.yaml", "-q"],
        "verify, refused": ["verify", tiny_scene, *model, "--memory", "1MB", "-q"],
        "demo, refused": ["demo", "-o", finished_run],
        "import, refused": ["import", folder / "net.onnx", "-o", tiny_bundle],
        "export, refused": ["export", "buildings", "-o", folder / "exported"],
        "fit, refused": ["fit", tiny_scene, "--method", "otsu", "-o", tiny_bundle],
        "calibrate, refused": ["calibrate", tiny_bundle, folder / "train.yaml", "-o", tiny_bundle],
        "check-labels, refused": ["check-labels", folder / "nowhere.yaml"],
        "segment, refused": ["segment", tiny_scene, "-o", folder / "segments.tif"],
        "annotations, refused": ["annotations", finished_run, "-o", folder / "exported"],
        "clean, refused": ["clean", finished_run, "-o", folder / "cleaned.tif"],
        "review, refused": ["review", finished_run, "-o", folder / "review.txt"],
        "monitor, refused": ["monitor", finished_run, "-o", folder / "drift.txt"],
        "prompt, refused": ["prompt", tiny_truth, "-m", "sam", "-o", folder / "asked"],
        "train": ["train", folder / "train.yaml", "-o", folder / "trained", "-q"],
        "advise": ["advise", "rare", "class"],
        "autoconfig, refused": ["autoconfig", folder, "-o", folder / "config.txt"],
        "labels, refused": ["labels", "weak", tiny_scene, "--marks", tiny_truth, "-o", folder / "labels.png"],
        "labels export, refused": ["labels", "export", tiny_scene, tiny_truth, "--format", "cvat", "-o", finished_run],
        "labels import, refused": ["labels", "import", folder / "coco.json", "-o", folder / "labels.gpkg"],
        "train, refused": ["train", folder / "train.yaml", "-o", tiny_bundle],
        "fetch-tiles, refused": ["fetch-tiles", *tiles, "-o", tiny_scene],
        "evaluate": ["evaluate", finished_run, "--truth", tiny_truth],
        "report": ["report", shutil.copytree(finished_run, folder / "reported")],
        "areas": ["areas", classes, "--zones", tiny_truth, "-o", folder / "areas.csv", "-q"],
        "change": ["change", classes, classes, "-o", folder / "change", "-q"],
        "qgis": ["qgis", "zip", "-o", folder / "plugin.zip"],
        "vectorize": ["vectorize", classes, "-o", folder / "drawn.gpkg", "--class-id", "2", "-q"],
        "regularize": ["regularize", tiny_truth, "-o", folder / "straight.gpkg", "-q"],
        "refine, refused": ["refine", tiny_truth, tiny_scene, "-o", folder / "straight.txt"],
        "regularize, refused": ["regularize", tiny_truth, "-o", folder / "straight.txt"],
    }


@pytest.mark.parametrize("verbs", CHAINS, ids=lambda verbs: f"{verbs[0]} to {verbs[-1]}")
def test_verbs_load_what_they_need(verbs, arguments):
    calls = [[verb, sorted(SLOW - MAY_LOAD[verb][0]), list(map(str, arguments[verb]))] for verb in verbs]
    command = [sys.executable, "-c", HIDE, json.dumps(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ends = json.loads(done.stderr.splitlines()[-1])
    assert ends == [[verb, MAY_LOAD[verb][1], []] for verb in verbs], done.stderr


def test_every_verb_is_tried():
    assert {verb.partition(",")[0] for verb in chain(*CHAINS)} == {"--help", *VERBS}
    for verbs in CHAINS:
        assert all(MAY_LOAD[one][0] <= MAY_LOAD[next_one][0] for one, next_one in pairwise(verbs))
