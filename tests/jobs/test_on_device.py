"""Runs whose arithmetic is torch's, as on a GPU, give the bytes of those in numpy; the device here is the CPU."""

import hashlib
from functools import partial
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
from conftest import write_bundle, write_tif

from geoseg import PolygonOptions, RunOptions, predict
from geoseg.errors import GeosegError
from geoseg.jobs import arithmetic, chunk
from geoseg.jobs.on_device import OnDevice
from geoseg.models.derived import Derived
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.scaling import Scaling

ALL = ("classes", "confidence", "entropy", "probabilities")
RGB = Normalisation(mean=(80.0, 80.0, 80.0), std=(40.0, 40.0, 40.0))
BESIDE = (
    Output(name="classes", channels=tuple(Channel(name=n, class_id=i) for n, i in (("ground", 1), ("roof", 2)))),
    Output(name="height", activation="linear", range=(-5.0, 40.0), unit="m", channels=(Channel(name="height"),)),
)


def files(run):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.folder.glob("*.tif"))}


@pytest.fixture
def on_cpu(monkeypatch):
    """Let chunks compute in torch from here on; returns the devices that were asked for."""
    asked = []

    def of(job):
        asked.append(OnDevice("cpu"))
        return asked[-1]

    return lambda: monkeypatch.setattr(chunk, "arithmetic_of", of) or asked


@pytest.fixture(scope="module")
def words_scene(tmp_path_factory):
    """192 x 160 px in 16 bits, with a hole."""
    rng = np.random.default_rng(4)
    pixels = rng.integers(1, 256, (3, 192, 160), np.uint16)
    pixels[:, 20:60, 30:90] = 0
    return write_tif(tmp_path_factory.mktemp("words") / "words.tif", pixels, nodata=0, photometric="RGB")


MODELS = {
    "plain": {},
    "coarse": {"gsd_m": 1.2},
    "fine": {"gsd_m": 0.2},
    "calibrated": {"calibration": Scaling((0.7, 0.9, 1.1), (0.0, 0.1, -0.1))},
    "thresholds": {"thresholds": {"background": 0.6, "building": 0.4}},
    "derived": {
        "bands": BandSet.parse("red,green,blue").bands + BandSet.parse("less").bands,
        "derived": (Derived(band="less", formula="green - red"),),
        "normalisation": Normalisation(mean=(80.0, 80.0, 80.0, 0.0), std=(40.0, 40.0, 40.0, 20.0)),
    },
    "height": {"outputs": BESIDE, "polygon_class": None},
}
RUNS = [
    ("plain", {}),
    ("plain", {"tta": "rotate@0.75,1"}),
    ("coarse", {"tta": "flip"}),
    ("fine", {}),
    ("calibrated", {}),
    ("thresholds", {}),
    ("derived", {}),
    ("height", {}),
]


@pytest.mark.parametrize(("name", "options"), RUNS, ids=lambda v: v if isinstance(v, str) else "".join(v.values()))
def test_a_run_has_the_same_files(name, options, on_cpu, words_scene, tmp_path):
    spec = MODELS[name]
    model = write_bundle(tmp_path / name, widths=[8, 16], **spec)
    asked = RunOptions(layers=ALL, lanes=2, chunk_px=512, **options)
    expected = files(predict(words_scene, model, tmp_path / "numpy", options=asked))
    devices = on_cpu()
    found = files(predict(words_scene, model, tmp_path / "torch", options=asked))
    assert devices
    assert found == expected


def test_chunks_hand_windows_on(on_cpu, tiny_bundle, tmp_path, monkeypatch):
    pixels = np.random.default_rng(5).integers(1, 256, (3, 600, 96), np.uint8)
    scene = write_tif(tmp_path / "tall.tif", pixels, photometric="RGB")
    asked = RunOptions(layers=ALL, lanes=1, chunk_px=512)
    expected = files(predict(scene, tiny_bundle, tmp_path / "numpy", options=asked))
    on_cpu()
    handed = []
    own = OnDevice.placed
    monkeypatch.setattr(OnDevice, "placed", lambda self, probs: handed.append(probs) or own(self, probs))
    assert files(predict(scene, tiny_bundle, tmp_path / "torch", options=asked)) == expected
    assert handed


def test_an_ensemble_in_an_area_has_the_same_files(on_cpu, tiny_scene, tiny_bundle, tiny_truth, tmp_path):
    second = write_bundle(
        tmp_path / "second", widths=[8, 12], normalisation=Normalisation(mean=(9.0, 8.0, 7.0), std=(40.0, 41.0, 42.0))
    )
    asked = RunOptions(layers=ALL, aoi=str(tiny_truth), lanes=1)
    run = partial(predict, tiny_scene, [tiny_bundle, second], options=asked, polygons=PolygonOptions())
    expected = run(tmp_path / "numpy")
    on_cpu()
    found = run(tmp_path / "torch")
    assert files(found) == files(expected)
    own, other = (gpd.read_file(one.folder / "buildings.gpkg", layer="buildings") for one in (found, expected))
    assert own.geometry.to_wkb().tolist() == other.geometry.to_wkb().tolist()


def test_a_network_that_answers_nan_is_told(on_cpu, tiny_scene, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("geoseg.models.backends.torch.activated", lambda logits, _spec: logits * float("nan"))
    on_cpu()
    with pytest.raises(GeosegError, match="the network answered NaN"):
        predict(tiny_scene, tiny_bundle, tmp_path / "out", options=RunOptions(lanes=1))


def test_gpus_compute_there_and_everything_else_in_numpy(monkeypatch):
    def job(device, objects=None, backend="torch"):
        platform = SimpleNamespace(device=device, backends=(backend,))
        return SimpleNamespace(platform=platform, spec=SimpleNamespace(objects=objects))

    monkeypatch.setattr("geoseg.jobs.on_device.OnDevice", lambda device: device)
    assert arithmetic.arithmetic_of(job("cpu")) is arithmetic.NUMPY
    assert arithmetic.arithmetic_of(job("cuda")) == "cuda:0"
    assert arithmetic.arithmetic_of(job("cuda", objects="rules")) is arithmetic.NUMPY
    assert arithmetic.arithmetic_of(job("cuda", backend="onnx")) is arithmetic.NUMPY
