"""Windows flow across strips: lanes have the next strip's calls before this one's answers are all in."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from geoseg.executors.base import Cause, ChunkFailure, ChunkRecord
from geoseg.executors.threads import AtOnce, ThreadsEngine, run_chunks
from geoseg.values.box import Box

BOX = Box(0, 0, 1, 1)


@dataclass(eq=False)
class Walk:
    """Strips 0, 1 and 2 of three calls each; what is asked and answered is written down in order."""

    id: str
    said: list
    broken: str = ""
    box: Box = BOX
    strips: tuple = ("top", "middle", "bottom")
    windows: tuple = (0, 0)

    def read(self, strip):
        return None

    def begin(self, strip, pixels):
        self.said.append(("begun", self.id, strip))
        if self.broken == f"begin {strip}":
            raise ValueError(self.broken)
        return Pass(self._calls(strip), strip)

    def _calls(self, strip):
        for i in range(3):
            if self.broken == f"cut {strip}" and i == 1:
                raise ValueError(self.broken)
            yield 0, (self, strip, i)

    def finish(self, begun, answers):
        for answer in answers:
            self.said.append(("answer", *answer[1:]))
        self.said.append(("done", begun.strip))
        return {}

    def give_up(self):
        self.said.append(("given up", self.id))

    def tables(self):
        return {}

    def record(self):
        return ChunkRecord(self.id, BOX, 9, 0, np.zeros((1, 1), np.int32))


@dataclass
class Pass:
    calls: object
    strip: str


@dataclass
class Task:
    """Chunks a, b, ..., of which some break."""

    broken: dict = field(default_factory=dict)
    said: list = field(default_factory=list)

    def forward(self):
        def call(_member, asked):
            walk, strip, i = asked
            self.said.append(("asked", strip, i))
            if walk.broken == f"call {strip}" and i == 1:
                raise ValueError(walk.broken)
            return asked

        return call

    def walk(self, chunk):
        return Walk(chunk[0], self.said, self.broken.get(chunk[0], ""))

    def sink(self, walk):
        return self

    def add(self, rows):
        raise AssertionError("no rows are complete")

    def commit(self, record):
        return record

    def refuse_if_changed(self):
        pass


def run(task, names="ab"):
    pools = {name: AtOnce() for name in ("reader", "lanes", "encoder")}
    return list(run_chunks(task, [(name, BOX) for name in names], **pools, ahead=2))


def test_the_next_strip_is_asked_before_this_one_is_answered_and_answers_keep_their_order():
    task = Task()
    run(task, "a")
    asked = [event[1:] for event in task.said if event[0] == "asked"]
    answered = [event[1:] for event in task.said if event[0] == "answer"]
    assert asked == answered == [(strip, i) for strip in Walk.strips for i in range(3)]
    for strip, after in zip(Walk.strips, Walk.strips[1:], strict=False):
        assert task.said.index(("asked", after, 1)) < task.said.index(("done", strip))
        assert ("asked", after, 2) not in task.said[: task.said.index(("done", strip))]  # two are under way at most
    everywhere = [event[0] for event in task.said]
    under_way = np.cumsum([{"asked": 1, "answer": -1}.get(what, 0) for what in everywhere])
    assert under_way.max() == 3  # two beside the one in use


@pytest.mark.parametrize("where", ["begin", "cut", "call"])
@pytest.mark.parametrize("strip", Walk.strips)
def test_a_chunk_that_breaks_leaves_the_others_whole(where, strip):
    task = Task({"b": f"{where} {strip}"})
    ended = [outcome for outcome in run(task, "abc") if isinstance(outcome, ChunkRecord | ChunkFailure)]
    failures = [outcome for outcome in ended if isinstance(outcome, ChunkFailure)]
    assert [outcome.id for outcome in ended if isinstance(outcome, ChunkRecord)] == ["a", "c"]
    assert [(failure.id, failure.cause, str(failure.error)) for failure in failures] == [
        ("b", Cause.NETWORK, f"{where} {strip}")
    ]


@pytest.mark.parametrize("where", ["begin", "cut", "call"])
def test_a_strip_that_had_begun_beside_a_chunk_that_fails_begins_anew(where):
    task = Task({"a": f"{where} bottom"})
    run(task)
    told = [event for event in task.said if event[0] in ("begun", "given up")]
    failed = told.index(("given up", "a"))
    assert told[failed - 1] == told[failed + 1] == ("begun", "b", "top")
    assert told.count(("begun", "b", "top")) == 2
    assert [told.count(("begun", "b", strip)) for strip in Walk.strips[1:]] == [1, 1]


def test_a_lane_has_a_call_that_waits_while_the_next_strip_is_prepared():
    both = threading.Event()

    class Slow(Walk):
        def begin(self, strip, pixels):
            if strip == "middle":
                assert both.wait(30)  # until the lane has run two calls of the strip before
            return super().begin(strip, pixels)

    class Waiting(Task):
        def forward(self):
            call = super().forward()

            def counted(member, asked):
                answer = call(member, asked)
                if asked[1:] == ("top", 1):
                    both.set()
                return answer

            return counted

        def walk(self, chunk):
            return Slow(chunk[0], self.said)

    engine = ThreadsEngine(lanes=1)
    engine._backends = ()  # no library is loaded for it
    ended = list(engine.run(Waiting(), [("a", BOX)]))
    assert [outcome.id for outcome in ended if isinstance(outcome, ChunkRecord)] == ["a"]
