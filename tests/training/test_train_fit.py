"""A real, short training run: it learns bright rectangles on noise, and does so twice alike."""

import json

import numpy as np
import pytest

from geoseg.cli.epochs import gap_line
from geoseg.errors import InputError
from geoseg.models.backends.torch import one_thread_per_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Architecture
from geoseg.training import loop
from geoseg.training.areas import AreaPixels
from geoseg.training.data_spec import Cut, LabelledScene, Split
from geoseg.training.history import Epoch
from geoseg.training.loop import fit
from geoseg.training.mapped import scattered_gap
from geoseg.training.samples import Samples
from geoseg.training.spec import Augmentation, Schedule, TrainSpec
from geoseg.training.targets import BuildingTarget, ClassTarget
from geoseg.training.validation import Validation


def area(shape, seed):
    rng = np.random.default_rng(seed)
    ids = np.zeros(shape, np.int32)
    for i in range(1, shape[0] * shape[1] // 600):
        h, w = rng.integers(8, 20, 2)
        r, c = rng.integers(0, shape[0] - h), rng.integers(0, shape[1] - w)
        ids[r : r + h, c : c + w] = i
    image = rng.normal(90, 25, (3, *shape)).astype(np.float32) + 60 * (ids > 0)
    return AreaPixels(image.astype(np.float32), np.ones(shape, bool), ids, gsd_m=0.5)


def spec(**schedule):
    return TrainSpec(
        name="rectangles",
        data=(LabelledScene(scene="scene.tif", labels="labels.gpkg"),),
        target=BuildingTarget(),
        bands="red,green,blue",
        arch=Architecture(name="compact-unet", options={"widths": [8, 12, 16]}),
        split=Split(validation=Cut(side="east", share=0.25)),
        augmentation=Augmentation(scale=(0.9, 1.1), rotate=False, blur=0, erase=0.1),
        schedule=Schedule(
            **{
                "epochs": 4,
                "steps_per_epoch": 20,
                "batch": 4,
                "crop_px": 64,
                "learning_rate": 1e-2,
                "ema": 0.9,
                **schedule,
            }
        ),
    )


@pytest.fixture(autouse=True)
def _one_precision(monkeypatch):
    """The probe that chooses between fp32 and bf16 measures time, which a busy machine changes."""
    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")


@pytest.fixture(scope="module")
def samples():
    return Samples((area((192, 256), 0),), (area((160, 128), 1),))


@pytest.mark.slow
def test_it_learns_rectangles_and_the_bundle_says_how(samples, tmp_path):
    rows = []
    fitted = fit(spec(), samples, on_epoch=lambda epoch, _: rows.append(epoch))
    best = max(e.score for e in fitted.epochs)
    assert best > 0.8
    assert rows == list(fitted.epochs)
    bundle = save_model(tmp_path / "m", fitted.network, spec=fitted.spec)
    assert bundle.spec.training["best_epoch"] == max(fitted.epochs, key=lambda e: e.rank).number
    assert bundle.spec.training["validation_iou"][1] == pytest.approx(best, abs=1e-4)
    assert len(bundle.spec.training["history"]) == 4


def test_the_last_epoch_is_kept_where_the_schedule_says_so(samples, monkeypatch):
    """Scores that fall from epoch to epoch: the best is the first, the kept one the last."""
    scores = iter([0.9, 0.5, 0.9, 0.5])
    monkeypatch.setattr(Validation, "of", lambda *_: (1.0, (0.9, next(scores)), ()))
    few = {"epochs": 2, "steps_per_epoch": 2, "batch": 2}
    with one_thread_per_network():
        best, last = (fit(spec(**few, keep=keep), samples) for keep in ("best", "last"))
    assert [f.spec.training["kept_epoch"] for f in (best, last)] == [1, 2]
    assert [f.spec.training["validation_iou"][1] for f in (best, last)] == [0.9, 0.5]
    kept = [next(f.network.parameters()).sum().item() for f in (best, last)]
    assert kept[0] != kept[1]


def test_two_runs_are_alike(samples):
    with one_thread_per_network():  # several threads may sum in another order
        table = [fit(spec(epochs=2, steps_per_epoch=3, batch=2), samples).epochs for _ in range(2)]
    losses = [[(e.train_loss, e.validation_loss, e.iou) for e in epochs] for epochs in table]
    assert losses[0] == losses[1]
    other = fit(spec(epochs=2, steps_per_epoch=3, batch=2, seed=1), samples).epochs
    assert [e.train_loss for e in other] != [e.train_loss for e in table[0]]


def test_it_stops_when_nothing_improves(samples):
    schedule = {"epochs": 9, "steps_per_epoch": 1, "batch": 1, "patience": 2, "learning_rate": 1e-9, "ema": 0.0}
    fitted = fit(spec(**schedule), samples)
    since = len(fitted.epochs) - max(fitted.epochs, key=lambda e: e.rank).number
    assert since == 2 or len(fitted.epochs) == 9


def test_epochs_of_one_score_are_ranked_by_their_loss():
    def row(score, loss):
        return Epoch(1, 1.0, loss, (score,), score, 0.0, best=False)

    assert row(0.5, 0.9).rank > row(0.4, 0.1).rank
    assert row(0.5, 0.4).rank > row(0.5, 0.9).rank
    assert row(0.5, 0.9).rank > row(0.5, float("nan")).rank


def test_of_epochs_that_score_alike_the_one_with_the_lower_loss_is_kept(samples, monkeypatch):
    answers = iter([(loss, (1.0, 0.0), ()) for loss in (0.9, 0.4, 0.6)])
    monkeypatch.setattr(Validation, "of", lambda *_: next(answers))
    fitted = fit(spec(epochs=3, steps_per_epoch=1, batch=1), samples)
    assert [e.best for e in fitted.epochs] == [True, True, False]
    assert fitted.spec.training["best_epoch"] == 2


def classes_spec(names):
    infos = [{"id": i, "name": name, "color": (i, i, i)} for i, name in enumerate(names, 1)]
    target = ClassTarget(column="kind", values={n: i for i, n in enumerate(names, 1)}, classes=infos)
    return spec(epochs=1, steps_per_epoch=1, batch=1).model_copy(update={"target": target})


def labelled(*channels):
    labels = np.repeat(np.array(channels, np.int32), 64)[None].repeat(64, 0)
    image = np.random.default_rng(0).normal(size=(3, *labels.shape)).astype(np.float32)
    return (AreaPixels(image, np.ones(labels.shape, bool), labels),)


def test_a_class_that_validation_lacks_is_told_and_counts_for_nothing(caplog):
    three = classes_spec(["water", "wood", "field"])
    fitted = fit(three, Samples(labelled(0, 1, 2), labelled(0, 1)))
    assert "the validation areas hold no label of field: scores say nothing of it" in caplog.text
    facts = fitted.spec.training
    assert facts["classes_not_validated"] == ["field"]
    assert facts["validation_iou"][2] is None
    assert fitted.epochs[0].score == pytest.approx(np.mean(fitted.epochs[0].iou[:2]))
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize(
    ("made", "areas", "told"),
    [
        (classes_spec(["water", "wood"]), (labelled(0, 1), labelled(0)), "validation areas hold no label of wood"),
        (spec(), (labelled(0, 1, 2), labelled(0)), "validation areas hold no label of building"),
        (spec(), (labelled(0), labelled(0, 1)), "train areas hold no label of building"),
    ],
)
def test_areas_that_can_tell_no_epoch_from_another_are_refused(made, areas, told):
    with pytest.raises(InputError, match=f"the {told}; .*move or widen the split"):
        fit(made, Samples(*areas))


def test_a_single_class_is_refused():
    with pytest.raises(InputError, match="water is the only class, and every pixel would be of it; add another one"):
        fit(classes_spec(["water"]), Samples(labelled(0), labelled(0)))


def test_what_a_random_split_would_tell_is_told_beside_the_score_on_blocks(samples):
    short = spec(epochs=1, steps_per_epoch=2, batch=2)
    both = Samples(samples.train, samples.validation, scattered=samples.validation)
    fitted = fit(short, both)
    near = scattered_gap(short, both, fitted.network, fitted.spec)
    assert near == pytest.approx(fitted.spec.training["validation_iou"], abs=1e-4)  # it is the same ground here
    away = "; ".join(f"{name} {iou:.3f}, {iou:.3f}" for name, iou in zip(("background", "building"), near, strict=True))
    assert gap_line(fitted.spec, near) == f"IoU on blocks of their own, and as a random split would have it: {away}"
    assert scattered_gap(short, samples, fitted.network, fitted.spec) is None


@pytest.mark.slow
def test_it_starts_from_a_bundle_with_other_bands(samples, tmp_path):
    donor = fit(spec(epochs=3), samples)
    save_model(tmp_path / "donor", donor.network, spec=donor.spec)
    grey = Samples(*(tuple(AreaPixels(a.image[::-1].copy(), a.valid, a.labels, gsd_m=0.5) for a in areas) for areas in
                     (samples.train, samples.validation)))  # fmt: skip
    again = spec(epochs=1, steps_per_epoch=1).model_copy(
        update={"bands": "blue,green,red", "start_from": str(tmp_path / "donor")}
    )
    fresh = again.model_copy(update={"start_from": None})
    assert fit(again, grey).epochs[0].validation_loss < 0.7 * fit(fresh, grey).epochs[0].validation_loss


def test_a_training_spec_that_contradicts_itself_is_refused():
    from pydantic import ValidationError

    one = {"id": 1, "name": "water", "color": (0, 0, 255)}
    for wrong in ({"values": {"w": 2}}, {"values": {"w": 1}, "elsewhere": 3}):
        with pytest.raises(ValidationError, match="are not in classes"):
            ClassTarget(column="kind", classes=(one,), **wrong)
    for wrong in ((1.4, 0.7), (0.0, 1.0)):
        with pytest.raises(ValidationError, match=r"no range from 0\.001"):
            Augmentation(scale=wrong)


def test_a_sum_of_losses_with_distances_and_counted_weights_trains_and_the_bundle_says_it(samples):
    loss = {"focal": 0.5, "jaccard": {"classes": ["building"]}, "boundary": {"weight": 0.1, "ramp": [0.2, 0.8]}}
    short = spec(epochs=1, steps_per_epoch=3, batch=2, class_weights="auto").model_dump()
    fitted = fit(TrainSpec.model_validate(short | {"loss": loss}), samples)
    config = fitted.spec.training["config"]
    assert config["loss"] == {"focal": 0.5, "jaccard": {"classes": ["building"]}, "boundary": loss["boundary"]}
    weights = config["schedule"]["class_weights"]
    assert weights["background"] < weights["interior"] == 1.0
    assert np.isfinite(fitted.epochs[0].train_loss)
    assert "loss" not in fit(spec(epochs=1, steps_per_epoch=1, batch=1), samples).spec.training["config"]
