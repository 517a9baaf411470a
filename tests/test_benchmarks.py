"""The benchmarks run: the driver's smallest sizes end well and leave a page with machine and commit."""

import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).resolve().parent.parent / "benchmarks" / "run_all.py"


@pytest.mark.nightly
def test_a_smoke_run_writes_its_page(tmp_path):
    page = tmp_path / "RESULTS.md"
    done = subprocess.run(
        [sys.executable, str(DRIVER), "--smoke", "--out", str(page)], capture_output=True, check=False
    )
    text = page.read_text(encoding="utf-8")
    assert done.returncode == 0, text
    assert "Failed" not in text
    assert "commit " in text
    assert "| land-cover | torch | fp32 |" in text
    assert "512 x 512 px" in text
    assert "| 640² | geoseg |" in text
    assert "| tiles, by pixel | server, 50 ms late |" in text
    assert "network alone" in text
    assert "| 0.25 | 4 |" in text
    assert "this time: Accuracy" in text
    assert {one.name for one in tmp_path.glob("*.png")} == {"memory.png", "overlap.png", "peers.png", "stages.png"}


@pytest.mark.nightly
def test_what_a_gpu_would_do_gives_the_same_bytes_in_torch_on_the_cpu():
    asked = ["--device", "cpu", "--size", "640", "--runs", "1", "--models", "land-cover"]
    done = subprocess.run(
        [sys.executable, str(DRIVER.with_name("gpu.py")), *asked], capture_output=True, check=True, text=True
    )
    assert "no GPU: figures say nothing of one" in done.stdout
    assert "| equal |" in done.stdout
    assert "DIFFERENT" not in done.stdout
