"""Whose arena a new thread is given, where a thread leaves its own before it is seen to end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from observer.compare.exactly import Exactly
from observer.compare.hypotheses import Pace
from observer.compare.result import Comparison
from observer.simulator.frame_side import FrameSide
from observer.simulator.glibc.kernel import SimulatedKernel
from observer.simulator.glibc.malloc import Glibc, Outcome
from observer.simulator.glibc_side import GlibcMaker
from tests.builders import HEAP, LIBC, PID, Script

ONE, TWO, THREE, FOUR = (PID + i for i in (1, 2, 3, 4))


class Reality:
    """A process of threads: what its calls do is simulated, what is seen of it is written down."""

    def __init__(self) -> None:
        self.script = Script()
        self.script.process("start", path="/home/ada/story")
        self.model = Glibc("2.36", main_task=PID, kernel=SimulatedKernel(HEAP, top=LIBC), cpus=8)
        self.malloc(PID)

    def begin(self, *tasks: int) -> None:
        for task in tasks:
            self.script.process("clone", child=task)
            self.model.start_thread(task)

    def malloc(self, task: int, size: int = 40, *, moved_by: int = 0) -> int:
        """A malloc, seen to return a pointer that lies *moved_by* bytes further on."""
        outcome = self.model.malloc(size, task)
        n = self.script.call("malloc", size, result=outcome.pointer + moved_by, tid=task)
        self._ask(outcome, n, task)
        return outcome.pointer

    def free(self, task: int, pointer: int) -> None:
        outcome = self.model.free(pointer, task)
        self._ask(outcome, self.script.free(pointer, tid=task), task)

    def leave(self, *tasks: int) -> None:
        """Threads end in this order."""
        for task in tasks:
            self.model.end_thread(task)

    def see_end(self, *tasks: int) -> None:
        """They are seen to end in this one."""
        for task in tasks:
            self.script.process("exit", tid=task, status=0)

    def _ask(self, outcome: Outcome, n: int, task: int) -> None:
        for asked in outcome.asks:
            more = (-1, 0) if asked.name == "mmap" else ()
            self.script.syscall(asked.name, *asked.arguments, *more, result=asked.result, cause=n, tid=task)

    def compare(self) -> Comparison:
        exactly = Exactly(GlibcMaker("2.36", {}, 8, "never"), lambda: FrameSide("never"), "glibc", sees_faults=False)
        exactly.run(self.script.events)
        return exactly.comparison


def assert_predicted(found: Comparison) -> None:
    assert (found.unexplained, found.notes, found.calls.undetermined) == (0, [], 0)
    assert found.calls.agree == found.calls.total > 0


@pytest.mark.parametrize("first", ["malloc", "large malloc", "free"])
def test_a_thread_may_be_given_the_arena_of_one_that_is_seen_to_end_later(first: str) -> None:
    reality = Reality()
    reality.begin(ONE, TWO)
    kept = [reality.malloc(ONE) for _ in range(3)]
    reality.free(ONE, kept[0])
    reality.leave(ONE)
    if first == "large malloc":
        reality.malloc(TWO, 1 << 20)
    elif first == "free":
        reality.free(TWO, kept[1])
    assert abs(reality.malloc(TWO) - kept[2]) < 1 << 20
    reality.see_end(ONE)
    reality.malloc(TWO)
    assert_predicted(reality.compare())


def test_a_thread_that_calls_again_has_not_left() -> None:
    reality = Reality()
    reality.begin(ONE, TWO)
    pieces = [reality.malloc(ONE) for _ in range(2)]
    reality.free(TWO, pieces[0])  # it could have been given either arena
    reality.malloc(ONE)
    reality.malloc(TWO)
    assert_predicted(reality.compare())


@pytest.mark.parametrize("seen", [(ONE, TWO), (TWO, ONE)])
def test_of_two_that_end_together_either_may_have_been_last(seen: tuple[int, int]) -> None:
    reality = Reality()
    reality.begin(ONE, TWO, THREE, FOUR)
    reality.malloc(ONE)
    reality.malloc(TWO)
    reality.leave(ONE, TWO)
    reality.see_end(*seen)
    for task in (THREE, FOUR, THREE, FOUR):
        reality.malloc(task)
    assert_predicted(reality.compare())


def test_of_two_that_end_one_after_the_other_the_later_was_last() -> None:
    reality = Reality()
    reality.begin(ONE, TWO, THREE)
    reality.malloc(ONE)
    reality.malloc(TWO)
    reality.leave(TWO)
    reality.see_end(ONE)  # not so: it is seen to end, and the other still calls
    reality.script.free(0, tid=TWO)
    reality.see_end(TWO)
    reality.leave(ONE)
    reality.malloc(THREE)  # in the arena of ONE
    found = reality.compare()
    assert (found.unexplained, found.calls.agree) == (1, found.calls.total - 1)


@pytest.mark.parametrize("wrong", [{}, {"size": 1 << 20}])
def test_a_thread_beside_another_excuses_nothing(wrong: dict[str, Any]) -> None:
    reality = Reality()
    reality.begin(ONE, TWO)
    reality.malloc(ONE)
    reality.malloc(TWO)
    reality.malloc(TWO, **wrong, moved_by=16)
    assert reality.compare().unexplained == 1


def test_more_threads_than_are_followed_leave_it_open() -> None:
    reality = Reality()
    many = [PID + i for i in range(1, 7)]
    reality.begin(*many, PID + 9)
    for task in many:
        kept = reality.malloc(task)
    reality.leave(*reversed(many))
    reality.free(PID + 9, kept)  # makes its cache
    reality.malloc(PID + 9)
    found = reality.compare()
    assert (found.unexplained, found.calls.undetermined) == (0, 2)
    [note] = found.notes
    assert "is not determined" in note


def test_models_that_stay_different_are_compared_ever_less_often() -> None:
    pace = Pace()
    due = [behind for behind in range(10_000) if pace.is_due(2)]
    assert due[:4] == [0, 2, 6, 14]
    assert len(due) < 60
    assert max(later - earlier for earlier, later in itertools.pairwise(due)) == 256


def test_other_models_are_compared_at_once() -> None:
    pace = Pace()
    due = [pace.is_due(count) for count in (2, 2, 2, 3, 3, 2, 2)]
    assert due == [True, False, True, True, False, True, False]
