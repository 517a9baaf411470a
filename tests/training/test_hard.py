"""Hard windows: where a network is wrong is found cell by cell, and drawn more often in the next epoch."""

import re

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from conftest import write_tif
from test_batches import CLASSES, area, recipe
from test_train_fit import area as rectangles
from test_train_fit import spec

from geoseg.models.spec import Normalisation
from geoseg.training import loop
from geoseg.training.batches import Hard, batches
from geoseg.training.hard import wrong_cells
from geoseg.training.losses.terms import CE_DICE
from geoseg.training.objectives import Objectives
from geoseg.training.samples import Samples, load_samples
from geoseg.training.spec import Schedule, TrainSpec
from geoseg.training.targets import UNKNOWN
from geoseg.training.validation import Validation


class Bright(torch.nn.Module):
    """Says of every pixel above 0.5 that it is of the second class."""

    def forward(self, images):
        return torch.cat([0.5 - images, images - 0.5], 1)


def judge(areas):
    run = spec().model_copy(update={"target": CLASSES, "bands": "gray=650", "loss": CE_DICE})
    model = run.of_model(Normalisation(mean=(0.0,), std=(1.0,)))
    return Validation(run, model, areas, Objectives.of(run), "fp32")


def faulty():
    """Areas of which the second has 300 wrong labels in the cell at row 1, column 3, and void beside them."""
    ground = area(0, (150, 250), site="b")
    ground.labels[70:80, 200:230] = 1
    ground.image[0, 100:120, 200:230], ground.labels[100:120, 200:230] = 1, UNKNOWN
    return [area(1, (128, 128), site="a"), ground]


def test_wrong_pixels_are_counted_cell_by_cell():
    first, second = wrong_cells(Bright(), judge(faulty()), np.random.default_rng(0), most_px=1e9)
    assert first.shape == (2, 2)
    assert not first.any()
    wanted = np.zeros((3, 4))
    wanted[1, 3] = 300
    np.testing.assert_array_equal(second, wanted)


def test_as_many_blocks_are_looked_at_as_asked_for():
    areas = [area(0, (64, 64)) for _ in range(5)]
    for one in areas:
        one.labels[:] = 1  # all is wrong
    for most_px, looked in ((1, 1), (64 * 64 * 2.5, 3), (1e9, 5)):
        found = wrong_cells(Bright(), judge(areas), np.random.default_rng(3), most_px=most_px)
        assert sum(int(cells.sum()) for cells in found) == looked * 64 * 64


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_share_of_windows_lies_where_the_network_was_wrong(share):
    areas = faulty()
    wrong = wrong_cells(Bright(), judge(areas), np.random.default_rng(0), most_px=1e9)
    made = batches(areas, recipe(), batch=25, seed=0, hard=Hard(share, wrong), until=8)
    places = [place for batch in made for place in batch.places]
    assert len(places) == 200  # and no more are made
    at = [[int(n) for n in re.findall(r"\d+", place)] for place in places]
    inside = sum(64 <= row < 128 and 192 <= col < 250 and number == 2 for row, col, number in at)
    assert abs(inside - 200 * (share + (1 - share) * 0.04)) < 20


def test_where_nothing_is_wrong_windows_are_those_of_no_share():
    areas = [area(0, site="a"), area(1, site="b")]
    plain, same = (
        next(batches(areas, recipe(), batch=4, seed=1, hard=Hard(s, [np.zeros((1, 1), int)] * 2))) for s in (0, 0.5)
    )
    assert plain.places == same.places


def test_every_epoch_draws_where_the_one_before_was_wrong(monkeypatch):
    told = []
    monkeypatch.setattr(loop, "precision_of", lambda *_: "fp32")
    monkeypatch.setattr(
        loop, "batches", lambda *areas, hard, **how: told.append(hard) or batches(*areas, hard=hard, **how)
    )
    short = {"epochs": 3, "steps_per_epoch": 1, "batch": 1, "crop_px": 32}
    samples = Samples((rectangles((64, 128), 0),), (rectangles((64, 64), 1),))
    loop.fit(spec(**short, hard_share=0.4), samples)
    assert [hard.share for hard in told] == [0.4] * 3
    assert told[0].wrong == []
    assert all(hard.wrong[0].shape == (1, 2) and hard.wrong[0].sum() > 0 for hard in told[1:])


BOXES = {"accepted": (0, 0, 9, 9), "edited": (70, 140, 80, 160), "rejected": (10, 70, 20, 74), "unseen": (90, 0, 99, 9)}


def test_what_a_review_corrected_is_drawn_more_often_from_the_first_window_on(tmp_path, monkeypatch):
    write_tif(tmp_path / "scene.tif", np.full((1, 128, 192), 90, np.uint8))
    shapes = [shapely.box(3e5 + c / 2, 3.06e6 - s / 2, 3e5 + d / 2, 3.06e6 - r / 2) for r, c, s, d in BOXES.values()]
    rows = {"kind": "house", "review": list(BOXES)}
    gpd.GeoDataFrame(rows, geometry=shapes, crs=32645).to_file(tmp_path / "labels.gpkg")
    target = {"kind": "classes", "column": "kind", "values": {"house": 2}, "elsewhere": 1, "classes": CLASSES.classes}
    entry = {"scene": "scene.tif", "labels": "labels.gpkg"}
    run = TrainSpec(
        name="t", bands="gray=650", target=target, data=[entry | {"use": use} for use in ("train", "validation")],
        schedule={"hard_share": 0.5, "crop_px": 32},
    ).resolve(tmp_path)  # fmt: skip
    samples, told = load_samples(run), []
    (found,) = samples.corrected
    np.testing.assert_array_equal(found, [[0, 40, 0], [0, 0, 200]])
    assert load_samples(run.model_copy(update={"schedule": Schedule(crop_px=32)})).corrected == ()

    def stopped(*_, hard, **__):
        told.append(hard)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "batches", stopped)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(run, samples)
    assert told[0].share == 0.5
    np.testing.assert_array_equal(told[0].wrong, [found])
