"""Which processors the program, its tracer and the thread beside have: stand-ins for tasks are processes of our own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from observer.arch.known import NATIVE
from observer.tracee.affinity import Affinity

ALL = os.sched_getaffinity(0)
pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="nothing can be shared: there is one processor")
SETS, GETS = NATIVE.numbers("sched_setaffinity", "sched_getaffinity")
SOON = 20.0


@pytest.fixture
def affinity() -> Iterator[Affinity]:
    made = Affinity(share=True)
    made.enter()
    yield made
    made.leave()
    assert os.sched_getaffinity(0) == ALL


@contextlib.contextmanager
def processes(count: int, code: str, processor: int) -> Iterator[list[int]]:
    """So many processes that run *code* on one processor, when all of them have begun to."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            words = [sys.executable, "-S", "-c", f"print(flush=True)\n{code}"]
            child = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
            stack.callback(child.kill)
            assert child.stdout is not None
            child.stdout.readline()
            os.sched_setaffinity(child.pid, {processor})
            made.append(child.pid)
        yield made


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not look():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_processes_that_run_at_once_part_and_share_again_when_one_waits(affinity: Affinity) -> None:
    assert affinity.processor is not None
    with (
        processes(2, "while True: pass", affinity.processor) as busy,
        processes(1, "import time; time.sleep(99)", affinity.processor) as waiting,
    ):
        until(lambda: affinity.adapt(busy, 0, 0.05) or os.sched_getaffinity(busy[0]) == ALL)
        assert [os.sched_getaffinity(tid) for tid in (busy[1], 0)] == [ALL, ALL]
        until(lambda: _asleep(waiting[0]))
        one = [busy[0], *waiting]
        for _ in range(3):
            affinity.adapt(one, 0, 0.05)
            assert os.sched_getaffinity(0) == ALL  # it may be for a moment
        affinity.adapt(one, 0, 0.05)
        assert [os.sched_getaffinity(tid) for tid in (*one, 0)] == [{affinity.processor}] * 3


def _asleep(tid: int) -> bool:
    with open(f"/proc/{tid}/stat", encoding="ascii") as file:
        return file.read().rpartition(") ")[2][0] == "S"


def test_processes_of_which_one_runs_share(affinity: Affinity) -> None:
    assert affinity.processor is not None
    with (
        processes(1, "while True: pass", affinity.processor) as busy,
        processes(1, "import time; time.sleep(99)", affinity.processor) as waiting,
    ):
        until(lambda: _asleep(waiting[0]))
        for _ in range(5):
            affinity.adapt([*busy, *waiting], 0, 0.05)
            assert os.sched_getaffinity(busy[0]) == {affinity.processor}


def test_a_processor_that_others_have_too_is_left_for_the_one_that_the_kernel_chooses(affinity: Affinity) -> None:
    assert affinity.processor is not None
    with processes(4, "while True: pass", affinity.processor) as busy:
        task = busy[:1]
        affinity.adapt(task, 0, 0.05)
        began = time.monotonic()
        time.sleep(0.2)
        affinity.adapt(task, 0, time.monotonic() - began)
        assert os.sched_getaffinity(task[0]) == ALL
        assert os.sched_getaffinity(0) == ALL
        for _ in range(19):
            affinity.adapt(task, 0, 0.05)
            assert os.sched_getaffinity(0) == ALL
        affinity.adapt(task, 0, 0.05)
        assert os.sched_getaffinity(task[0]) == os.sched_getaffinity(0) == {affinity.processor}


def test_who_is_looked_at_is_left_alone_until_that_call_has_ended(affinity: Affinity) -> None:
    assert affinity.processor is not None
    with processes(2, "import time; time.sleep(99)", affinity.processor) as tasks:
        looking, target = tasks
        assert not affinity.entered(looking, -1, target, lambda: tasks)
        assert affinity.entered(looking, GETS, target, lambda: tasks)
        affinity.part(tasks, 0)
        affinity.adapt(tasks, 1 << 20, 0.05)
        assert [os.sched_getaffinity(tid) for tid in tasks] == [{affinity.processor}, ALL]
        affinity.left(looking, 8)
        assert os.sched_getaffinity(target) == {affinity.processor}


def test_who_was_set_a_mask_keeps_it_until_it_ends(affinity: Affinity) -> None:
    assert affinity.processor is not None
    chosen = {max(ALL - {affinity.processor})}
    with processes(2, "import time; time.sleep(99)", affinity.processor) as tasks:
        caller, target = tasks
        affinity.entered(caller, SETS, target, lambda: tasks)
        os.sched_setaffinity(target, chosen)
        affinity.adapt(tasks, 1 << 20, 0.05)
        affinity.left(caller, 0)
        affinity.part(tasks, 0)
        affinity.adapt(tasks, 1 << 21, 0.05)
        assert [os.sched_getaffinity(tid) for tid in tasks] == [{affinity.processor}, chosen]
        affinity.ended(target)
        affinity.inherit(caller, target)  # as if its id were another task's now
        assert os.sched_getaffinity(target) == {affinity.processor}


def test_who_was_born_while_masks_were_changed_has_what_all_have(affinity: Affinity) -> None:
    assert affinity.processor is not None
    with processes(2, "import time; time.sleep(99)", affinity.processor) as (parent, child):
        affinity.part([parent], 0)  # of the child nobody has told yet
        affinity.inherit(parent, child)
        assert os.sched_getaffinity(child) == ALL
        affinity.adapt([parent], 1 << 20, 0.05)
        affinity.inherit(parent, child)
        affinity.adapt([parent], 1 << 20, 0.05)
        assert os.sched_getaffinity(child) == ALL
