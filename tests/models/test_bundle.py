"""A bundle is checked before it is believed, and nothing in it is ever run as code."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import ModelError, OutputError
from geoseg.models import bundle as bundles
from geoseg.models import known
from geoseg.models.architectures import build_network
from geoseg.models.bundle import load_model, save_model
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.classes import BUILDING_CLASSES
from geoseg.values.grid import Grid

WEIGHTS = "weights.safetensors"
SIGMOID = {"name": "roads", "activation": "sigmoid", "channels": [{"name": "road"}, {"name": "rail"}]}
HEIGHT = {"name": "height", "activation": "linear", "channels": [{"name": "height"}], "range": [0, 60], "unit": "m"}


def spec(**changes):
    values = {
        "name": "tiny",
        "arch": Architecture(name="compact-unet", options={"widths": [4, 8]}),
        "bands": BandSet.parse("red,green").bands,
        "gsd_m": 0.5,
        "normalisation": Normalisation(mean=(80.0, 90.0), std=(40.0, 50.0)),
        "channels": tuple(Channel(name=n, class_id=i) for n, i in (("background", 1), ("interior", 2), ("border", 2))),
        "classes": BUILDING_CLASSES,
        "polygon_class": "building",
    }
    return ModelSpec(**{k: v for k, v in {**values, **changes}.items() if v is not None or k == "gsd_m"})


@pytest.mark.parametrize(
    ("range_m", "native_m", "read_m"),
    [(None, 0.1, 0.5), ((0.3, 0.6), 0.1, 0.3), ((0.3, 0.6), 0.4, 0.4), ((0.3, 0.6), 2.0, 0.6)],
)
def test_a_model_of_several_resolutions_reads_what_lies_between_as_it_is(range_m, native_m, read_m):
    grid = Grid(CRS.from_epsg(32633), Affine(native_m, 0, 5e5, 0, -native_m, 5.3e6), (10, 10))
    assert spec(gsd_range_m=range_m).reading_gsd_m(grid) == pytest.approx(read_m, rel=1e-3)


@pytest.mark.parametrize("range_m", [(0.6, 0.3), (0.0, 0.3), (0.3, 1e300)])
def test_a_range_of_resolutions_that_is_none_is_refused(range_m):
    with pytest.raises(ValueError, match="is no range from"):
        spec(gsd_range_m=range_m)


def network(seed=0, widths=(4, 8)):
    torch.manual_seed(seed)
    return build_network(
        Architecture(name="compact-unet", options={"widths": list(widths)}), in_channels=2, out_channels=3
    )


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "tiny", network(), spec=spec())
    return tmp_path / "tiny"


def edit(folder, change):
    content = json.loads((folder / "model.json").read_text())
    change(content)
    (folder / "model.json").write_text(json.dumps(content))


def put_weights(folder, content):
    """Replace the weights by other bytes whose sha256 is right."""
    (folder / WEIGHTS).write_bytes(content)
    edit(folder, lambda c: c["weights"].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)))


@pytest.mark.parametrize("half", [True, False])
def test_round_trip(tmp_path, half):
    net = network()
    found = save_model(tmp_path / "m", net, spec=spec(), half=half)
    assert found.spec.probed.window_px == spec().window_px
    assert found.spec == spec(probed=found.spec.probed)
    assert found.weights.bytes == (tmp_path / "m" / WEIGHTS).stat().st_size
    again = load_model(tmp_path / "m")
    assert again == found
    assert pickle.loads(pickle.dumps(again)) == again
    loaded, state = again.network(), net.state_dict()
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    for name, tensor in loaded.state_dict().items():
        expected = state[name].half().to(state[name].dtype) if half and tensor.is_floating_point() else state[name]
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, expected), name
    image = torch.rand(1, 2, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(loaded(image), net.eval()(image), atol=0.02 if half else 0)


def test_a_bundle_of_schema_1_is_one_softmax_and_keeps_its_digest(folder):
    def as_it_was(content):
        content["schema_version"] = 1
        content["channels"] = content.pop("outputs")[0]["channels"]
        del content["probed"]

    before = load_model(folder)
    edit(folder, as_it_was)
    told = (folder / "model.json").read_bytes()
    found = load_model(folder)
    assert found.spec == before.spec.model_copy(update={"probed": None})
    assert found.spec.outputs == (Output(channels=found.spec.channels),)
    assert found.digest == hashlib.sha256(told).hexdigest() != before.digest


def test_groups_are_channels_in_order(tmp_path):
    own = spec(outputs=[SIGMOID, {"channels": [c.model_dump() for c in spec().channels]}, HEIGHT], channels=None)
    assert (own.out_channels, own.class_of_channel) == (6, (0, 1, 1))
    assert [own.channels_of(group) for group in own.outputs] == [slice(0, 2), slice(2, 5), slice(5, 6)]
    assert ModelSpec.model_validate_json(own.model_dump_json()) == own


def test_values_beyond_half_precision_are_kept(tmp_path):
    net = network()
    net.encoder[0].norm1.running_var[:] = 1e6
    loaded = save_model(tmp_path / "m", net, spec=spec()).network()
    assert (loaded.encoder[0].norm1.running_var == 1e6).all()


def test_a_score_that_is_no_number_is_null_in_the_file(tmp_path):
    save_model(tmp_path / "m", network(), spec=spec(training={"iou": [0.5, float("nan")]}))
    content = json.loads((tmp_path / "m" / "model.json").read_text(), parse_constant=pytest.fail)
    assert content["training"]["iou"] == [0.5, None]


def test_an_existing_bundle_is_replaced_only_when_asked(folder):
    before = load_model(folder).digest
    with pytest.raises(OutputError, match="--overwrite"):
        save_model(folder, network(1), spec=spec())
    assert load_model(folder).digest == before
    assert save_model(folder, network(1), spec=spec(), overwrite=True).digest != before


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_flipped_bit_is_found(folder, place):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[place] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match=r"weights.safetensors: sha256 differs .*fetch it again"):
        load_model(folder)


def test_weights_that_change_after_opening_are_found(folder):
    bundle = load_model(folder)
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds 0 bytes, model.json says \d+; the bundle is damaged"):
        bundle.network()


@pytest.fixture
def seen(monkeypatch):
    """How often the weights were hashed, and read: ["hashed", "read", ...]."""
    told, digest, read = [], bundles.hashlib.sha256, Path.read_bytes

    def hashing(content=b""):
        return told.append("hashed") or digest(content)

    def reading(path):
        return (path.name == WEIGHTS and told.append("read")) or read(path)

    monkeypatch.setattr(bundles.hashlib, "sha256", hashing)
    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(bundles, "read_text_file", lambda path, at_most: read(path))
    return told


def test_weights_are_read_and_hashed_once_for_a_network(folder, seen):
    for changed_ns in (1, 2):
        os.utime(folder / WEIGHTS, ns=(changed_ns, changed_ns))
        seen.clear()
        load_model(folder).network()
        assert sorted(seen) == ["hashed", "hashed", "read"]  # the description, too
        load_model(folder).network()
        assert sorted(seen) == ["hashed", "hashed", "hashed", "read", "read"]  # the file is as it was


def test_weights_that_were_just_written_are_hashed_each_time_and_large_ones_are_not_kept(folder, seen, monkeypatch):
    (folder / WEIGHTS).touch()  # just now: the next write may leave no trace
    load_model(folder).network()
    assert seen.count("hashed") == 3
    monkeypatch.setattr(bundles, "LARGEST_KEPT", 10)
    os.utime(folder / WEIGHTS, ns=(3, 3))
    load_model(folder)
    assert not bundles.just_read


def test_missing_pieces(folder, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere: no model bundle \(model.json not found\). Those known by name: "):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"buildings-.*; did you mean land-cover\?$"):
        load_model("land-covr")
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"weights are missing; copy the whole folder"):
        load_model(folder)


@pytest.mark.parametrize("text", [b"", b"{", b'{"name": "x"', b"\xff\xfe\x00", b"[]", b"[1, 2]", b"null", b"3", b"{}"])
def test_a_description_that_is_cut_off_or_something_else(folder, text):
    (folder / "model.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"model\.json: not a model description") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update(schema_version=3),
            r"^[^(]+: schema_version 3 is of a newer geoseg; .* reads 1 to 2",
        ),
        (lambda c: c.update(schema_version=0), "schema_version: .*2"),
        (lambda c: c.update(schema_version=1), "schema_version: 1: choose 2"),
        (lambda c: c["outputs"][0].update(activation="sigmoid"), "class_id is said of every channel of a softmax"),
        (lambda c: c["outputs"].extend([HEIGHT, HEIGHT]), "names are unique"),
        (lambda c: c["outputs"].append(SIGMOID | {"name": "entropy"}), "geoseg writes a raster of that name itself"),
        (lambda c: c["outputs"].append(SIGMOID | {"name": "../x"}), "name: "),
        (lambda c: c["outputs"].append(SIGMOID | {"unit": "m"}), "unit is said of linear groups, and roads is sigmoid"),
        (lambda c: c["outputs"].append(SIGMOID | {"activation": "linear"}), "roads is linear: its range is missing"),
        (lambda c: c["outputs"].append(HEIGHT | {"range": [9, 1]}), "9, 1: give low before high"),
        (lambda c: c.update(outputs=[SIGMOID]), r"channels lead to classes \[\], the table has"),
        (lambda c: c.update(colour="red"), "colour: "),
        (lambda c: c.pop("arch"), "arch: missing"),
        (lambda c: c["normalisation"].update(std=[1.0, 0.0]), "normalisation.std: .*positive"),
        (lambda c: c["normalisation"].update(mean=[1.0]), "2 bands, but 1 means"),
        (lambda c: c["normalisation"].update(mean=[1.0, float("nan")]), "nan is no number that can be used"),
        (lambda c: c["outputs"][0]["channels"][0].update(class_id=3), "channels lead to classes"),
        (lambda c: c["classes"][0].update(id=0), r"ids are 1\.\.254"),
        (lambda c: c["classes"].reverse(), "unique and ascending"),
        (lambda c: c["bands"][1].update(name="red"), "unique"),
        (lambda c: c.update(polygon_class="roof"), "polygon_class 'roof' is not a class"),
        (lambda c: c["weights"].update(file="../elsewhere"), "file: "),
        (lambda c: c["weights"].update(pickle=True), "pickle: "),
    ],
)
def test_a_description_that_is_wrong_says_where(folder, change, words):
    edit(folder, change)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


NAMES = (
    lambda c, name: c.update(name=name),
    lambda c, name: c["bands"][0].update(name=name),
    lambda c, name: c["classes"][1].update(name=name),
    lambda c, name: c["outputs"][0]["channels"][1].update(name=name),
)


@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize("name", ["ro\x00of", "ro\nof", "ro\x1bof", "\ud800", "r" * 256, " "])
def test_a_name_that_no_output_can_hold_is_refused_at_load(folder, place, name):
    edit(folder, lambda c: place(c, name))
    with pytest.raises(ModelError, match=r"control character|surrogate|256 characters|name is empty|has no name") as e:
        load_model(folder)
    assert str(e.value).isprintable()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["arch"]["options"].update(widths=[0]), r"widths.0: 0: give 1 or more"),
        (lambda c: c["arch"]["options"].update(widths=[-1, 4]), r"widths.0: -1: give 1 or more"),
        (lambda c: c["arch"]["options"].update(widths=[10**6]), r"widths.0: 1000000: give 4096 or less"),
        (lambda c: c["arch"]["options"].update(widths=[4] * 9), r"widths: holds .*; at most 8 are read"),
        (lambda c: c["arch"]["options"].update(widths=[4096] * 4), r"weights do not fit compact-unet: .* values that"),
        (lambda c: c["arch"]["options"].update(dropout=float("1e308") * 10), "inf is no number"),
        (lambda c: c.update(gsd_m=1e-300), r"gsd_m: 1e-300: give 0.001 or more"),
        (lambda c: c.update(gsd_m=1e300), r"gsd_m: 1e\+300: give 100000 or less"),
        (lambda c: c["normalisation"].update(std=[1.0, 1e-300]), r"normalisation.std: std must be positive, 1e-30"),
        (lambda c: c["normalisation"].update(mean=[1e300, 1.0]), r"normalisation.mean.0: 1e\+300: give 1e\+30 or less"),
        (lambda c: c["bands"][0].update(wavelength_nm=float("inf")), "inf is no number"),
        (lambda c: c["training"].update(iou=float("nan")), "nan is no number"),
        (lambda c: c.update(window_px=10**9), r"window_px: 1000000000: give 65536 or less"),
        (
            lambda c: c.update(window_px=500),
            r"window of 500 px is not a multiple of the network's 32 px; the nearest are 480 and 512 px",
        ),
        (lambda c: c.update(margin_px=250), "no stride"),
        (lambda c: c["arch"]["options"].update(widths=[4] * 7), r"32 is no multiple of the network's stride, 64"),
        (lambda c: c["weights"].update(bytes=-1), r"weights.bytes: -1: give 0 or more"),
        (lambda c: c["weights"].update(bytes=c["weights"]["bytes"] + 1), r"holds \d+ bytes, model.json says \d+"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_network_are_refused_at_load(folder, change, words):
    edit(folder, change)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_all_faults_of_a_description_are_told_at_once(folder):
    edit(folder, lambda c: c.update(gsd_m=-1, threshold=2, colour="red"))
    with pytest.raises(ModelError, match=r"3 faults: colour: unknown key; .*gsd_m: -1: .*threshold: 2: give less"):
        load_model(folder)


@pytest.mark.parametrize("text", [b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}", b'{"name": "a", "name": "b"}'])
def test_brackets_without_end_and_a_key_given_twice_are_refused(folder, text):
    (folder / "model.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"nested too deeply|'name' is given twice"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.json", WEIGHTS])
def test_files_that_may_not_be_read_say_so(folder, monkeypatch, name):
    plain = type(folder).open

    def refused(path, *args, **more):
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return plain(path, *args, **more)

    monkeypatch.setattr(type(folder), "open", refused)
    monkeypatch.setattr(type(folder), "read_bytes", lambda path: path.open("rb").read())
    with pytest.raises(ModelError, match=rf"{name}: cannot be read \(Permission denied\)"):
        load_model(folder)


def test_a_path_that_misses_the_bundle_s_folder_is_told_where_it_is(folder, tmp_path):
    for name in ("model.json", WEIGHTS):
        with pytest.raises(ModelError, match=rf"a file of a model bundle; name its folder, {folder}$"):
            load_model(folder / name)
    with pytest.raises(ModelError, match=rf"holds model bundles, e.g. {folder}; name one of them"):
        load_model(tmp_path)
    (tmp_path / "x.pth").write_bytes(b"PK")
    with pytest.raises(ModelError, match="a file, no model bundle; a bundle is a folder"):
        load_model(tmp_path / "x.pth")
    (tmp_path / "odd" / "model.json").mkdir(parents=True)
    with pytest.raises(ModelError, match="no model bundle"):
        load_model(tmp_path / "odd")


def test_weights_of_another_shape_do_not_load(folder):
    edit(folder, lambda c: c["arch"]["options"].update(widths=[4, 16]))
    with pytest.raises(ModelError, match=r"weights do not fit compact-unet .*tensors missing or of another shape"):
        load_model(folder).network()


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ({"name": "vit", "options": {}}, "unknown architecture 'vit'"),
        ({"options": {"width": 3}}, "does not take"),
        ({"name": "smp-unet", "options": {"encoder_name": "resnet9000"}}, "does not take"),
        ({"name": "smp-unet", "options": {"encoder_name": "tu-nosuch"}}, "does not take"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_the_model_s_fault(folder, arch, words):
    edit(folder, lambda c: c["arch"].update(arch))
    with pytest.raises(ModelError, match=words):
        load_model(folder).network()


@pytest.mark.parametrize(
    "options",
    [
        *({"encoder_name": name} for name in (
            "tu-hf_hub:a/b", "tu-hf-hub:a/b", "tu-local-dir:/tmp/x", "hf-hub:a/b", "a/b", "tu-a\\b", "https://a.b/c",
        )),
        {"encoder_name": "tu-resnet18", "pretrained": True},
        {"encoder_name": "tu-resnet18", "pretrained_cfg": {"hf_hub_id": "a/b"}},
        {"encoder_name": "tu-resnet18", "pretrained_cfg_overlay": {"url": "https://a.b/c"}},
        {"encoder_name": "tu-resnet18", "checkpoint_path": "weights.safetensors"},
        {"encoder_name": "tu-resnet18", "cache_dir": "/tmp/x"},
        {"encoder_name": "resnet18", "encoder_weights": "imagenet"},
        {"encoder_name": "resnet18", "aux_params": {"classes": 2}},
    ],
)  # fmt: skip
def test_a_network_that_a_library_would_fetch_is_refused_at_load_and_calls_nobody(folder, monkeypatch, options):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: pytest.fail("asked for an address"))
    edit(folder, lambda c: c.update(arch={"name": "smp-unet", "options": options}))
    with pytest.raises(ModelError, match="architecture smp-unet does not take these options"):
        load_model(folder)


def test_no_pickle_is_ever_loaded(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "sprung",))

    put_weights(folder, pickle.dumps(Trap()) + bytes(2**14))  # as long as weights of this network are
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(folder).network()
    assert not (tmp_path / "sprung").exists()


def test_a_name_means_geoseg_s_own_and_a_path_the_folder(folder, tmp_path, monkeypatch):
    save_model(tmp_path / "own" / "tiny", network(5), spec=spec(name="own"))
    monkeypatch.setattr(known, "bundled_models", lambda: {"tiny": tmp_path / "own" / "tiny"})
    monkeypatch.chdir(folder.parent)
    assert load_model("tiny").spec.name == "own"
    assert load_model("./tiny").spec.name == load_model(folder).spec.name == "tiny"
