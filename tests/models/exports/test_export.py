"""A bundle's network for other programs: how near each export comes, what is written, and what comes back by import."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
from conftest import write_bundle, write_tif
from onnx import TensorProto, helper
from onnx_nets import tiny_net
from stac_schemas import violations

import geoseg
from geoseg import load_model, open_scene, predict
from geoseg.cli import main
from geoseg.errors import FaultFoundError, InputError, ModelError
from geoseg.jobs.calibration import windows_of
from geoseg.models.backends.onnx import open_session
from geoseg.models.bundle import save_model
from geoseg.models.bundle import write_bundle as write_content
from geoseg.models.calibration import FILE, MOST_BYTES, store, stored
from geoseg.models.exports import run as exports
from geoseg.models.exports.graph import with_single_grids
from geoseg.models.exports.mlm import item as item_of
from geoseg.models.exports.run import export_model
from geoseg.models.exports.runtimes import by_onnxruntime
from geoseg.models.imports import run as imports
from geoseg.models.imports.run import import_model
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture
from geoseg.options.exchange import ExportOptions, ImportOptions


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Probe in this process: see ``tests/models/imports``."""
    monkeypatch.setattr(imports, "isolated", lambda call, *args, where: call(*args))


@pytest.fixture(scope="module")
def tiny(tiny_bundle):
    return load_model(tiny_bundle)


@pytest.fixture(scope="module")
def windows(tiny, tiny_scene):
    return windows_of(open_scene(tiny_scene), tiny)


def test_windows_are_what_a_run_shows_the_network(tiny, windows, tiny_scene, tmp_path):
    assert windows.shape == (4, 3, 128, 128)
    with rasterio.open(tiny_scene) as src:
        pixels = (src.read().astype(np.float32) - 80) / 40
    np.testing.assert_array_equal(windows[0], pixels[:, :128, :128])
    np.testing.assert_array_equal(windows[3][:, :96, :128], pixels[:, 64:, 64:])  # the rest is mirrored
    small = write_tif(tmp_path / "small.tif", np.full((3, 20, 30), 80, np.uint8), photometric="RGB")
    assert windows_of(open_scene(small), tiny).shape == (1, 3, 128, 128)
    empty = write_tif(tmp_path / "empty.tif", np.zeros((3, 20, 30), np.uint8), photometric="RGB", nodata=0)
    with pytest.raises(InputError, match="holds no valid pixel"):
        windows_of(open_scene(empty), tiny)


@pytest.mark.parametrize("to", ["onnx", "openvino", "deepness", "mlm"])
def test_every_export_is_measured_and_gives_the_network_s_classes(tiny, windows, tmp_path, to):
    parity = export_model(tiny, tmp_path, ExportOptions(to=to), windows)
    assert parity.equal_classes >= 0.9999
    assert parity.largest_probability_error < 1e-5
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(exports.names(tiny, ExportOptions(to=to)))
    told = json.loads((tmp_path / "parity.json").read_text())
    assert (told["digest"], told["windows"], told["pixels"]) == (tiny.digest, 4, 4 * 128 * 128)
    assert told["runtime"].startswith("openvino" if to == "openvino" else "onnxruntime")


def test_an_exported_network_comes_back_by_import_without_a_flag(tiny, windows, tiny_scene, tmp_path):
    export_model(tiny, tmp_path / "onnx", ExportOptions(), windows)
    made = import_model(tmp_path / "onnx" / "model.onnx", tmp_path / "back", ImportOptions()).bundle
    same = ("bands", "classes", "outputs", "normalisation", "gsd_m", "window_px", "margin_px", "multiple_px", "name")
    assert all(getattr(made.spec, name) == getattr(tiny.spec, name) for name in same)
    own, back = (predict(tiny_scene, m, tmp_path / n).to_xarray("classes") for m, n in ((tiny, "a"), (made, "b")))
    assert float((own == back).mean()) >= 0.999
    export_model(made, tmp_path / "again", ExportOptions(), windows)
    again = import_model(tmp_path / "again" / "model.onnx", tmp_path / "twice", ImportOptions()).bundle
    assert again.spec.classes == made.spec.classes


