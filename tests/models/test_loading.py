"""No garbage is collected while libraries load, and what they define is left out of later collections."""

import gc
import subprocess
import sys

import pytest

from geoseg.models.loading import loading


def test_collections_go_on_afterwards_whatever_happens():
    with pytest.raises(ModuleNotFoundError), loading():
        import no_such_library  # noqa: F401
    assert gc.isenabled()
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_modules_define_is_frozen_once_and_the_end_of_the_process_is_as_ever():
    code = """
import gc
from geoseg.models.loading import loading
counts = [gc.get_freeze_count()]
for _ in range(2):
    with loading():
        import segmentation_models_pytorch
    counts.append(gc.get_freeze_count())
print(counts[0] == 0, counts[1] > 50_000, counts[2] == counts[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True True True\n", "")
