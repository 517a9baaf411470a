"""ONNX files become bundles: what probing finds, what is asked for by name, and what is refused."""

import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_nets import tiny_net, write_net

from geoseg import open_scene
from geoseg.cli import main
from geoseg.errors import ConfigError, ModelError
from geoseg.executors.threads import local_site
from geoseg.jobs.plan import make_plan
from geoseg.models.backends import library
from geoseg.models.backends.activation import softmax
from geoseg.models.bundle import load_model
from geoseg.models.imports import probing, run
from geoseg.models.imports.probing import isolated
from geoseg.models.imports.run import import_model
from geoseg.options.exchange import ImportOptions, parse_classes
from geoseg.options.run import RunOptions

WINDOW = np.random.default_rng(3).standard_normal((3, 64, 64)).astype(np.float32)
SAID = ImportOptions(
    bands="red,green,blue", classes=parse_classes("land,roof,wall"), mean=(80.0,), std=(40.0,), gsd_m=0.5, window_px=64
)
TWO = parse_classes("land,roof")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Probe in this process: one of its own is what ``test_a_file_is_tried_in_a_process_of_its_own`` tries."""
    monkeypatch.setattr(run, "isolated", lambda call, *args, where: call(*args))


def imported(tmp_path, options=SAID, *, model=None, **how):
    path = tmp_path / "net.onnx"
    onnx.save(tiny_net(**how) if model is None else model, str(path))
    return import_model(path, tmp_path / "bundle", options, overwrite=True)


def said(bundle, window=WINDOW):
    return library("onnx").open_backend(bundle, device="cpu", precision="fp32")(window[None]).values[0]


@pytest.fixture(scope="module")
def plain():
    """What the tiny network itself says of the window: probabilities of three classes."""
    session = library("onnx").open_session(tiny_net().SerializeToString(), "net.onnx")
    return softmax(library("onnx").answer(session, WINDOW))


@pytest.mark.parametrize(
    "how",
    [
        {}, {"size": 64}, {"layout": "nhwc"}, {"layout": "nhwc", "size": 64}, {"batch": 3, "size": 64}, {"batch": None},
        {"scale": 1}, {"last": "Softmax"}, {"last": "Softmax", "layout": "nhwc"}, {"dtype": TensorProto.DOUBLE},
        {"opset": 11}, {"names": (None, None)},
    ],
    ids=str,
)  # fmt: skip
def test_however_a_network_is_written_it_answers_the_same(tmp_path, plain, how):
    made = imported(tmp_path, **how)
    np.testing.assert_allclose(said(made.bundle), plain, atol=2e-6)
    spec = made.bundle.spec
    assert (spec.window_px, spec.multiple_px, [c.name for c in spec.classes]) == (64, 2, ["land", "roof", "wall"])
    assert spec.arch.options.get("fixed_px") == how.get("size")
    assert spec.training["imported"]["file"] == "net.onnx"


def test_half_precision_is_near(tmp_path, plain):
    np.testing.assert_allclose(said(imported(tmp_path, dtype=TensorProto.FLOAT16).bundle), plain, atol=2e-3)


@pytest.mark.parametrize("last", [None, "Sigmoid"])
def test_one_channel_is_the_second_of_two_classes(tmp_path, last):
    made = imported(tmp_path, replace(SAID, classes=TWO), channels=1, last=last)
    session = library("onnx").open_session(tiny_net(channels=1, last="Sigmoid").SerializeToString(), "net.onnx")
    expected = library("onnx").answer(session, WINDOW)[0]
    np.testing.assert_allclose(said(made.bundle)[1], expected, atol=2e-6)
    assert [c.name for c in made.bundle.spec.channels] == ["land", "roof"]


def test_a_network_that_normalises_by_itself_is_fed_physical_values(tmp_path):
    options = replace(SAID, mean=None, std=None, normalises=True)
    made = imported(tmp_path, options, inside=((80, 80, 80), (40, 40, 40)))
    outside = imported(tmp_path / "..", SAID)
    assert made.bundle.spec.normalisation.std == (1, 1, 1)
    np.testing.assert_allclose(said(made.bundle, 80 + 40 * WINDOW), said(outside.bundle), atol=1e-5)


def test_a_scene_smaller_than_windows_that_are_fixed_is_mapped(tmp_path, tiny_scene):
    options = replace(SAID, margin_px=16, ramp_px=32, window_px=None)
    made = imported(tmp_path, options, size=256)
    assert (made.bundle.spec.margin_px, made.bundle.spec.ramp_px) == (16, 32)
    plan = make_plan(open_scene(tiny_scene), [made.bundle], site=local_site("cpu", ("onnx",)), options=RunOptions())
    assert plan.job.windows.window_shape == (256, 256)


def test_windows_margins_and_ramps_fit_the_network_s_stride(tmp_path):
    spec = imported(tmp_path, replace(SAID, multiple_px=32, window_px=224)).bundle.spec
    assert (spec.margin_px, spec.ramp_px) == (28, 40)  # a stride of 128 px
    assert imported(tmp_path, replace(SAID, multiple_px=64)).bundle.spec.margin_px == 0  # no room for any


def test_what_a_bundle_is_like_need_not_be_said(tmp_path, tiny_bundle):
    made = import_model(write_net(tmp_path / "net.onnx"), tmp_path / "b", ImportOptions(), like=str(tiny_bundle))
    like, spec = load_model(tiny_bundle).spec, made.bundle.spec
    for field in ("bands", "classes", "channels", "normalisation", "gsd_m", "window_px", "margin_px", "polygon_class"):
        assert getattr(spec, field) == getattr(like, field)
    assert (spec.name, spec.arch.name) == ("b", "onnx")


def test_all_that_is_lacking_is_asked_for_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"--classes NAMES.*--bands NAMES.*--mean and --std.*--gsd-m METRES.*--like"):
        imported(tmp_path, ImportOptions())
    with pytest.raises(ConfigError) as told:
        imported(tmp_path, replace(SAID, gsd_m=None))
    assert "--gsd-m" in str(told.value)
    assert "--bands" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "how", "told"),
    [
        ({"bands": "red,nir"}, {}, "takes 3 bands \\(nchw\\), and 2 are named"),
        ({"classes": TWO}, {}, "answers 3 channels, and 2 classes are named"),
        ({"mean": (1.0, 2.0), "std": (1.0,)}, {}, "2 means and 1 stds, and 3 bands"),
        ({"window_px": 32}, {"size": 64}, "takes windows of 64 px alone, not of 32"),
        ({"output": "resize_9"}, {}, "no output 'resize_9'; did you mean resize_3"),
        ({"polygon_class": "house"}, {}, "polygon_class 'house' is not a class"),
        ({"margin_px": 40}, {}, "leave a window of 64 px no stride"),
    ],
)
def test_flags_that_do_not_fit_say_both_numbers(tmp_path, changes, how, told):
    with pytest.raises(ConfigError, match=told):
        imported(tmp_path, replace(SAID, **changes), **how)


def outputs(model: onnx.ModelProto, *more: str) -> onnx.ModelProto:
    for name in more:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model


def test_of_several_outputs_one_is_chosen(tmp_path, plain):
    model = outputs(tiny_net(), "conv_2")
    with pytest.raises(ModelError, match=r"gives 2 outputs \(resize_3, conv_2\); choose one: --output NAME"):
        imported(tmp_path, model=model)
    made = imported(tmp_path, replace(SAID, output="resize_3"), model=model)
    np.testing.assert_allclose(said(made.bundle), plain, atol=2e-6)


def two_inputs() -> onnx.ModelProto:
    model = tiny_net()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    return model


def flat() -> onnx.ModelProto:
    model = tiny_net()
    del model.graph.input[0].type.tensor_type.shape.dim[2:]
    return model


def class_numbers() -> onnx.ModelProto:
    model = tiny_net()
    model.graph.node.append(helper.make_node("ArgMax", [model.graph.output[0].name], ["ids"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("ids", TensorProto.INT64, None))
    return model


def of_one_size() -> onnx.ModelProto:
    """Axes said to be dynamic, and a Reshape that takes 7 x 7 px alone."""
    model = tiny_net(names=("rows", "cols"))
    model.graph.node.append(helper.make_node("Reshape", [model.graph.output[0].name, "size"], ["seven"]))
    model.graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, [4], [1, -1, 7, 7]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("seven", TensorProto.FLOAT, None))
    return model


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (of_one_size, r"its dynamic axes \(1, 3, rows, cols\) are of no size that was tried; --window-px may name one"),
        (two_inputs, r"takes 2 inputs \(image, mask\)"),
        (flat, r"its input 'image' has 2 axes \(1, 3\)"),
        (class_numbers, "answers class numbers, not how likely each is"),
        (lambda: tiny_net(names=(64, 32)), "takes windows of 64 x 32 px alone; geoseg's are square"),
        (lambda: tiny_net(scale=3), "answers 96 x 96 px for a window of 64 px"),
        (lambda: tiny_net(size=63), "answers 64 x 64 px for a window of 63 px"),
    ],
)
def test_what_cannot_be_fed_or_read_is_said(tmp_path, model, told):
    with pytest.raises(ModelError, match=told):
        imported(tmp_path, replace(SAID, window_px=None if "63" in told else 64), model=model())


def test_a_file_is_tried_in_a_process_of_its_own(tmp_path):
    with pytest.raises(ConfigError, match="takes 3 bands"):
        isolated(probing.examine, write_net(tmp_path / "net.onnx"), 2, SAID, 64, where="net.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: the process that tried it died"):
        isolated(os._exit, 9, where="net.onnx")


@pytest.mark.parametrize(
    ("name", "inside", "told"),
    [
        ("net.pt", ["data.pkl", "code/__torch__.py"], r"TorchScript file runs code .*torch.jit.load\('net.pt'\)"),
        ("net.pt2", ["archive_format", "models/model.json"], r"torch.export file .*load\('net.pt2'\), f='net.onnx'"),
    ],
)
def test_files_that_run_code_are_refused_with_the_line_that_makes_them_onnx(tmp_path, capsys, name, inside, told):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for each in inside:
            archive.writestr(f"net/{each}", "")
    assert main(["import", str(tmp_path / name), "-o", str(tmp_path / "b")]) == 4
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no model at all"])
def test_what_is_no_model_is_refused(tmp_path, content, capsys):
    (tmp_path / "net.onnx").write_bytes(content)
    flags = ["--bands", "r,g,b", "--classes", "a,b", "--normalises", "--gsd-m", "any"]
    assert main(["import", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "b"), *flags]) == 4
    assert main(["import", str(tmp_path / "missing.onnx"), "-o", str(tmp_path / "b"), *flags]) == 4
    assert "No such file" in capsys.readouterr().err


def test_the_command_says_what_it_assumed_and_replaces_only_when_asked(tmp_path, capsys):
    net, folder = write_net(tmp_path / "net.onnx"), tmp_path / "bundle"
    flags = ["-o", str(folder), "--bands", "R,G,B", "--classes", "a,b=#102030,c", "--mean", "80", "--std", "40,41,42"]
    assert main(["import", str(net), *flags, "--gsd-m", "0.5", "--window-px", "64"]) == 0
    told = capsys.readouterr().out
    assert "assumed answers logits: --answers says otherwise" in told
    assert "3 bands, 3 classes, windows of 64 px, margin 8, ramp 8, multiple 2" in told
    spec = load_model(folder).spec
    assert (spec.normalisation.std, spec.classes[1].hex, spec.gsd_m) == ((40, 41, 42), "#102030", 0.5)
    assert main(["import", str(net), *flags, "--gsd-m", "any"]) == 5
    assert main(["import", str(net), *flags, "--gsd-m", "any", "--window-px", "64", "--overwrite"]) == 0
    assert load_model(folder).spec.gsd_m is None


def test_folders_and_other_files(tmp_path):
    with pytest.raises(ModelError, match=r"a folder without config\.json and model\.safetensors"):
        import_model(tmp_path, tmp_path / "b", SAID)
    assert Path(tmp_path / "b").exists() is False


def test_a_window_that_the_network_does_not_take_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"takes no windows of 63 px; the nearest are 62 and 64"):
        imported(tmp_path, replace(SAID, window_px=63), scale=1)
    with pytest.raises(ConfigError, match=r"takes windows of multiples of 32 px, not of 80; the nearest are 64 and 96"):
        imported(tmp_path, replace(SAID, window_px=80, multiple_px=32))
    with pytest.raises(ConfigError, match=r"takes no windows of 70 px; the nearest are 64 and 80"):
        imported(tmp_path, replace(SAID, window_px=70), model=blocks_of(16))


def blocks_of(px: int) -> onnx.ModelProto:
    """Return a network that can only be fed whole blocks, as those that cut an image into patches."""
    model = tiny_net()
    last, weights = model.graph.output[0].name, model.graph.initializer
    weights.append(onnx.numpy_helper.from_array(np.int64([1, 3, -1, px * px]), "blocks"))
    model.graph.node.append(helper.make_node("Reshape", [last, "blocks"], ["cut"]))
    model.graph.node.append(helper.make_node("Shape", [last], ["shape"]))
    model.graph.node.append(helper.make_node("Reshape", ["cut", "shape"], ["whole"]))
    model.graph.output[0].name = "whole"
    return model


SHIPPED = Path(onnx.__file__).parent / "backend" / "test" / "data" / "pytorch-converted"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("test_Conv2d_depthwise_padded", None),  # opset 6, a window of 6 px, two at once, weights among the inputs
        ("test_Conv2d_padding", None),
        ("test_BatchNorm2d_eval", None),
        ("test_MaxPool2d", "answers 4 x 4 px for a window of 7 px"),
        ("test_Sigmoid", "takes windows of 4 x 5 px alone"),
        ("test_Conv3d", "has 5 axes"),
    ],
)
def test_old_files_that_come_with_onnx_itself(tmp_path, name, told):
    path = SHIPPED / name / "model.onnx"
    bands = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1].dim_value
    options = replace(SAID, bands=",".join("abcd"[:bands]), classes=parse_classes("a,b,c,d"), window_px=None)
    options = replace(options, classes=parse_classes("a,b,c")) if "Batch" in name else options
    if told is not None:
        with pytest.raises(ModelError, match=told):
            import_model(path, tmp_path / "b", options)
        return
    spec = import_model(path, tmp_path / "b", options).bundle.spec
    assert (spec.window_px, spec.arch.options["fixed_px"]) == (6, 6)


def test_a_network_whose_answers_move_with_no_shift_is_said_so():
    """Its answer depends on the place in the window, as those of networks do that see a window's edges everywhere."""
    seen = np.random.default_rng(0).standard_normal((1, 192, 192)).astype(np.float32)
    assert probing._moving(lambda window: window[0] * np.arange(window.shape[-1]), seen, 128) is None
    coarse = lambda window: window[0, ::2, ::2].repeat(2, 0).repeat(2, 1)  # noqa: E731 - a stride of 2 px
    assert probing._moving(coarse, seen, 128) == (2, True)
    assert probing._moving(lambda window: coarse(window) + 5 * window.mean(), seen, 128) == (2, False)  # and pooling