def test_physical_values_are_normalised_inside_where_asked(tiny, windows, tmp_path):
    export_model(tiny, tmp_path / "out", ExportOptions(physical=True), windows)
    made = import_model(tmp_path / "out" / "model.onnx", tmp_path / "back", ImportOptions()).bundle
    assert made.spec.normalisation.mean == (0, 0, 0)
    run, _ = by_onnxruntime((tmp_path / "out" / "model.onnx").read_bytes())
    export_model(tiny, tmp_path / "plain", ExportOptions(), windows)
    plain, _ = by_onnxruntime((tmp_path / "plain" / "model.onnx").read_bytes())
    np.testing.assert_allclose(run(windows[:1] * 40 + 80), plain(windows[:1]), atol=1e-5)


def test_8_bits_are_calibrated_on_some_windows_and_measured_on_others(tiny, windows, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(exports, "int8", lambda model, seen: given.append(seen) or model.SerializeToString())
    parity = export_model(tiny, tmp_path, ExportOptions(int8=True), windows)
    np.testing.assert_array_equal(given[0], windows[::2])
    assert (parity.windows, parity.least_equal_classes) == (2, 0.995)


def test_8_bits_are_near(windows, tmp_path):
    bundle = load_model(write_bundle(tmp_path / "net", widths=[8, 16]))
    monkey = pytest.MonkeyPatch()
    monkey.setattr(exports, "LEAST_EQUAL_INT8", 0.9)  # an untrained network is unsure everywhere
    with monkey.context():
        parity = export_model(bundle, tmp_path / "out", ExportOptions(int8=True), windows)
    monkey.undo()
    assert 0.9 < parity.equal_classes <= 1
    kinds = {node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_too_few_equal_classes_leave_no_file(tiny, windows, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "LEAST_EQUAL", 1.1)
    with pytest.raises(FaultFoundError, match=r"less than 110\.0%; nothing is written"):
        export_model(tiny, tmp_path / "out", ExportOptions(), windows)
    assert not (tmp_path / "out").exists()


def test_a_stac_item_comes_back_as_the_same_bundle(tiny, windows, tmp_path):
    export_model(tiny, tmp_path / "out", ExportOptions(to="mlm"), windows)
    made = import_model(tmp_path / "out" / "item.json", tmp_path / "back", ImportOptions())
    assert made.bundle.digest == tiny.digest
    item = json.loads((tmp_path / "out" / "item.json").read_text())
    assert item["stac_extensions"][0] == "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
    assert violations(item) == []
    seen, said = item["properties"]["mlm:input"][0], item["properties"]["mlm:output"][0]
    assert (seen["bands"], seen["input"]["shape"]) == (["red", "green", "blue"], [1, 3, 128, 128])
    assert seen["value_scaling"][1] == {"type": "z-score", "mean": 80.0, "stddev": 40.0}
    assert [c["name"] for c in said["classification:classes"]] == ["background", "interior", "border"]
    del item["assets"]["model"]["mlm:artifact_type"]
    assert len(violations(item)) == 1


def test_an_item_names_classes_as_the_standard_asks(tiny):
    names = [f"grün {c.name}" for c in tiny.spec.outputs[0].channels]
    outputs = (Output(channels=tuple(Channel(name=n, class_id=1) for n in names)),)
    card = item_of(replace(tiny, spec=tiny.spec.model_copy(update={"outputs": outputs})), b"", b"", names=("a", "b"))
    told = card["properties"]["mlm:output"][0]["classification:classes"]
    assert all(re.fullmatch("[0-9A-Za-z_-]+", one["name"]) for one in told)
    assert [one["title"] for one in told] == names


@pytest.mark.parametrize("name", ["land-cover", "Dächer 2026", "1", "ä"])
def test_an_item_names_the_model_as_the_standard_asks(tiny, name):
    card = item_of(replace(tiny, spec=tiny.spec.model_copy(update={"name": name})), b"", b"", names=("a", "b"))
    assert violations(card) == []
    assert card["properties"]["geoseg:bundle"]["name"] == name


def test_the_network_of_a_damaged_item_is_refused(tiny, windows, tmp_path):
    export_model(tiny, tmp_path, ExportOptions(to="mlm"), windows)
    (tmp_path / "model.onnx").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"model\.onnx: its sha256 is not the one in item\.json"):
        import_model(tmp_path / "item.json", tmp_path / "back", ImportOptions())


def test_deepness_reads_its_keys_and_is_fed_bytes_over_255(tiny, windows, tmp_path):
    export_model(tiny, tmp_path, ExportOptions(to="deepness"), windows)
    model = onnx.load(tmp_path / "model.onnx")
    told = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert told["class_names"] == {"0": "background", "1": "building"}
    assert (told["model_type"], told["resolution"], told["tile_size"], told["tiles_size"]) == (
        "Segmentor",
        50,
        128,
        128,
    )
    assert (told["tiles_overlap"], told["seg_thresh"], model.ir_version) == (50, 0.5, 8)
    # As its reader takes them: numbers by int() and float(), ids that count from 0, no means that it would apply again,
    # one 4-D input whose sides are the tile's, one output of two channels or more (one would be read as a sigmoid).
    assert all(isinstance(told[key], int) for key in ("tile_size", "tiles_overlap", "seg_small_segment"))
    assert [int(key) for key in told["class_names"]] == [0, 1]
    assert "standardization_mean" not in told
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)]
    assert shapes == [[1, 3, 128, 128], [1, 2, 128, 128]]
    run, _ = by_onnxruntime(model.SerializeToString())
    pixels = np.random.default_rng(0).integers(1, 255, (1, 3, 128, 128)).astype(np.float32)
    pixels[..., :40] = 0  # no data: as the mean
    said = run(pixels / 255)
    pixels[..., :40] = 80
    np.testing.assert_allclose(said, run(pixels / 255), atol=1e-5)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)


