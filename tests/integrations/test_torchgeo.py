"""torchgeo's weights, data sets and checkpoints as geoseg's: bands, order and transform are theirs."""

import numpy as np
import pytest
import rasterio
import torch
from conftest import write_tif
from safetensors.torch import save_file

from geoseg.errors import ConfigError, InputError, ModelError
from geoseg.integrations.named import resolved
from geoseg.integrations.torchgeo import bundle_of_task, labelled_scenes, sensor_weights
from geoseg.models.architectures import build_network
from geoseg.models.bundle import load_model
from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation
from geoseg.training import loop
from geoseg.training.data_spec import Split
from geoseg.training.encoder import read_encoder, start_encoder
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import EncoderStart, Schedule, TrainSpec
from geoseg.training.targets import ClassTarget
from geoseg.values.bands import BandSet
from geoseg.values.classes import BUILDING_CLASSES

pytestmark = pytest.mark.filterwarnings("ignore")
RESNET18 = Architecture(name="smp-unet", options={"encoder_name": "resnet18"})


@pytest.mark.parametrize(
    ("name", "sensor", "bands", "mean", "std"),
    [
        ("ResNet18_Weights.SENTINEL2_ALL_MOCO", "sentinel-2", 13, 0, 10000),
        ("ResNet18_Weights.LANDSAT_OLI_SR_MOCO", "landsat-8", 7, 0, 255),
        ("ResNet18_Weights.LANDSAT_TM_TOA_MOCO", "landsat-5", 7, 0, 255),
        ("Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC", "naip", 4, 0, 255),
        ("ResNet50_Weights.SENTINEL1_ALL_MOCO", "sentinel-1", 2, -12.59, 5.26),
        ("ResNet50_Weights.FMOW_RGB_GASSL", None, 3, 0.485 * 255, 0.229 * 255),
        ("ResNet152_Weights.SENTINEL2_MI_MS_SATLAS", "sentinel-2", 9, 0, 255),
    ],
)
def test_bands_and_transform_are_those_of_the_table(name, sensor, bands, mean, std):
    found = sensor_weights(name)
    assert (found.sensor, len(found.bands)) == (sensor, bands)
    assert (found.mean[0], found.std[0]) == pytest.approx((mean, std))
    assert len(BandSet.parse(",".join(found.bands), sensor=sensor)) == len(found.mean) == len(found.std) == bands


def test_every_entry_is_mapped_or_refused_in_one_line():
    from torchgeo import models

    names = [
        f"{kind}.{entry.name}" for kind, table in vars(models).items() if kind.endswith("_Weights") for entry in table
    ]
    told = [_mapped(name) for name in names]
    assert sum(one == "" for one in told) >= 90
    assert all("\n" not in one for one in told)


def _mapped(name):
    """Return why an entry is refused, empty where it is mapped."""
    try:
        found = sensor_weights(name)
        bands = BandSet.parse(",".join(found.bands), sensor=found.sensor)
    except ConfigError as error:
        return str(error)
    return "" if len(bands) == len(found.mean) == len(found.std) else "lengths differ"


def test_an_unknown_name_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match=r"did you mean ResNet18_Weights.SENTINEL2_ALL_MOCO\?"):
        sensor_weights("ResNet18_Weights.SENTINEL2_ALL_MOC")
    with pytest.raises(ConfigError, match="not bands of one date"):
        sensor_weights("Unet_Weights.SENTINEL2_2CLASS_FTW")


