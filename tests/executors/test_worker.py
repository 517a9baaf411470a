"""What a worker does first: it refuses calls of another geoseg, other libraries or another processor, unread."""

import pickle
from functools import partial

import pytest

from geoseg.errors import PlanChangedError
from geoseg.executors.worker import INSTRUCTION_SET, execute, instruction_set, perform, versions

HERE = {**versions(), INSTRUCTION_SET: instruction_set()}


def test_a_call_is_made_where_all_is_as_planned():
    assert perform(HERE, pickle.dumps(partial(pow, 2)), 10) == 1024


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("work", [perform, execute])
def test_other_tools_are_refused_before_anything_is_unpickled(work, name):
    with pytest.raises(PlanChangedError, match=rf"runs {name} .*, the job was planned with another;"):
        work({**HERE, name: "another"}, b"not a pickle", None)
