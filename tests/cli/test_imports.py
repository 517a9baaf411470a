"""What each verb loads: every other library is hidden, and the verb runs without it, and does not even ask."""

import json
import subprocess
import sys

import pytest

VECTORS = {"geopandas", "pandas", "pyarrow", "pyogrio", "shapely", "xarray"}  # pyogrio loads geopandas where it is
# What a verb may load of the libraries that take long to load. numba loads scipy by itself.
MAY_LOAD: dict[str, set[str]] = {
    "--help": {"rich"},
    "info": set(),
    "check": {"numba", "scipy", *VECTORS},
    "predict": {"numba", "scipy", "shapely", "torch"},
    "evaluate": {"numba", "scipy", *VECTORS},
    "vectorize": {"numba", "scipy", *VECTORS},
    "regularize": {"numba", "scipy", *VECTORS},
}
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
code = main(sys.argv[2:])
print(json.dumps([code, asked]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def arguments(tiny_scene, tiny_bundle, tiny_truth, finished_run, tmp_path_factory):
    """The arguments of each verb on small inputs, of a run that is finished."""
    folder = tmp_path_factory.mktemp("imports")
    run = ["predict", tiny_scene, "-m", tiny_bundle, "--device", "cpu", "-q"]
    return {
        "--help": ["--help"],
        "info": ["info", tiny_scene],
        "check": ["check", finished_run],
        "predict": [*run, "-o", folder / "second"],
        "evaluate": ["evaluate", finished_run, "--truth", tiny_truth],
        "vectorize": [
            "vectorize",
            finished_run / "classes.tif",
            "-o",
            folder / "drawn.gpkg",
            "--class-id",
            "2",
            "-q",
        ],
        "regularize": ["regularize", tiny_truth, "-o", folder / "straight.gpkg", "-q"],
    }


@pytest.mark.parametrize("verb", MAY_LOAD)
def test_a_verb_loads_what_it_needs(verb, arguments):
    hidden = json.dumps(sorted(SLOW - MAY_LOAD[verb]))
    command = [sys.executable, "-c", HIDE, hidden, *map(str, arguments[verb])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    code, asked = json.loads(done.stderr.splitlines()[-1])
    assert (code, asked) == (0, []), done.stderr