@pytest.mark.parametrize(
    ("name", "bands", "sensor", "model_bands"),
    [
        ("ResNet18_Weights.SENTINEL2_ALL_MOCO", 13, "sentinel-2", "B02,B03,B04,B08,B11,B12"),
        ("ResNet18_Weights.LANDSAT_OLI_SR_MOCO", 7, "landsat-8", "B4,B3,B2"),
    ],
)
def test_a_file_that_lies_there_starts_an_encoder_on_its_own_bands(
    tmp_path, monkeypatch, name, bands, sensor, model_bands
):
    from torchgeo.models import resnet18 as torchgeo_resnet18

    monkeypatch.setenv("GEOSEG_MODELS", str(tmp_path))
    torch.manual_seed(0)
    donor = torchgeo_resnet18(in_chans=bands).state_dict()
    start = EncoderStart(weights=f"torchgeo:{name}")
    with pytest.raises(ConfigError, match=r"--allow-network to fetch it, or put the file of https://\S+ there as \S+"):
        resolved(start, allow_network=False)
    path = tmp_path / "weights" / sensor_weights(name).url.rpartition("/")[2]
    path.parent.mkdir()
    save_file({k: v.contiguous() for k, v in donor.items()}, path.with_suffix(".safetensors"))
    found = resolved(_lying(start, path), allow_network=False)
    encoder = read_encoder(found.model_copy(update={"weights": str(path.with_suffix(".safetensors")), "sha256": None}))
    wanted = BandSet.parse(model_bands, sensor=sensor)
    network = build_network(RESNET18, in_channels=len(wanted), out_channels=2)
    start_encoder(network, encoder, wanted, source=name)
    own = encoder.bands.indices_of(wanted)
    assert torch.equal(network.state_dict()["encoder.conv1.weight"], donor["conv1.weight"][:, list(own)])
    normal = encoder.normalisation(wanted, white=found.white)
    assert set(normal.mean) == {0.0}
    assert set(normal.std) == {10000.0 if sensor == "sentinel-2" else 255.0}


def _lying(start, path):
    path.write_bytes(b"")
    return start


def test_a_pair_of_data_sets_is_training_data(tmp_path):
    from torchgeo.datasets import NAIP, RasterDataset

    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    write_tif(
        tmp_path / "images" / "m_3907833_nw_17_1_20170601.tif", rng.integers(0, 255, (4, 64, 64)).astype(np.uint8)
    )
    write_tif(tmp_path / "masks" / "labels.tif", np.ones((1, 64, 64), np.uint8))

    class Masks(RasterDataset):
        filename_glob = "*.tif"
        is_image = False

    found = labelled_scenes(NAIP(str(tmp_path / "images")), Masks(str(tmp_path / "masks")), use="train", sensor="naip")
    assert len(found) == 1
    assert found[0].labels == str(tmp_path / "masks" / "labels.tif")
    assert found[0].use == "train"
    assert open_labelled(found[0]).bands.names == ("R", "G", "B", "N")
    elsewhere = rasterio.Affine(0.5, 0, 9e5, 0, -0.5, 3.06e6)
    (tmp_path / "far").mkdir()
    write_tif(tmp_path / "far" / "labels.tif", np.ones((1, 64, 64), np.uint8), transform=elsewhere)
    with pytest.raises(InputError, match="no label covers any image"):
        labelled_scenes(NAIP(str(tmp_path / "images")), Masks(str(tmp_path / "far")))


def test_a_pair_of_data_sets_trains(tmp_path, monkeypatch):
    """Landsat's surface reflectance: bands, order and transform of SSL4EO-L's weights, labels of another data set."""
    from torchgeo.datasets import RasterDataset

    class Landsat(RasterDataset):
        filename_glob = "scene.tif"
        all_bands = ("SR_B2", "SR_B3", "SR_B4", "SR_B5")

    class Masks(RasterDataset):
        filename_glob = "labels.tif"
        is_image = False

    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")  # the probe measures time
    labels = np.ones((1, 96, 160), np.uint8)
    labels[:, :, ::2] = 2
    pixels = np.random.default_rng(0).integers(7000, 9000, (4, 96, 160)) + 9000 * (labels == 2)
    write_tif(tmp_path / "scene.tif", pixels.astype(np.uint16), photometric="MINISBLACK")
    write_tif(tmp_path / "labels.tif", labels)
    classes = [{"id": 1, "name": "a", "color": "#102030"}, {"id": 2, "name": "b", "color": "#909090"}]
    spec = TrainSpec(
        name="pair",
        data=labelled_scenes(Landsat(str(tmp_path)), Masks(str(tmp_path)), sensor="landsat-8"),
        target=ClassTarget.model_validate({"values": {1: 1, 2: 2}, "classes": classes}),
        bands="red,green,blue,nir",
        arch=Architecture(name="compact-unet", options={"widths": [4, 8]}),
        split=Split.model_validate({"validation": {"side": "east", "share": 0.4}, "buffer_px": 0}),
        augmentation={"scale": (1.0, 1.0)},
        schedule=Schedule(epochs=1, steps_per_epoch=2, batch=2, crop_px=32),
    )
    fitted = fit(spec, load_samples(spec))
    assert fitted.spec.training["manifest"][0]["scene"] == ["scene.tif"]
    low, high = fitted.spec.values.at(0.01), fitted.spec.values.at(0.99)
    assert (low > 6900).all()
    assert (high < 18100).all()
    assert not fitted.spec.values.bytes_alone


