"""The repository itself: what is tracked, packaged, pinned and linked."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from string import ascii_lowercase

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAX_BYTES = 20 * 2**20
# Homes, and this checkout: a file that names one was made on one machine and holds for no other.
MACHINE_PATH = re.compile(rb"(?<![\w.~/-])(?:/(?:home|Users|root|work)/[\w.-]+|" + re.escape(bytes(ROOT)) + rb"/)")


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_tracked_files_are_small() -> None:
    assert [path for path in tracked_files() if path.stat().st_size > MAX_BYTES] == []


def test_tracked_files_name_no_machine() -> None:
    found = {str(path.relative_to(ROOT)): MACHINE_PATH.search(path.read_bytes()) for path in tracked_files()}
    assert {name: match.group() for name, match in found.items() if match} == {}


def test_machine_paths_are_recognised() -> None:
    assert MACHINE_PATH.search(b'open("' + bytes(Path("/", "home", "ada", "scene.tif")) + b'")')
    assert MACHINE_PATH.search(bytes(ROOT / "scene.tif"))
    assert not MACHINE_PATH.search(b"https://example.org/home/ada and a relative path: data/" + b"work/scene.tif")


def test_every_package_is_installed() -> None:
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "geoseg").rglob("*.py")}
    mapped = set(PROJECT["tool"]["setuptools"]["package-dir"])
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == on_disk | mapped


LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_every_requirement_is_locked_with_hashes_for_each_python() -> None:
    packages = re.findall(r"^([\w.-]+)==(\S+)(.*\n(?: .*\n)*)", LOCK, re.MULTILINE)
    assert [name for name, _, lines in packages if "--hash=sha256:" not in lines] == []
    pins = {canonicalize_name(name): version for name, version, _ in packages}
    for requirement in needed("dev"):  # what "clouds" asks for is 145 MB, and no test needs it
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def needed(extra: str) -> Iterator[Requirement]:
    """What the package asks for, and an extra with the extras that it names."""
    project = PROJECT["project"]
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"][extra]]):
        if requirement.name == project["name"]:
            yield from (inner for other in sorted(requirement.extras) for inner in needed(other))
        else:
            yield requirement


def test_lock_names_no_package_index() -> None:
    assert re.findall(r".*(?:://|--index|--find-links).*", LOCK) == []


@pytest.mark.parametrize("name", ["lightning", "pytorch-lightning"])
def test_versions_that_were_compromised_are_excluded(name: str) -> None:
    wanted = next(r for r in map(Requirement, PROJECT["project"]["dependencies"]) if r.name == name)
    assert list(wanted.specifier.filter(["2.6.1", "2.6.2", "2.6.3", "2.6.4"])) == ["2.6.1", "2.6.4"]


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [t for t in targets if "://" not in t and not (path.parent / t).exists()] == []


def test_every_kind_of_fault_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \| (`.+`) \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
    assert [kind for kind, _ in groupby(kind for kind, _ in rows)] == [*ascii_lowercase, "other systems"]
    named = [re.fullmatch(r"`([\w/]+)::(test_\w+)`", name) for _, tests in rows for name in tests.split(", ")]
    assert [
        name[0]
        for name in named
        if f"\ndef {name[2]}(" not in (ROOT / "tests" / f"{name[1]}.py").read_text(encoding="utf-8")
    ] == []
