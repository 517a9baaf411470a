"""Golden digests: the outputs of the jobs of benchmarks/golden.py are, byte for byte, those of tests/golden.json."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "golden.py"


@pytest.fixture(scope="module")
def golden():
    spec = importlib.util.spec_from_file_location("golden", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_outputs_have_the_digests_that_are_stored(golden, tmp_path):
    """All of them where the stored ones were made; elsewhere those of the probe, which are exact on every machine."""
    stored = json.loads(golden.STORED.read_text(encoding="utf-8"))
    same_machine = stored["identity"] == golden.identity()
    jobs = golden.JOBS if same_machine else tuple(job for job in golden.JOBS if job[0] in golden.EVERYWHERE)
    golden.write_inputs(tmp_path)
    found = golden.digests(golden.ROOT, tmp_path, jobs)
    wanted = {
        file: digest
        for file, digest in stored["sha256"].items()
        if same_machine or file.split("/")[0] in golden.EVERYWHERE
    }
    changed = sorted(file for file in {*found, *wanted} if found.get(file) != wanted.get(file))
    assert not changed, f"bytes changed: {changed}; where that is meant, say so and store them anew"
