"""A driver that is killed before every single file operation, on four chunks; in shares, for several processes."""

import pytest

from faults.conftest import outputs_of_a_run, write_scene

SHARES = 8


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("small") / "scene.tif", (560, 560))


@pytest.fixture(scope="session")
def undisturbed(scene, model, tmp_path_factory):
    return outputs_of_a_run(scene, model, tmp_path_factory.mktemp("undisturbed"), chunks=4)


@pytest.mark.nightly
@pytest.mark.parametrize("share", range(SHARES))
def test_killed_before_any_file_operation_a_run_ends_in_the_same_bytes(operations, same_after_kills, share):
    same_after_kills(range(share, len(operations), SHARES))
