"""What MLM items and Deepness's keys say of a network is taken over, the rest is asked for, and lies are refused."""

import copy
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_nets import tiny_net

from geoseg.errors import ConfigError, ModelError
from geoseg.models.backends import library
from geoseg.models.imports import run
from geoseg.models.imports.run import import_model
from geoseg.options.exchange import ImportOptions

ASSET = {"href": "./net.onnx", "roles": ["mlm:model"], "type": "application/octet-stream; application=onnx"}
ITEM = {
    "type": "Feature", "id": "roofs", "stac_version": "1.0.0",
    "properties": {
        "mlm:name": "roofs", "mlm:architecture": "U-Net", "mlm:tasks": ["semantic-segmentation"], "gsd": 10,
        "license": "CC-BY-4.0",
        "bands": [{"name": "B04", "eo:common_name": "red", "eo:center_wavelength": 0.665}, {"name": "B03"}],
        "mlm:input": [{
            "name": "image", "bands": ["B04", "green", {"name": "nir"}],
            "input": {
                "shape": [-1, 3, 64, 64], "dim_order": ["batch", "channel", "height", "width"], "data_type": "float32",
            },
            "value_scaling": [
                {"type": "z-score", "mean": 80, "stddev": 40}, {"type": "min-max", "minimum": 10, "maximum": 60},
                {"type": "scale", "value": 255},
            ],
        }],
        "mlm:output": [{
            "name": "map", "tasks": ["semantic-segmentation"],
            "result": {"shape": [-1, 3, 64, 64], "dim_order": ["batch", "class", "height", "width"]},
            "classification:classes": [
                {"value": 2, "name": "a_roof", "title": "roof", "color_hint": "C8422E"}, {"value": 0, "name": "land"},
                {"value": 1, "name": "water"},
            ],
        }],
    },
    "assets": {"card": {"href": "https://example.org/card.html", "roles": ["metadata"]}, "model": ASSET},
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Probe in this process: see ``test_onnx_import``."""
    monkeypatch.setattr(run, "isolated", lambda call, *args, where: call(*args))


def written(tmp_path, change=lambda _item: None):
    item = copy.deepcopy(ITEM)
    change(item)
    onnx.save(tiny_net(), str(tmp_path / "net.onnx"))
    (tmp_path / "item.json").write_text(json.dumps(item))
    return tmp_path / "item.json"


def test_an_item_says_all_that_a_bundle_does(tmp_path):
    spec = import_model(written(tmp_path), tmp_path / "b", ImportOptions()).bundle.spec
    assert [(b.name, b.wavelength_nm) for b in spec.bands] == [("B04", 665.0), ("green", 560.0), ("nir", 842.0)]
    assert (spec.normalisation.mean, spec.normalisation.std) == ((80, 10, 0), (40, 50, 255))
    assert [(c.id, c.name) for c in spec.classes] == [(1, "land"), (2, "water"), (3, "roof")]
    assert (spec.classes[2].hex, spec.gsd_m, spec.window_px, spec.licence) == ("#c8422e", 10, 64, "CC-BY-4.0")


def asset(item, **changes):
    item["assets"]["model"].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda item: item["properties"]["mlm:input"][0].pop("value_scaling"), "--mean and --std"),
        (lambda item: item["properties"]["mlm:input"][0].update(bands=[]), "--bands NAMES"),
        (lambda item: item["properties"].pop("gsd"), "--gsd-m METRES"),
        (lambda item: item["properties"]["mlm:output"][0].pop("classification:classes"), "--classes NAMES"),
        (
            lambda item: item["properties"]["mlm:input"][0].update(value_scaling=[{"type": "processing"}]),
            "--mean and --std",
        ),
    ],
)
def test_what_an_item_does_not_say_is_asked_for(tmp_path, change, told):
    with pytest.raises(ConfigError, match=told):
        import_model(written(tmp_path, change), tmp_path / "b", ImportOptions())


def test_flags_add_to_an_item(tmp_path):
    item = written(tmp_path, lambda item: item["properties"]["mlm:input"][0].update(value_scaling=None))
    spec = import_model(item, tmp_path / "b", ImportOptions(bands="red,green,blue", gsd_m=0.5)).bundle.spec
    assert (spec.normalisation.std, spec.band_set.names, spec.gsd_m) == ((1, 1, 1), ("red", "green", "blue"), 0.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda item: item["properties"].update({"mlm:tasks": ["detection"]}), "is for detection; geoseg maps with"),
        (lambda item: item["assets"].pop("model"), "no asset has the role mlm:model"),
        (
            lambda item: item["assets"]["model"].update(href="https://example.org/net.onnx"),
            "no file in the item's folder",
        ),
        (lambda item: item["assets"]["model"].update(href="../../etc/passwd"), "no file in the item's folder"),
        (
            lambda item: item["assets"]["model"].update({"file:checksum": "1220" + "0" * 64}),
            "its sha256 is not the one",
        ),
        (lambda item: item.pop("properties"), "not a STAC item of a model"),
        (lambda item: item["properties"].update({"geoseg:bundle": {"bands": []}}), "faults: "),
    ],
)
def test_items_that_are_no_use_say_why(tmp_path, change, told):
    with pytest.raises(ModelError, match=told):
        import_model(written(tmp_path, change), tmp_path / "b", ImportOptions())


def with_keys(tmp_path, **keys):
    model = tiny_net(size=64)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in keys.items()})
    onnx.save(model, str(tmp_path / "net.onnx"))
    return tmp_path / "net.onnx"


KEYS = {"model_type": "Segmentor", "class_names": {"0": "land", "1": "road", "2": "roof"}, "resolution": 20}


def test_deepness_s_keys_are_read_and_bytes_over_255_normalised(tmp_path):
    path = with_keys(tmp_path, **KEYS, standardization_mean=[0.4, 0.4, 0.5], standardization_std=[0.2, 0.2, 0.1])
    with pytest.raises(ConfigError, match=r"lacks its bands \(--bands NAMES\); or name"):
        import_model(path, tmp_path / "b", ImportOptions())
    bundle = import_model(path, tmp_path / "b", ImportOptions(bands="red,green,blue")).bundle
    assert ([c.name for c in bundle.spec.classes], bundle.spec.gsd_m) == (["land", "road", "roof"], 0.2)
    np.testing.assert_allclose(bundle.spec.normalisation.mean, [102, 102, 127.5])
    np.testing.assert_allclose(bundle.spec.normalisation.std, [51, 51, 25.5])
    assert library("onnx").open_backend(bundle, device="cpu", precision="fp32").peak_bytes((1, 3, 64, 64)) > 0
    plain = import_model(with_keys(tmp_path, **KEYS), tmp_path / "c", ImportOptions(bands="red,green,blue")).bundle
    assert (plain.spec.normalisation.mean, plain.spec.normalisation.std) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("keys", [{**KEYS, "model_type": "Detector"}, {**KEYS, "class_names": "roof"}])
def test_keys_that_are_no_use_are_refused(tmp_path, keys):
    with pytest.raises(ModelError, match="its metadata cannot be read"):
        import_model(with_keys(tmp_path, **keys), tmp_path / "b", replace(ImportOptions(), bands="red,green,blue"))
