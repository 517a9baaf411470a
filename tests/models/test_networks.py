"""Every network of the table is built, trained, saved, and predicts the same bytes however a scene is walked.

`make test` asks this of four, with half of the steps; `make test-all` of all.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import write_bundle, write_tif
from networks import TINY

from geoseg import RunOptions, predict
from geoseg.models.architectures import NETWORKS, build_network, check_architecture
from geoseg.models.backends.torch import TorchBackend, one_thread_per_network
from geoseg.models.bundle import load_model, save_model
from geoseg.models.spec import Architecture
from geoseg.values.bands import BandSet

FAST = ("unet", "deeplabv3+", "segformer", "mask2former")
BLENDED = [name for name, kind in NETWORKS.items() if not kind.detects]  # of the others see test_detectors
EVERY = [name if name in FAST else pytest.param(name, marks=pytest.mark.nightly) for name in BLENDED]
ALONE = [pytest.param(name, marks=[pytest.mark.memory, pytest.mark.nightly]) for name in BLENDED]
CLASSES, IMAGES, STEPS = 3, 20, 30
RATES = dict.fromkeys(("unet", "deeplabv3+", "nnunet-plain", "plain-unet", "pixel-mlp"), 3e-3) | {
    "mask2former": 1e-2,
    "oneformer": 2e-3,
}
STACKS = {"temporal": 2, "unet3d": 2}  # dates that the channels are of

PREDICT = """
import json, sys
from geoseg import RunOptions, predict
scene, model, out = sys.argv[1:]
run = predict(scene, model, out, options=RunOptions(chunk_px=512, lanes=1)).run
print(json.dumps([run["run"]["peak_memory_bytes"], run["plan"]["peak_memory_bytes"]]))
"""


def toy(shape, seed):
    """Bytes (4, h, w) with bright squares and dark discs on noise, and their labels 0, 1, 2."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image, labels = rng.integers(90, 140, (4, *shape)), np.zeros(shape, np.int64)
    for i in range(max(6, shape[0] * shape[1] // 2000)):
        row, col, size = rng.integers(shape[0]), rng.integers(shape[1]), rng.integers(6, 18)
        away = np.maximum(abs(rows - row), abs(cols - col)) if i % 2 else np.hypot(rows - row, cols - col)
        labels[away < size] = 1 + i % 2
    image[:, labels == 1] += np.array([[90], [60], [-40], [70]])
    image[:, labels == 2] -= np.array([[80], [-60], [70], [40]])
    return image.astype(np.uint8), labels


@dataclass(frozen=True)
class Tiny:
    name: str

    @property
    def arch(self):
        return Architecture(name=self.name, options=TINY[self.name])

    @property
    def options(self):
        return check_architecture(self.arch)

    def built(self, bands=4):
        torch.manual_seed(1)
        return build_network(self.arch, in_channels=bands, out_channels=CLASSES)

    def saved(self, folder: Path, network):
        size = max(256, self.options.least_px)
        write_bundle(
            folder, widths=[4, 8], bands=BandSet.parse("red,green,blue,nir").bands, window_px=size, margin_px=0,
            ramp_px=32, normalisation={"mean": [115.0] * 4, "std": [60.0] * 4},
        )  # fmt: skip
        spec = load_model(folder).spec.model_copy(update={"arch": self.arch, "probed": None})
        return save_model(folder, network, spec=spec, half=False, overwrite=True)


def cost(logits, labels):
    """Cross entropy and Dice of the two kinds of objects."""
    p, hot = logits.softmax(1), torch.nn.functional.one_hot(labels, CLASSES).movedim(-1, 1)
    common, both = (p * hot).sum((0, 2, 3)), (p + hot).sum((0, 2, 3))
    return torch.nn.functional.cross_entropy(logits, labels) + (1 - (2 * common + 1) / (both + 1))[1:].mean()


def trained(tiny, network):
    """Return the losses of STEPS steps of two images each, or of half as many where `make test` waits."""
    size = max(96, tiny.options.least_px)
    pairs = [toy((size, size), seed) for seed in range(IMAGES)]
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).float().sub(115).div(60)
    labels = torch.from_numpy(np.stack([label for _, label in pairs]))
    optimiser = torch.optim.AdamW(network.parameters(), RATES.get(tiny.name, 1e-3))
    losses = []
    for step in range(STEPS // 2 if tiny.name in FAST else STEPS):
        pick = torch.arange(2 * step, 2 * step + 2) % IMAGES
        loss = cost(network.train()(images[pick]), labels[pick])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def written(path, shape):
    ground, _ = toy((211, 211), 99)
    write_tif(path, np.tile(ground, (1, 7, 4))[:, : shape[0], : shape[1]])
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("red", "green", "blue", "nir")
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return written(tmp_path_factory.mktemp("networks") / "scene.tif", (530, 300))


@pytest.fixture(scope="module")
def large_scene(tmp_path_factory):
    """No side is a multiple of anything: 6 chunks of 512 px, 2 of 1024, 1 of 2048."""
    return written(tmp_path_factory.mktemp("networks") / "large.tif", (1301, 777))


@pytest.fixture(scope="module", params=EVERY)
def learnt(request, tmp_path_factory):
    """A network after its steps, their losses, and a bundle of it: an untrained one may say the same everywhere."""
    tiny = Tiny(request.param)
    network = tiny.built()
    losses = trained(tiny, network)
    return tiny, network, losses, tiny.saved(tmp_path_factory.mktemp("learnt") / "tiny", network)


def test_a_network_is_built_trained_saved_and_predicts_the_same_bytes(learnt, scene, tmp_path):
    tiny, network, losses, bundle = learnt
    many = 13 * STACKS.get(tiny.name, 1)
    with torch.no_grad():
        size = max(96, tiny.options.least_px)
        assert tiny.built(many).eval()(torch.zeros(1, many, size, size)).shape == (1, CLASSES, size, size)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), losses

    again = bundle.network().state_dict()
    assert all(torch.equal(again[key], value) for key, value in network.state_dict().items())
    check_bits(bundle)
    check_bytes(scene, bundle, tmp_path, ways=((512, "threads"), (2048, "sync")))


@pytest.mark.nightly
def test_every_chunk_size_and_engine_gives_the_same_bytes(learnt, large_scene, tmp_path):
    ways = [(n, way) for n in (512, 1024, 2048) for way in ("sync", "threads")]
    check_bytes(large_scene, learnt[-1], tmp_path, ways=ways)


def check_bits(bundle):
    """Two calls, and two places in a batch, give the same bits."""
    backend = TorchBackend(bundle, device="cpu", precision="fp32")
    size = bundle.spec.window_px
    one, other = np.random.default_rng(0).standard_normal((2, 4, size, size)).astype(np.float32)
    with one_thread_per_network():
        first, again, turned = (backend(np.stack(pair)).values for pair in ((one, other), (one, other), (other, one)))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, turned[::-1])


