"""What pixels count: near borders, by the weights of their class, and by how rare it is."""

import json

import numpy as np
import pytest
import torch

from geoseg.training.areas import AreaPixels
from geoseg.training.losses.answer import Answer
from geoseg.training.losses.table import LOSSES
from geoseg.training.losses.terms import TERMS
from geoseg.training.spec import TrainSpec
from geoseg.training.targets import BORDER, IGNORE, UNKNOWN, ClassTarget
from geoseg.training.weights import balanced, border_weights, class_weights, label_counts, pixel_weights, with_numbers

KINDS = ClassTarget(values={}, classes=[{"id": i, "name": n, "color": (i, i, i)} for i, n in enumerate("abc", 1)])


def test_border_weights_reach_around_borders():
    labels = torch.zeros(1, 20, 20, dtype=torch.uint8)
    labels[0, 10, 10] = BORDER
    weights = border_weights(labels, border=BORDER, weight=3.0, reach_px=3)
    expected = np.ones((20, 20))
    expected[7:14, 7:14] = 3
    np.testing.assert_array_equal(weights[0], expected)


def test_class_weights_say_what_an_error_in_a_class_costs():
    labels = torch.tensor([[[0, 1, 2, IGNORE]]])
    assert class_weights(labels, [1.0, 4.0, 0.5])[0, 0, :3].tolist() == [1.0, 4.0, 0.5]
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 0] = 5.0  # says the first class everywhere: the second is an error

    def loss(weights):
        groups = ((0,), (1,), (2,))
        return LOSSES["cross-entropy"](
            Answer(logits, labels, class_weights(labels, weights)), TERMS["cross-entropy"](), groups
        )

    assert loss([1.0, 4.0, 1.0]) > loss([1.0, 1.0, 1.0]) > loss([4.0, 1.0, 1.0])


@pytest.mark.parametrize(("how", "weights"), [("auto", [0.5, 1.0, 2.0]), ("inverse", [0.25, 1.0, 4.0])])
def test_weights_are_counted_without_void_and_become_numbers(how, weights):
    labels = np.full((20, 32), UNKNOWN, np.int32)
    labels[:2], labels[2, :16], labels[3, :4] = 0, 1, 2
    area = AreaPixels(np.zeros((1, 20, 32), np.float32), np.ones((20, 32), bool), labels)
    assert label_counts([area], KINDS).tolist() == [64, 16, 4]
    assert balanced(np.array([10**6, 1, 0]), how) == (0.7071 if how == "auto" else 0.5, 10.0, 1.0)
    spec = TrainSpec(
        name="t",
        data=[{"scene": "s.tif", "labels": "l.tif", "use": "train"}],
        bands="red",
        target=KINDS,
        schedule={"class_weights": how},
    )
    counted = with_numbers(spec, [area])
    assert json.loads(counted.model_dump_json())["schedule"]["class_weights"] == dict(zip("abc", weights, strict=True))
    assert pixel_weights(torch.tensor([[[0, 1, 2]]]), counted).tolist() == [[weights]]
    assert with_numbers(counted, []) is counted
