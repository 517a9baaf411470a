"""Peak memory is what the plan says, and does not grow with the scene; a stub that costs nothing is the network."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import write_bundle
from rasterio.windows import Window

RUN = """
import json, sys
import numpy as np
import geoseg.models.backends.torch as backends
from geoseg import RunOptions, predict
from geoseg.models.backends.base import Answer

class Stub(backends.TorchBackend):
    def load(self):
        pass
    def __call__(self, windows):
        inside, others = 1 / (1 + np.exp(-windows[:, :1])), len(self.bundle.spec.channels) - 1
        return Answer(np.concatenate([1 - inside, *[inside / others] * others], 1))

backends.TorchBackend = Stub
scene, model, out = sys.argv[1:]
run = predict(scene, model, out, options=RunOptions(chunk_px=2048, lanes=2)).run
peak, planned = run["run"]["peak_memory_bytes"], run["plan"]["peak_memory_bytes"]
print(json.dumps({"peak": peak, "planned": planned, "valid": run["valid_px"]}))
"""


def write_scene(path: Path, size: int) -> Path:
    """A scene of 4 uint8 bands, written block by block."""
    tile = np.random.default_rng(0).integers(1, 255, (4, 1024, 1024), np.uint8) // 32 * 32 + 1
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=4, dtype="uint8", tiled=True, blockxsize=512,
        blockysize=512, compress="zstd", zstd_level=1, crs="EPSG:32633", transform=Affine(1, 0, 4e5, 0, -1, 5e6),
    ) as dst:  # fmt: skip
        dst.descriptions = ("red", "green", "blue", "nir")
        for row in range(0, size, 1024):
            for col in range(0, size, 1024):
                window = Window(col, row, min(1024, size - col), min(1024, size - row))
                dst.write(tile[:, : window.height, : window.width], window=window)
    return path


@pytest.fixture
def four_band_bundle(tmp_path):
    from geoseg.models.spec import Channel, Normalisation
    from geoseg.values.bands import BandSet

    return write_bundle(
        tmp_path / "stub",
        widths=[8, 16],
        bands=BandSet.parse("red,green,blue,nir").bands,
        gsd_m=1.0,
        normalisation=Normalisation(mean=(100.0,) * 4, std=(50.0,) * 4),
        window_px=512,
        margin_px=32,
        channels=(Channel(name="background", class_id=1), Channel(name="building", class_id=2)),
    )


@pytest.mark.memory
def test_peak_memory_is_planned_and_does_not_grow_with_the_scene(tmp_path, four_band_bundle):
    found = {}
    for size in (2500, 5000):
        scene = write_scene(tmp_path / f"{size}.tif", size)
        command = [sys.executable, "-c", RUN, str(scene), four_band_bundle, str(tmp_path / f"out{size}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[size] = json.loads(done.stdout)
        assert found[size]["valid"] == size**2
        assert found[size]["peak"] <= found[size]["planned"], found
    assert found[5000]["peak"] <= 1.15 * found[2500]["peak"], found
