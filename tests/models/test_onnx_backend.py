"""The backend onnx: the same bits for any batch, thread, chunking and engine; what an ONNX file may not hold."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import write_bundle
from onnx import helper
from onnx_nets import onnx_bundle, tiny_net

from geoseg import predict
from geoseg.errors import ConfigError, ModelError, PlanChangedError
from geoseg.models import backends
from geoseg.models.backends import choose, library
from geoseg.models.backends.activation import activated, softmax
from geoseg.models.bundle import load_model, save_model
from geoseg.models.onnx_file import parsed, read_model
from geoseg.options.run import RunOptions


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, tiny_bundle):
    return onnx_bundle(tmp_path_factory.mktemp("onnx") / "net", tiny_bundle)


@pytest.fixture(scope="module")
def backend(bundle):
    return library("onnx").open_backend(load_model(bundle), device="cpu", precision="fp32")


def test_answers_are_probabilities_and_depend_on_no_batch_slot_or_thread(backend):
    windows = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)
    out = backend(windows).values
    assert (out.shape, out.dtype) == ((3, 3, 64, 64), np.float32)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(backend(windows[::-1]).values[::-1], out)
    np.testing.assert_array_equal(np.concatenate([backend(windows[i : i + 1]).values for i in range(3)]), out)
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(lambda _: backend(windows).values, range(6)):
            np.testing.assert_array_equal(again, out)


def test_bytes_are_the_same_for_any_chunks_batch_and_engine(bundle, tmp_path):
    from conftest import write_tif

    pixels = np.random.default_rng(1).integers(0, 255, (3, 300, 700), np.uint8)
    scene = write_tif(tmp_path / "scene.tif", pixels, photometric="RGB")
    found, parts = set(), set()
    for i, (chunk_px, batch, engine) in enumerate([(512, 1, "sync"), (512, 3, "threads"), (1024, 2, "threads")]):
        options = RunOptions(chunk_px=chunk_px, batch=batch, engine=engine)
        result = predict(scene, bundle, tmp_path / str(i), options=options)
        parts.add(result.run["plan"]["chunks"])
        found.add(tuple((tmp_path / str(i) / f"{name}.tif").read_bytes() for name in ("classes", "confidence")))
    assert len(found) == 1
    assert len(parts) == 2


def test_what_runs_it_is_in_the_fingerprint(backend, bundle, tiny_scene, tmp_path, monkeypatch):
    assert f"onnxruntime {library('onnx').onnxruntime.__version__}" in backend.identity()
    result = predict(tiny_scene, bundle, tmp_path / "out")
    assert (result.run["plan"]["device"], result.run["plan"]["precision"]) == ("cpu", "fp32")
    monkeypatch.setattr(library("onnx").OnnxBackend, "identity", lambda _self: "cpu, onnxruntime 0")
    with pytest.raises(PlanChangedError, match="run on cpu, onnxruntime 0 here, planned was cpu"):
        predict(tiny_scene, onnx_bundle(tmp_path / "other", bundle), tmp_path / "second")


def test_an_ensemble_of_both_backends_runs_as_each_does(bundle, tiny_bundle, tiny_scene, tmp_path):
    like = load_model(bundle).spec
    other = write_bundle(tmp_path / "torch", widths=[8, 16], multiple_px=2)
    assert load_model(other).spec.window_px == like.window_px
    result = predict(tiny_scene, [bundle, other], tmp_path / "out")
    assert result.run["plan"]["network_calls_per_window"] == 2
    device, _, identity = choose("auto", ("onnx", "torch"))
    assert device == "cpu"
    assert "onnxruntime" in identity
    assert "torch" in identity


def test_each_group_of_channels_is_activated_by_itself(bundle):
    from geoseg.models.outputs import Channel, Output

    classes = tuple(Channel(name=n, class_id=i) for n, i in (("a", 1), ("b", 2)))
    groups = (
        Output(channels=classes),
        Output(name="roads", activation="sigmoid", channels=(Channel(name="road"),)),
        Output(name="height", activation="linear", range=(-10, 30), unit="m", channels=(Channel(name="h"),)),
    )
    spec = load_model(bundle).spec.model_copy(update={"outputs": groups})
    logits = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32) * 20
    found = activated(logits, spec)
    np.testing.assert_array_equal(found[:2], softmax(logits[:2]))
    np.testing.assert_allclose(found[2], 1 / (1 + np.exp(-logits[2].astype(float))), atol=1e-6)
    np.testing.assert_allclose(found[3], np.clip((logits[3] + 10) / 40, 0, 1), atol=1e-6)


def test_memory_is_what_was_measured(backend):
    assert backend.peak_bytes((4, 3, 128, 128)) == 1.5 * 10**6


def test_the_cpu_runs_it_unless_a_gpu_is_asked_for_and_can(monkeypatch, bundle):
    own = library("onnx")
    assert own.choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match=r"CUDA provider models that are ONNX files run on the CPU"):
        choose("cuda", ("onnx",))
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    assert own.choose_device("auto") == "cpu"
    device, precision, identity = choose("cuda", ("onnx",))
    assert (device, precision, own.devices(device)) == ("cuda", "fp32", ["cuda"])
    assert identity != own.identity("cpu")
    asked = []

    class Session:
        def __init__(self, _content, _options, *, providers):
            asked.append([one if isinstance(one, str) else one[0] for one in providers])

        def get_providers(self):
            return asked[-1][1:]  # what ONNX Runtime does where its provider does not start

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    network = own.open_backend(load_model(bundle), device="cuda", precision="fp32")
    with pytest.raises(ModelError, match=r"provider finds no GPU, or not its libraries; use --device cpu"):
        network.load()
    assert asked == [there]
    monkeypatch.setattr(Session, "get_providers", lambda _: there)
    network.load()
    with pytest.raises(ConfigError, match=r"exports of networks .* run on the CPU alone"):
        own.open_backend(load_model(bundle), device="cuda", precision="int8")


def test_a_device_is_one_of_three():
    with pytest.raises(ConfigError, match="choose auto, cpu or cuda"):
        choose("gpu", ("onnx",))


def test_without_the_libraries_one_line_says_what_to_type(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(ConfigError, match=r"pip install 'geoseg\[onnx\]'"):
        backends.library("onnx")


def test_it_is_neither_built_nor_trained(bundle):
    with pytest.raises(ModelError, match="an ONNX file runs as it is"):
        load_model(bundle).network()


def test_another_kind_of_bundle_in_its_place_leaves_no_old_weights(bundle, tiny_bundle, tmp_path):
    folder = onnx_bundle(tmp_path / "net", tiny_bundle)
    torch_bundle = load_model(tiny_bundle)
    save_model(folder, torch_bundle.network(), spec=torch_bundle.spec, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert load_model(onnx_bundle(folder, tiny_bundle)).weights.file == "model.onnx"
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.onnx"]


def with_node(domain: str, kind: str) -> onnx.ModelProto:
    model = tiny_net()
    model.graph.node.append(helper.make_node(kind, [model.graph.output[0].name], ["more"], domain=domain))
    return model


@pytest.mark.parametrize("node", [("my.ops", "Anything"), ("com.microsoft", "PythonOp")])
def test_operators_that_need_code_are_named_and_refused(node):
    with pytest.raises(ModelError, match=f"{node[0]}:{node[1]}, which no ONNX Runtime runs without code"):
        parsed(with_node(*node).SerializeToString(), "net.onnx")


def test_operators_inside_branches_and_functions_are_looked_at_too():
    model, inner = tiny_net(), with_node("my.ops", "Hidden").graph
    branch = helper.make_node("If", ["c"], ["out"], then_branch=inner, else_branch=tiny_net().graph)
    model.graph.node.append(branch)
    with pytest.raises(ModelError, match=r"my\.ops:Hidden"):
        parsed(model.SerializeToString(), "net.onnx")
    model = tiny_net()
    own = helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("G", ["x"], ["y"], domain="my.ops")], [])
    model.functions.append(own)
    with pytest.raises(ModelError, match=r"my\.ops:G"):
        parsed(model.SerializeToString(), "net.onnx")


def outside(tmp_path: Path, location: str) -> Path:
    """Write a network whose first weights are said to lie in a file."""
    model = tiny_net()
    tensor = model.graph.initializer[0]
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


def test_weights_in_a_file_beside_it_are_read_and_in_a_bundle_refused(tmp_path):
    path = outside(tmp_path, "weights.bin")
    model = read_model(path)
    assert model.graph.initializer[0].raw_data == tiny_net().graph.initializer[0].raw_data
    parsed(model.SerializeToString(), "net.onnx")
    with pytest.raises(ModelError, match="lie in another file; geoseg import"):
        parsed(path.read_bytes(), "net.onnx")


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "folder/weights.bin", "link", "missing", ""])
def test_weights_elsewhere_are_refused(tmp_path, location):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match="only a file in its own folder is read"):
        read_model(outside(tmp_path, location))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08\x08"])
def test_what_is_no_onnx_file_is_refused(content, bundle, tiny_bundle, tiny_scene, tmp_path):
    with pytest.raises(ModelError, match="not an ONNX file"):
        parsed(content, "net.onnx")


def test_what_onnx_runtime_does_not_take_is_one_line(tmp_path, tiny_bundle, tiny_scene):
    folder = onnx_bundle(tmp_path / "net", tiny_bundle, with_node("", "NoSuchOperator").SerializeToString())
    with pytest.raises(ModelError, match=r"model\.onnx: ONNX Runtime .* does not take it \(.*NoSuchOperator"):
        predict(tiny_scene, folder, tmp_path / "out")
