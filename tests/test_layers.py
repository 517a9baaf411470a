"""The order of the layers, and what each may import, read from the sources; and that the command line starts light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "geoseg"

# A part imports from its own layer and from those above it in this list.
LAYERS = (
    {"errors", "failures", "numba_cache", "__version__"},
    {"untrusted"},
    {"disk"},
    {"values"},
    {"options"},
    {"tiling"},
    {"vector"},
    {"objects", "classical"},
    {"trust"},
    {"scenes"},
    {"outputs"},
    {"device"},
    {"models"},
    {"tasks"},
    {"executors"},
    {"jobs"},
    {"training", "integrations"},
    {"selftest"},
    {"config", "pipelines", "cli", "qgis", "__main__"},
)
ORDER = {part: number for number, layer in enumerate(LAYERS) for part in layer}
# They stand in vector/ beside what they call, and use executors and write outputs as jobs/ does.
EDGES = {"vector/tiles/draw.py", "vector/coverage/draw.py", "vector/footprints/regularize.py"}
# Arrays in, arrays out: no files, no torch, no dask.
PURE = {"tiling", "vector", "objects", "classical", "trust"}
PURE_LIBRARIES = {"affine", "geoseg", "numba", "numpy", "pyproj", "rasterio", "scipy", "shapely"}
PURE_RASTERIO = ("rasterio.crs.", "rasterio.features", "rasterio.transform")
FILE_MODULES = {"io", "os", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile"}
HEAVY = {"torch", "torchgeo", "dask", "distributed", "onnx", "onnxruntime", "openvino", "transformers"}


@dataclass(frozen=True, slots=True)
class Import:
    """What a line imports, as a full dotted name, and whether it does so only when a function is called."""

    line: int
    name: str
    lazy: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """Which part of geoseg it is: ``grid`` for ``geoseg.values.grid.Box``."""
        return self.name.partition(".")[2].partition(".")[0]


def imports(node: ast.AST, *, lazy: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(child.lineno, alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = "." * child.level + (child.module or "")
            yield from (Import(child.lineno, f"{module}.{alias.name}", lazy) for alias in child.names)
        else:
            yield from imports(child, lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def faults(part: str, source: str) -> list[str]:
    """Say what a module of ``part`` imports that it may not."""
    found = []
    for item in imports(ast.parse(source)):
        told = f"line {item.line} imports {item.name}"
        if item.top == "":
            found.append(f"{told}: imports are absolute here")
        if item.top == "geoseg":
            if ORDER.get(item.part, len(LAYERS)) > ORDER[part]:
                found.append(f"{told}: {part} stands above {item.part or 'the whole package'}")
            if item.part == "pipelines" and not (part == "cli" and item.lazy):
                found.append(f"{told}: only the command line calls pipelines, inside its functions")
        if item.top == "torchgeo" and not item.lazy:
            found.append(f"{told}: torchgeo is slow to load, so functions import it")
        if item.name in {"numba", "numba.njit"} and part != "numba_cache":
            found.append(f"{told}: geoseg.numba_cache has njit, whose kernels run where no code can be kept")
        if part in PURE and not is_pure(item):
            found.append(f"{told}: {part} is arrays in, arrays out")
    return found


def is_pure(item: Import) -> bool:
    if item.top == "rasterio":
        return item.name.startswith(PURE_RASTERIO)
    return item.top in PURE_LIBRARIES or (item.top in sys.stdlib_module_names and item.top not in FILE_MODULES)


def part_of(path: Path) -> str:
    name = path.relative_to(PACKAGE)
    return "jobs" if name.as_posix() in EDGES else name.with_suffix("").parts[0]


PLUGIN = PACKAGE / "qgis" / "plugin"  # a package of its own in QGIS's Python, which imports nothing of geoseg's
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py" and PLUGIN not in p.parents)


def test_modules_import_what_their_layers_may() -> None:
    found = []
    for path in MODULES:
        name, part = path.relative_to(PACKAGE).as_posix(), part_of(path)
        assert part in ORDER, f"{name}: give it a place in LAYERS"
        found += [f"{name}: {fault}" for fault in faults(part, path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("errors", "from geoseg.values.box import Box"),
        ("tiling", "from geoseg.scenes.reading import read"),
        ("tiling", "from geoseg import vector"),
        ("tiling", "def f():\n    import torch"),
        ("trust", "import dask.array"),
        ("trust", "from pathlib import Path"),
        ("vector", "import rasterio"),
        ("vector", "from numba import njit"),
        ("vector", "from rasterio import open"),
        ("models", "from .spec import ModelSpec"),
        ("vector", "if True:\n    import geopandas"),
        ("models", "import geoseg"),
        ("models", "import torchgeo.models"),
        ("executors", "def f():\n    from geoseg.jobs.job import Job"),
        ("jobs", "from geoseg.training.loop import fit"),
        ("training", "def f():\n    from geoseg import predict"),
        ("config", "def f():\n    import geoseg.pipelines"),
        ("cli", "from geoseg import pipelines"),
    ],
)
def test_forbidden_import_is_found(part: str, line: str) -> None:
    assert len(faults(part, line)) == 1


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("jobs", "from geoseg import __version__"),
        ("jobs", "from geoseg.jobs.job import Job"),
        ("vector", "from rasterio import features"),
        ("vector", "from rasterio.crs import CRS"),
        ("models", "def f():\n    import torchgeo"),
        ("cli", "def f():\n    from geoseg.pipelines import buildings"),
    ],
)
def test_allowed_import_is_allowed(part: str, line: str) -> None:
    assert faults(part, line) == []


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import atexit, runpy, sys\n"
        "sys.argv = ['geoseg', '--help']\n"
        f"atexit.register(lambda: print('loaded', *sorted({HEAVY!r} & set(sys.modules))))\n"
        "runpy.run_module('geoseg', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "loaded"


def test_the_walks_name_files_that_are_there():
    text = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8").partition("## Walks")[2]
    named = re.findall(r"`([\w./]+/\w+(?:\.py)?)`", text)
    assert len(named) > 50
    places = [(PACKAGE, ""), (PACKAGE, ".py"), (PACKAGE.parent, ".py"), (PACKAGE.parent, "")]
    assert [name for name in named if not any((folder / f"{name}{end}").is_file() for folder, end in places)] == []