def test_a_bundle_that_is_an_onnx_file_is_exported_too(tiny, windows, tmp_path):
    arch = Architecture(name="onnx", options={"call_bytes": 1})
    spec = tiny.spec.model_copy(update={"arch": arch, "name": "net"})
    bundle = write_content(tmp_path / "net", tiny_net().SerializeToString(), spec=spec, file="model.onnx")
    for to in ("onnx", "mlm"):
        assert export_model(bundle, tmp_path / to, ExportOptions(to=to), windows).equal_classes == 1
    back = import_model(tmp_path / "mlm" / "item.json", tmp_path / "back", ImportOptions()).bundle
    assert back.digest == bundle.digest


def test_windows_in_a_bundle_are_small_and_used(tiny_bundle, tiny_scene, tmp_path, capsys):
    folder = tmp_path / "net"
    shutil.copytree(tiny_bundle, folder)
    assert main(["export", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert "holds no calibration windows; name a scene that it suits: --calibrate SCENE" in capsys.readouterr().err
    bundle = load_model(folder)
    count, side = store(folder, np.ones((16, 3, 512, 512), np.float32), bundle.spec)
    assert (folder / FILE).stat().st_size <= MOST_BYTES + 1000
    assert (count, side % bundle.spec.multiple_px, side >= 128) == (16, 0, True)
    assert stored(folder, bundle.spec).shape == (16, 3, side, side)
    assert load_model(folder).digest == bundle.digest
    assert store(folder, windows_of(open_scene(tiny_scene), bundle)[:2], bundle.spec) == (2, 128)
    assert main(["export", str(folder), "-o", str(tmp_path / "out")]) == 0
    assert main(["export", str(folder), "-o", str(tmp_path / "out")]) == 5
    assert (
        main(["export", str(folder), "-o", str(tmp_path / "out"), "--overwrite", "--calibrate", str(tiny_scene)]) == 0
    )
    (folder / FILE).write_bytes(b"damaged")
    assert main(["export", str(folder), "-o", str(tmp_path / "new")]) == 4


def test_import_keeps_windows_of_a_scene(tmp_path, tiny_scene, tiny_bundle, capsys):
    onnx.save(tiny_net(), str(tmp_path / "net.onnx"))
    flags = ["-o", str(tmp_path / "b"), "--like", str(tiny_bundle), "--calibrate", str(tiny_scene)]
    assert main(["import", str(tmp_path / "net.onnx"), *flags]) == 0
    assert "4 calibration windows of 128 px" in capsys.readouterr().out
    assert stored(tmp_path / "b", load_model(tmp_path / "b").spec).shape == (4, 3, 128, 128)


@pytest.mark.parametrize("flags", [["--int8"], ["--physical"]])
def test_flags_that_do_not_go_together(tiny_bundle, tmp_path, flags, capsys):
    small = write_tif(tmp_path / "small.tif", np.full((3, 20, 30), 80, np.uint8), photometric="RGB")
    to = ["--to", "deepness", "-o", str(tmp_path / "out"), "--calibrate", str(small), *flags]
    assert main(["export", str(tiny_bundle), *to]) == 2
    told = capsys.readouterr().err
    assert "2 windows are the least" in told or "goes with onnx and openvino" in told


def test_places_to_sample_at_are_brought_to_what_onnx_runtime_takes():
    node = helper.make_node("GridSample", ["image", "grid"], ["out"])
    values = [
        helper.make_tensor_value_info(name, kind, [1, 2, 4, 4 if name != "grid" else 2])
        for name, kind in (("image", TensorProto.FLOAT), ("grid", TensorProto.DOUBLE), ("out", TensorProto.FLOAT))
    ]
    values[1].type.tensor_type.shape.dim[1].dim_value = values[1].type.tensor_type.shape.dim[2].dim_value = 4
    graph = helper.make_graph([node], "sampling", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="GridSample"):
        open_session(model.SerializeToString(), "before", arena=False)
    session = open_session(with_single_grids(model).SerializeToString(), "after", arena=False)
    image = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    (out,) = session.run(None, {"image": image, "grid": np.zeros((1, 4, 4, 2))})
    np.testing.assert_allclose(out[0, 0], image[0, 0, 1:3, 1:3].mean())  # the middle, everywhere


def five_bands(tmp_path: Path) -> Path:
    """Write a scene of the reflectances that spectral rules take."""
    random = np.random.default_rng(0)
    ground = random.random((5, 20, 20)).repeat(32, 1).repeat(32, 2) / 2 + random.random((5, 640, 640)) / 50
    path = write_tif(tmp_path / "five.tif", (10000 * ground).astype(np.uint16))
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("blue", "green", "red", "nir", "swir16")
        dst.scales = (1e-4,) * 5
    return path


DEMO = Path(geoseg.__file__).parent / "demo"


@pytest.mark.parametrize(
    "name",
    [
        "land-cover",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("buildings", "buildings-banepa", "buildings-instances", "spectral")
        ),
    ],
)
@pytest.mark.parametrize("to", ["onnx", pytest.param("openvino", marks=pytest.mark.nightly)])
def test_the_bundles_that_ship_are_exported(tmp_path, name, to):
    scene = {"land-cover": DEMO / "land_cover.tif", "spectral": five_bands(tmp_path)}.get(name, DEMO / "scene.tif")
    bundle = load_model(name)
    seen = windows_of(open_scene(scene), bundle, most=2)
    assert export_model(bundle, tmp_path / "out", ExportOptions(to=to), seen).equal_classes >= 0.999


def test_groups_beside_the_classes_are_exported_and_come_back_by_item(tiny, windows, tmp_path):
    classes = (Channel(name="land", class_id=1), Channel(name="roof", class_id=2))
    roads = Output(name="roads", activation="sigmoid", channels=(Channel(name="road"),))
    spec = tiny.spec.model_copy(update={"outputs": (Output(channels=classes), roads)})
    bundle = save_model(tmp_path / "net", tiny.network(), spec=spec)
    for to in ("onnx", "mlm", "deepness"):
        assert export_model(bundle, tmp_path / to, ExportOptions(to=to), windows).equal_classes >= 0.9999
    assert import_model(tmp_path / "mlm" / "item.json", tmp_path / "b", ImportOptions()).bundle.digest == bundle.digest
    with pytest.raises(ModelError, match="answers 2 groups, activated; export the bundle --to mlm"):
        import_model(tmp_path / "onnx" / "model.onnx", tmp_path / "c", ImportOptions())
