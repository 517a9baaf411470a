"""A scene of nine chunks, a model, and what an undisturbed run makes of them."""

from functools import partial
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
from conftest import write_bundle, write_tif

from faults.patches import MARK, MEAN, STD, die_at_operation, network
from faults.processes import Stage

collect_ignore = ["preloaded.py", "slow_start.py", "stand_in.py"]  # they change the process that imports them
SHAPE, CHUNKS, MARKED = (1056, 1088), 9, "r00001_c00001"
PAUSE_S = 0.02  # for each of about ten windows of a chunk


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.faults)


def write_scene(path, shape):
    """Bright houses on dark, noisy ground with a hole in it; written without compression."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(40, 90, (3, *shape), np.uint8)
    for row in range(20, shape[0] - 60, 160):
        for col in range(20, shape[1] - 60, 160):
            pixels[:, row : row + 40, col : col + 30] += 120
    pixels[:, 250:400, 600:700] = 0
    pixels[:, 768:769, 768:769] = MARK
    return write_tif(path, pixels, photometric="RGB", nodata=0, tiled=True, blockxsize=256, blockysize=256)


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("faults") / "scene.tif", SHAPE)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return stand_in_bundle(tmp_path_factory.mktemp("faults") / "stand-in")


def stand_in_bundle(folder):
    """Save a bundle; its network is never run, ``BrightIsBuilding`` takes its place."""
    from geoseg.models.spec import Normalisation

    normal = Normalisation(mean=(MEAN,) * 3, std=(STD,) * 3)
    return write_bundle(folder, widths=[4, 8], normalisation=normal, window_px=256)


@pytest.fixture
def stage(tmp_path):
    """Runs that take no longer than they must: for faults at a named moment."""
    yield from _stage(tmp_path, pause_s=0)


@pytest.fixture
def slow_stage(tmp_path):
    """Runs that last, for faults that a test brings about while they go on."""
    yield from _stage(tmp_path, pause_s=PAUSE_S)


def _stage(tmp_path, *, pause_s):
    folder = tmp_path / "stage"
    folder.mkdir()
    made = Stage(folder, partial(network, pause_s=pause_s))
    yield made
    made.end()


@pytest.fixture
def job(scene, model, out):
    """The command of the run that is disturbed."""
    return command(scene, model, out)


@pytest.fixture
def out(tmp_path):
    """Where the outputs of ``job`` go."""
    return tmp_path / "out"


def command(scene, model, out):
    plan = ["--chunk-px", 512, "--memory", "4GB"]  # whatever else the machine does
    return ["buildings", scene, "-m", model, "-o", out, *plan, "--progress", "json"]


@pytest.fixture(scope="session")
def undisturbed(scene, model, tmp_path_factory):
    """Bytes of the outputs of an undisturbed run, by name."""
    return outputs_of_a_run(scene, model, tmp_path_factory.mktemp("undisturbed"), chunks=CHUNKS)


def outputs_of_a_run(scene, model, folder, *, chunks):
    """Return the bytes of what ``job`` makes of a scene of so many chunks, by name."""
    run = Stage(folder, network).geoseg(*command(scene, model, folder / "out"))
    assert run.exit_code() == 0, run.log
    assert run.chunks_run == chunks
    return outputs(folder / "out")


def outputs(out):
    """Return the bytes of what lies in an output folder, without run.json, which tells of the run itself.

    A run that was refused before its job began leaves no folder that it made, and so no outputs.
    """
    if not out.exists():
        return {}
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name != "run.json"}


def parts(out):
    """Return the parts that a job has committed."""
    return sorted((out / ".job" / "parts").glob("*/*.tif"))


def assert_nothing_false_is_visible(out, undisturbed):
    """Without run.json the folder is no finished run; what else is shown is whole."""
    found = outputs(out) if out.exists() else {}
    assert all(found[name] == undisturbed[name] for name in found)
    if (out / "run.json").exists():
        assert sorted(found) == sorted(undisturbed)


@pytest.fixture
def operations(stage, job, same, tmp_path, out):
    """The file operations of a run in its folder, in their order: an audit event of Python and a path, a line each."""
    same(stage.geoseg(*job, patches=[partial(die_at_operation, -1, out, tmp_path / "operations")]))
    lines = (tmp_path / "operations").read_text().splitlines()
    assert len(lines) > 100
    return lines


@pytest.fixture
def same_after_kills(stage, job, same, undisturbed, operations, out):
    """Assert that a run that is killed before its N-th file operation ends in the same bytes, for each N asked."""

    def check(numbers):
        killed = 0
        for number in numbers:
            for path in out.iterdir():
                path.unlink()
            run = stage.geoseg(*job, patches=[partial(die_at_operation, number, out)])
            if run.exit_code() == 0 and number > 0.9 * len(operations):  # threads: a run may end a few earlier
                same(run)
                continue
            assert run.exit_code() == -SIGKILL, run.log
            killed += 1
            assert_nothing_false_is_visible(out, undisturbed)
            same(stage.geoseg(*job, *(["--overwrite"] if (out / "run.json").exists() else [])))
        assert killed > 0.8 * len(numbers)

    return check


@pytest.fixture
def same(undisturbed, out):
    """Assert that a run has ended well, and that its outputs are those of the undisturbed one and nothing else."""

    def check(run):
        assert run.exit_code() == 0, run.log
        found = outputs(out)
        assert sorted(found) == sorted(undisturbed)
        assert [name for name in found if found[name] != undisturbed[name]] == []
        assert sorted(p.name for p in out.iterdir()) == sorted([*undisturbed, "run.json"])

    return check
