"""What each verb loads: every other library is hidden, and the verb runs without it, and does not even ask."""

import json
import subprocess
import sys

import pytest
import yaml

VECTORS = {"geopandas", "pandas", "pyarrow", "pyogrio", "shapely", "xarray"}  # pyogrio loads geopandas where it is
COMPILED = {"numba", "scipy"}  # numba loads scipy by itself
# What a verb may load of the libraries that take long to load, and the exit code of its arguments below. A refusal of
# flags loads none.
MAY_LOAD: dict[str, tuple[set[str], int]] = {
    "--help": ({"rich"}, 0),
    "info": (set(), 0),
    "train, refused": (set(), 5),
    "regularize, refused": (set(), 2),
    "check": ({*COMPILED, *VECTORS}, 0),
    "evaluate": ({*COMPILED, *VECTORS}, 0),
    "vectorize": ({*COMPILED, *VECTORS}, 0),
    "regularize": ({*COMPILED, *VECTORS}, 0),
    "predict": ({*COMPILED, "shapely", "torch"}, 0),
}
GROUPS: dict[frozenset[str], list[str]] = {}  # verbs that may load the same share a process
for _verb, (_may, _) in MAY_LOAD.items():
    GROUPS.setdefault(frozenset(_may), []).append(_verb)
SLOW = {
    "dask", "distributed", "matplotlib", "numba", "rich", "scipy", "segmentation_models_pytorch", "sklearn", "timm",
    "torch", "torchgeo", "torchvision", *VECTORS,
}  # fmt: skip
HIDE = """
import json, sys
hidden, asked = set(json.loads(sys.argv[1])), []
class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            asked.append(f"{name} by {frame.f_globals.get('__name__')}")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hider())
from geoseg.cli import main
codes = [main(argv) for argv in json.loads(sys.argv[2])]
print(json.dumps([codes, asked]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def arguments(tiny_scene, tiny_bundle, tiny_truth, finished_run, tmp_path_factory):
    """The arguments of each verb on small inputs."""
    folder = tmp_path_factory.mktemp("imports")
    model = ["-m", tiny_bundle, "--device", "cpu"]
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
    classes = finished_run / "classes.tif"
    return {
        "--help": ["--help"],
        "info": ["info", tiny_scene],
        "check": ["check", finished_run],
        "predict": ["predict", tiny_scene, *model, "-q", "-o", folder / "second"],
        "train, refused": ["train", folder / "train.yaml", "-o", tiny_bundle],
        "evaluate": ["evaluate", finished_run, "--truth", tiny_truth],
        "vectorize": ["vectorize", classes, "-o", folder / "drawn.gpkg", "--class-id", "2", "-q"],
        "regularize": ["regularize", tiny_truth, "-o", folder / "straight.gpkg", "-q"],
        "regularize, refused": ["regularize", tiny_truth, "-o", folder / "straight.txt"],
    }


@pytest.mark.parametrize("verbs", GROUPS.values(), ids=", ".join)
def test_verbs_load_what_they_need(verbs, arguments):
    may_load, _ = MAY_LOAD[verbs[0]]
    calls = json.dumps([[str(a) for a in arguments[verb]] for verb in verbs])
    command = [sys.executable, "-c", HIDE, json.dumps(sorted(SLOW - may_load)), calls]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    codes, asked = json.loads(done.stderr.splitlines()[-1])
    assert (codes, asked) == ([MAY_LOAD[verb][1] for verb in verbs], []), done.stderr