def check_bytes(scene, bundle, folder, *, ways):
    """However the scene is walked, its class map and probabilities are the same, and the network says something."""
    runs = []
    for chunk_px, engine in ways:
        options = RunOptions(chunk_px=chunk_px, engine=engine, probabilities=True)
        runs.append(predict(scene, bundle.path, folder / f"{chunk_px}-{engine}", options=options))
    assert len({run.run["plan"]["chunks"] for run in runs}) > 1
    for layer in ("classes.tif", "probabilities.tif"):
        assert len({(run.folder / layer).read_bytes() for run in runs}) == 1, layer
    assert len(np.unique(runs[0].to_xarray("probabilities"))) > 10


@pytest.mark.parametrize("name", [name for name in NETWORKS if NETWORKS[name].least_batch > 1])
def test_a_batch_of_one_is_refused_in_training_by_those_that_say_so_alone(name):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        Tiny(name).built().train()(torch.zeros(1, 4, 128, 128))


@pytest.mark.parametrize("name", ALONE)
def test_peak_memory_is_planned_and_not_by_far_too_high(name, large_scene, tmp_path):
    tiny = Tiny(name)
    bundle = tiny.saved(tmp_path / "tiny", tiny.built())
    command = [sys.executable, "-c", PREDICT, str(large_scene), bundle.path, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, planned = json.loads(done.stdout)
    print(f"{name}: {peak / 2**20:.0f} MiB of {planned / 2**20:.0f} planned")
    assert peak <= planned <= 3 * peak
