"""Scores against those of torchmetrics and pycocotools."""

import contextlib
import io

import numpy as np
import pytest
import shapely

from geoseg.trust import Confusion, average_precision, differences, match_objects
from geoseg.trust.objects import COCO_MIN_IOUS


@pytest.mark.slow
def test_scores_of_classes_are_those_of_torchmetrics():
    import torch
    from torchmetrics.functional import classification as theirs

    made = np.random.default_rng(0)
    truth, predicted = made.integers(0, 5, (2, 40, 50))
    predicted = np.where(made.random(truth.shape) < 0.6, truth, np.maximum(predicted, 1))
    known = (truth > 0) & (predicted > 0)
    own = Confusion.empty(4).add(truth, predicted)
    sides = torch.from_numpy(predicted[known] - 1), torch.from_numpy(truth[known] - 1)

    def right(name, **options):
        return getattr(theirs, f"multiclass_{name}")(*sides, num_classes=4, **options).numpy()

    each = {"average": "none"}
    np.testing.assert_allclose(own.iou[1:], right("jaccard_index", **each), rtol=1e-5)
    np.testing.assert_allclose(own.f1[1:], right("f1_score", **each), rtol=1e-5)
    np.testing.assert_allclose(own.precision[1:], right("precision", **each), rtol=1e-5)
    np.testing.assert_allclose(own.recall[1:], right("recall", **each), rtol=1e-5)
    assert own.mean_iou == pytest.approx(right("jaccard_index").item(), rel=1e-5)
    assert own.kappa == pytest.approx(right("cohen_kappa").item(), rel=1e-5)


@pytest.mark.slow
def test_scores_of_numbers_are_those_of_torchmetrics():
    import torch
    from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score

    made = np.random.default_rng(2)
    truth = made.normal(300, 40, 500)
    said = truth + made.normal(3, 9, 500)
    own, sides = differences(truth, said), (torch.from_numpy(said), torch.from_numpy(truth))
    right = [mean_squared_error(*sides, squared=False), mean_absolute_error(*sides), r2_score(*sides)]
    assert (own.rmse, own.mae, own.r2) == pytest.approx([r.item() for r in right], rel=1e-9)


@pytest.fixture(scope="module")
def boxes():
    """True boxes on a grid of 20 px, and boxes near to most of them with a confidence: (N, 4) of x0, y0, x1, y1."""
    made = np.random.default_rng(1)
    corner = 20 * np.stack(np.meshgrid(np.arange(6), np.arange(5)), -1).reshape(-1, 2)
    truth = np.hstack([corner + 3, corner + 13])
    moved = (truth + np.tile(made.integers(-2, 3, (30, 2)), 2))[made.random(30) < 0.8]
    return truth, moved, made.permutation(len(moved)) / len(moved)


def polygons(boxes):
    return shapely.box(*boxes.T)


@pytest.mark.slow
def test_panoptic_quality_is_that_of_torchmetrics(boxes):
    import torch
    from torchmetrics.functional.detection import panoptic_quality

    sides = []
    for own in boxes[:2]:
        ids = np.zeros((1, 100, 120, 2), int)
        for i, (x0, y0, x1, y1) in enumerate(own, 1):
            ids[0, y0:y1, x0:x1] = 1, i
        sides.append(torch.from_numpy(ids))
    truth, predicted, _ = boxes
    own = match_objects(polygons(truth), polygons(predicted))
    told = panoptic_quality(sides[1], sides[0], {1}, {0}, return_sq_and_rq=True, return_per_class=True)
    pq, sq, rq = told[0].tolist()
    assert 0.2 < own.f1 < 0.95
    assert (own.panoptic_quality, own.mean_iou, own.f1) == pytest.approx((pq, sq, rq), rel=1e-6)


def test_average_precision_is_that_of_pycocotools(boxes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, predicted, confidence = boxes

    def rows(own, **further):
        return [
            {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x0, y0, x1 - x0, y1 - y0],
             "area": (x1 - x0) * (y1 - y0), **{k: v[i - 1] for k, v in further.items()}}
            for i, (x0, y0, x1, y1) in enumerate(own.tolist(), 1)
        ]  # fmt: skip

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": rows(truth)}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(rows(predicted, score=confidence.tolist())), "bbox")
        judge.evaluate()
        judge.accumulate()
    right = judge.eval["precision"][:, :, 0, 0, 2].mean(1)
    own = average_precision(polygons(truth), polygons(predicted), confidence, min_ious=COCO_MIN_IOUS)
    assert 0 < own[0] < 1
    np.testing.assert_allclose(own, right, atol=1e-6)