def test_files_of_one_band_each_are_one_scene(tmp_path):
    from torchgeo.datasets import RasterDataset

    class Bands(RasterDataset):
        filename_glob = "s_B04.tif"
        filename_regex = r"^s_(?P<band>B\d\d)\.tif$"
        separate_files = True
        all_bands = ("B04", "B03")

    class Masks(RasterDataset):
        filename_glob = "labels.tif"
        is_image = False

    for name in ("s_B04", "s_B03", "labels"):
        write_tif(tmp_path / f"{name}.tif", np.ones((1, 32, 32), np.uint8))
    (found,) = labelled_scenes(Bands(str(tmp_path)), Masks(str(tmp_path)), sensor="sentinel-2")
    assert found.scene == (str(tmp_path / "s_B04.tif"), str(tmp_path / "s_B03.tif"))
    assert open_labelled(found).bands.names == ("B04", "B03")


@pytest.fixture
def spec():
    return ModelSpec(
        name="task", arch=RESNET18, bands=BandSet.parse("R,G,B,N", sensor="naip").bands, gsd_m=1.0,
        normalisation=Normalisation(mean=(0.0,) * 4, std=(255.0,) * 4), window_px=256, margin_px=32, ramp_px=32,
        channels=(Channel(name="background", class_id=1), Channel(name="building", class_id=2)),
        classes=BUILDING_CLASSES,
    )  # fmt: skip


def _checkpoint(path, monkeypatch, **told):
    """Write what a SemanticSegmentationTask leaves, read without a second process."""
    from geoseg.models import unpickle

    torch.manual_seed(1)
    network = build_network(RESNET18, in_channels=4, out_channels=2)
    hyper = {"model": "unet", "backbone": "resnet18", "in_channels": 4, "num_classes": 2, "weights": None, **told}
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": hyper, "epoch": 1}, path)
    done = type("Done", (), {"returncode": 0, "stderr": ""})
    monkeypatch.setattr("subprocess.run", lambda command, **_: unpickle.main(*command[3:]) or done)
    return network


def test_a_task_s_checkpoint_becomes_a_bundle(tmp_path, monkeypatch, spec):
    network = _checkpoint(tmp_path / "last.ckpt", monkeypatch).eval()
    bundle = bundle_of_task(tmp_path / "last.ckpt", tmp_path / "bundle", spec)
    assert load_model(tmp_path / "bundle").spec.training["checkpoint"] == "last.ckpt"
    image = torch.rand(1, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(bundle.network()(image), network(image), atol=0.05, rtol=0.05)  # weights are fp16


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"model": "farseg"}, "model farseg of a torchgeo task is not known"),
        ({"in_channels": 13}, "a network for 13 bands, and 4 are named"),
        ({"num_classes": 7}, "a network for 7 classes, and 2 are named"),
        ({"backbone": "resnet34"}, "tensors matched, .*its network is not"),
    ],
)
def test_another_task_is_refused_in_one_line(tmp_path, monkeypatch, spec, told, words):
    _checkpoint(tmp_path / "last.ckpt", monkeypatch, **told)
    with pytest.raises(ModelError, match=words) as caught:
        bundle_of_task(tmp_path / "last.ckpt", tmp_path / "bundle", spec)
    assert "\n" not in str(caught.value)
