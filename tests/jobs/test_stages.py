"""Stages: the same result however they are walked, and boxes asked for as they are needed."""

from functools import partial

import pytest

from geoseg.executors.threads import SyncEngine, ThreadsEngine
from geoseg.jobs.stages import Stage
from geoseg.values.box import Box

BOXES = [Box(row, col, row + 7, col + 5) for row in range(0, 70, 7) for col in range(0, 50, 5)]


def area(factor, box):
    return box.row0, factor * box.shape[0] * box.shape[1]


STAGE = Stage("areas", partial(iter, BOXES), partial(area, 3), list)


@pytest.mark.parametrize("each", [map, SyncEngine().map, ThreadsEngine(lanes=3).map])
def test_results_come_in_the_order_of_the_boxes(each):
    assert STAGE.walk(each) == [area(3, box) for box in BOXES]


def test_boxes_are_asked_for_as_they_are_needed():
    asked = []

    def boxes():
        for box in BOXES:
            asked.append(box)
            yield box

    first = Stage("areas", boxes, partial(area, 1), next).walk(ThreadsEngine(lanes=2).map)
    assert first == area(1, BOXES[0])
    assert len(asked) < 5


def test_a_stage_that_raises_ends_with_what_it_raised():
    with pytest.raises(ZeroDivisionError):
        Stage("quotients", partial(iter, [1, 0]), partial(pow, 0), lambda found: [1 // n for n in found]).walk()
