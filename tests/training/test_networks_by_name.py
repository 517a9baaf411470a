"""A run says its network by name: its windows come from the table, and what it cannot take is refused before."""

import pytest

from geoseg.models.spec import Architecture, Normalisation
from geoseg.training.data_spec import LabelledScene
from geoseg.training.spec import Schedule, TrainSpec
from geoseg.training.targets import BuildingTarget

NORMAL = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3)


def spec(name, options=None, **changes):
    return TrainSpec(
        name="tiny",
        data=(LabelledScene(scene="scene.tif", labels="labels.gpkg", use="train"),),
        target=BuildingTarget(),
        bands="red,green,blue",
        arch=Architecture(name=name, options=options or {}),
        **changes,
    )


@pytest.mark.parametrize(
    ("name", "options", "windows", "multiple_px"),
    [
        ("unet", None, (512, 64, 64), 32),
        ("deeplabv3+", None, (512, 64, 128), 32),
        ("pixel-mlp", None, (384, 32, 32), 32),
        ("plain-unet", {"widths": [8, 8, 8, 8, 8, 8, 8]}, (512, 64, 64), 64),
    ],
)
def test_windows_are_the_network_s_where_none_are_said(name, options, windows, multiple_px):
    model = spec(name, options).of_model(NORMAL)
    assert (model.window_px, model.margin_px, model.ramp_px) == windows
    assert model.multiple_px == multiple_px


def test_windows_that_are_said_rule():
    model = spec("deeplabv3+", window_px=256, ramp_px=0).of_model(NORMAL)
    assert (model.window_px, model.margin_px, model.ramp_px) == (256, 64, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"name": "pan", "schedule": Schedule(crop_px=96)},
            r"crop_px: pan: .*; the nearest are 128 and 160 px",
        ),
        ({"name": "pan", "window_px": 96, "margin_px": 0, "ramp_px": 0}, "window_px: pan: windows of 96 px are not"),
        ({"name": "upernet", "schedule": Schedule(batch=1)}, "schedule.batch: upernet takes batches of 2 or more"),
        ({"name": "umet"}, r"unknown architecture 'umet'; did you mean unet\?"),
        (
            {"name": "unet", "options": {"encoder_nam": "resnet18"}},
            r"encoder_nam: unknown key; did you mean",
        ),
    ],
)
def test_what_a_network_cannot_take_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        spec(**changes)
