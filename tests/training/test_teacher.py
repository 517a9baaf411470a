"""Learning of a teacher: its answers are those of a run, from bands that the student lacks, and labels may be none."""

import numpy as np
import pytest
import rasterio
import torch
import yaml
from conftest import GSD_M, write_bundle, write_tif

from geoseg.cli import main
from geoseg.errors import ModelError
from geoseg.models.bundle import load_model
from geoseg.models.spec import Normalisation
from geoseg.training.losses.taught import distilled
from geoseg.training.objectives import Objectives, Truth
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import IGNORE, UNKNOWN
from geoseg.values.bands import BandSet

CLASSES = [{"id": i, "name": name, "color": "#808080"} for i, name in enumerate(("background", "building"), 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_scene):
    """A scene of four bands, labels of all of it, and a teacher of all four bands."""
    out = tmp_path_factory.mktemp("taught")
    with rasterio.open(tiny_scene) as src:
        rgb = src.read()
    scene = np.concatenate([rgb, 255 - rgb[:1]])
    write_tif(out / "scene.tif", scene, photometric="RGB")
    write_tif(out / "labels.tif", 1 + (rgb[:1] > 120).astype(np.uint8))
    usual = Normalisation(mean=(80.0,) * 4, std=(40.0,) * 4)
    bands = BandSet.parse("red,green,blue,nir").bands
    write_bundle(out / "teacher", widths=[4], bands=bands, normalisation=usual)
    return out


def content(folder, **keys):
    usual = {
        "name": "student", "bands": "red,green,blue", "gsd_m": GSD_M,
        "target": {"kind": "classes", "classes": CLASSES},
        "data": [
            {"scene": "scene.tif", "bands": "red,green,blue,nir", "use": "train"},
            {"scene": "scene.tif", "bands": "red,green,blue,nir", "labels": "labels.tif", "use": "validation"},
        ],
        "arch": {"name": "compact-unet", "options": {"widths": [3]}}, "teacher": str(folder / "teacher"),
        "window_px": 64, "margin_px": 8, "ramp_px": 16,
    }  # fmt: skip
    return usual | keys


def spec_of(folder, **keys):
    return TrainSpec.model_validate(content(folder, **keys))


def test_answers_are_those_of_a_run_of_all_its_bands(folder, tmp_path):
    scene = ["predict", str(folder / "scene.tif"), "--bands", "red,green,blue,nir", "-m", str(folder / "teacher")]
    assert main([*scene, "-o", str(tmp_path / "run"), "--probabilities", "-q"]) == 0
    with rasterio.open(tmp_path / "run" / "probabilities.tif") as src:
        run = (src.read().astype(float) - 1) / 254
    least = float(np.median(run.max(0)))
    samples = load_samples(
        spec_of(folder, teacher={"model": str(folder / "teacher"), "confidence": least}).resolve(folder)
    )
    area = samples.train[0].read()
    said = area.image[3:]
    assert len(said) == 2
    np.testing.assert_allclose(said, run, atol=1 / 254)
    np.testing.assert_array_equal(area.labels, np.where(said.max(0) >= least, said.argmax(0), UNKNOWN))
    assert 0 < (area.labels == UNKNOWN).mean() < 1
    assert samples.validation[0].read().image.shape[0] == 3  # of drawn labels alone


@pytest.mark.nightly
def test_a_student_is_trained_by_the_verb_and_says_of_whom(folder, tmp_path):
    schedule = {"epochs": 1, "steps_per_epoch": 1, "batch": 2, "crop_px": 32}
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(content(folder, job="train", schedule=schedule, calibrate="none")))
    assert main(["train", str(config), "--data", str(folder), "-o", str(tmp_path / "m"), "-q"]) == 0
    about = load_model(tmp_path / "m").spec.training
    teacher = load_model(folder / "teacher")
    assert about["teacher"] == {"name": teacher.spec.name, "sha256": teacher.digest}
    assert "model" not in about["config"]["teacher"]


def test_the_loss_is_of_classes_and_nothing_where_the_teacher_says_nothing():
    said = torch.tensor([0.3, 0.7]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2).clone()
    said[..., 1, :] = float("nan")
    logits = torch.tensor([0.3, 0.5, 0.2]).log().reshape(1, 3, 1, 1).expand(1, 3, 2, 2).clone().requires_grad_()
    loss = distilled(logits, said, ((0,), (1, 2)))
    assert loss.item() == pytest.approx(0, abs=1e-6)  # 0.5 + 0.2 are the class's
    worse = distilled(logits * 3, said, ((0,), (1, 2)))
    worse.backward()
    assert worse > 0.01
    assert logits.grad[..., 0, :].abs().min() > 0
    assert logits.grad[..., 1, :].abs().max() == 0
    nothing = distilled(logits, torch.full_like(said, float("nan")), ((0,), (1, 2)))
    assert nothing.item() == 0
    assert nothing.requires_grad


def test_void_labels_leave_the_teacher_its_share(folder):
    objective = Objectives.of(spec_of(folder))
    logits, said = torch.randn(1, 2, 4, 4, requires_grad=True), torch.rand(1, 2, 4, 4)
    void = Truth(torch.full((1, 4, 4), IGNORE, dtype=torch.uint8), said)
    assert objective(logits, void).item() == pytest.approx(0.5 * distilled(logits, said, ((0,), (1,))).item())
    labels = Truth(torch.ones(1, 4, 4, dtype=torch.uint8), torch.empty(1, 0, 4, 4))  # of watched ground
    assert objective(logits, labels).item() > 0


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"teacher": None}, "has no labels"),
        ({"target": {"kind": "buildings"}}, "has no labels"),
        ({"augmentation": {"mixup": 0.5}}, "answers of a teacher are not mixed"),
        ({"teacher": {"model": "x", "weight": 0}}, "greater than 0"),
    ],
)
def test_what_it_cannot_teach_is_refused(folder, keys, told):
    with pytest.raises(ValueError, match=told):
        spec_of(folder, **keys)


def test_a_teacher_of_other_classes_is_refused(folder):
    classes = [{"id": i, "name": name, "color": "#808080"} for i, name in enumerate(("ground", "road"), 1)]
    spec = spec_of(folder, target={"kind": "classes", "classes": classes})
    with pytest.raises(ModelError, match="has the classes background, building, the target ground, road; take"):
        load_samples(spec.resolve(folder))
