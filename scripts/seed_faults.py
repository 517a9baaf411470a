"""Seed ten faults, one at a time, into a copy of the tree, and see whether the tests catch them.

usage: python scripts/seed_faults.py [TREE]    (default: this repository; exit 1 where a fault is not caught)

A fault replaces a text that stands in one file of geoseg/ alone, and tests are found by their file's name, so any
layout of the tree will do. All of these tests run in `make test`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("geoseg", "pipelines", "configs", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, the text that is replaced and by what, and the files of the tests that should see it."""

    name: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "wrong ramp: weights rounded down",
        "np.rint(RAMP_ONE * (0.5 - 0.5 * np.cos(np.pi * centre)))",
        "np.floor(RAMP_ONE * (0.5 - 0.5 * np.cos(np.pi * centre)))",
        ("test_ramp.py", "test_axis.py"),
    ),
    Fault(
        "shifted window: the last one is moved back into the scene",
        "return i * self.stride\n",
        "return min(i * self.stride, max(self.size - self.window, 0))\n",
        ("test_axis.py", "test_kernel.py"),
    ),
    Fault(
        "wrong padding: the last pixel is repeated instead of mirrored",
        "return np.minimum(phase, period - phase) if",
        "return np.minimum(indices, self.size - 1) if",
        ("test_axis.py", "test_kernel.py"),
    ),
    Fault(
        "nodata lost: pixels without data get a class",
        "usable = usable & pixels.block.valid[",
        "usable = usable | pixels.block.valid[",
        ("test_kernel.py",),
    ),
    Fault(
        "area of interest leaks: outputs outside it",
        "usable &= pixels.wanted[",
        "usable & pixels.wanted[",
        ("test_kernel.py",),
    ),
    Fault(
        "stale part: a part of another job counts as done",
        'if found is not None and found["fingerprint"] == job.fingerprint:',
        "if found is not None:",
        ("test_folder.py", "test_shared_folder.py"),
    ),
    Fault(
        "wrong overview: of equally common classes the last one",
        "if votes > most:",
        "if votes >= most:",
        ("test_overviews.py",),
    ),
    Fault(
        "shuffled bands: taken in the file's order",
        "order = self.bands.indices_of(wanted, where=self.name)",
        "order = tuple(range(len(wanted)))",
        ("test_source.py", "test_kernel.py", "test_predict.py"),
    ),
    Fault(
        "unlocked write: two runs in one folder",
        ", of=self.path.parent, shared=shared)",
        ", of=self.path.parent, shared=True)",
        ("test_folder.py", "test_predict.py"),
    ),
    Fault(
        "dropped part: a chunk without a part is left out of the map",
        "if not whole or len(parts) != len(rows) * len(cols):",
        "if not whole:",
        ("test_cog.py",),
    ),
)


def place_of(fault: Fault, tree: Path) -> Path:
    """Return the one file that holds the fault's text; exits where there is none, or several."""
    files = [path for path in (tree / "geoseg").rglob("*.py") if fault.old in path.read_text(encoding="utf-8")]
    if len(files) != 1:
        sys.exit(f"{fault.name}: its text stands in {len(files)} files of {tree}")
    return files[0]


def catcher(fault: Fault, tree: Path) -> str | None:
    """Seed a fault into ``tree``, run its tests, take it out again; returns the first test that fails."""
    path = place_of(fault, tree)
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
    files = [str(file.relative_to(tree)) for name in fault.tests for file in sorted((tree / "tests").rglob(name))]
    failed = first_failure(files, tree)
    path.write_text(sound, encoding="utf-8")
    return failed


def first_failure(tests: Iterable[str], tree: Path) -> str | None:
    """Return the first of the tests that fails in ``tree``, None where all pass; exits where pytest itself fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or failed is None:  # 1: tests failed
        sys.exit(f"pytest ended with {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
    return failed[1]


def main() -> None:
    """Print a row for each fault; what caught it has to pass without it."""
    origin = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (origin / name).is_dir() else shutil.copy
            copy(origin / name, tree / name)  # compiled code too
        for name in ("configs", "pipelines"):  # as an installation has them, inside the package
            (tree / "geoseg" / name).symlink_to(tree / name)
        caught = {}
        for fault in FAULTS:
            caught[fault.name] = catcher(fault, tree)
            print(f"| {fault.name} | {caught[fault.name] or 'NOT CAUGHT'} |", flush=True)
        failed = first_failure(dict.fromkeys(filter(None, caught.values())), tree)
    if failed:
        sys.exit(f"{failed} fails without a fault: mend it first")
    sys.exit(None in caught.values())


if __name__ == "__main__":
    main()
