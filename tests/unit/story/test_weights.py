"""What places weigh: all of a run's calls, bytes, time and frames, each once."""

from __future__ import annotations

from observer.model.events import Call, Fault, Syscall
from observer.story.steps import is_step_six
from observer.story.weights import Weights
from tests.builders import HEAP, PID, Script, site, story_run
from tests.columned import weigh

CHILD = PID + 1


def test_all_weights_together_are_those_of_the_run() -> None:
    events = story_run()
    weights = weigh(events).values()
    timed = [event for event in events if isinstance(event, Call | Syscall)]
    assert sum(each.calls for each in weights) == len(timed)
    assert sum(each.bytes for each in weights) == sum(e.bytes_asked for e in events if isinstance(e, Call))
    outer = [event for event in timed if not isinstance(event, Syscall) or event.cause is None]
    assert sum(each.ns for each in weights) == sum(e.end_ns - e.t_ns for e in outer if e.end_ns is not None)
    faults = [event for event in events if isinstance(event, Fault) and is_step_six(event) and event.access != "read"]
    assert sum(each.frames for each in weights) == len(faults)


def test_what_happens_in_a_call_stands_under_it_and_its_time_is_not_the_calls() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    n = run.call("malloc", 100, result=HEAP, t_ns=1000, end_ns=1900, site=site(28))
    run.syscall("brk", 0, result=HEAP, cause=n, t_ns=1100, end_ns=1300)
    run.fault(HEAP, cause=n, mapping="[heap]", toucher="allocator")
    under = ("story", "main", "story.c:28", "malloc")
    assert weigh(run.events) == {
        under: Weights(1, 100, 700, live=100), (*under, "brk"): Weights(1, 0, 200), (*under, "page fault"): Weights(frames=1, faults=1),
    }  # fmt: skip


def test_a_child_has_its_parents_name_until_it_is_another_program() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    run.process("fork", child=CHILD)
    run.call("malloc", 1, result=HEAP, pid=CHILD, tid=CHILD)
    run.process("exec", path="/bin/true", pid=CHILD, tid=CHILD)
    run.call("malloc", 2, result=HEAP, pid=CHILD, tid=CHILD, site=None)
    assert {stack: weights.bytes for stack, weights in weigh(run.events).items()} == {
        ("story", "main", "story.c:28", "malloc"): 1, ("true", "?", "malloc"): 2,
    }  # fmt: skip


def test_what_is_freed_moved_or_replaced_by_another_program_does_not_live() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    for number, size in enumerate((10, 20, 40)):
        run.call("malloc", size, result=HEAP + 64 * number, site=site(5))
    run.call("free", None, pointer=HEAP, site=site(6))
    run.call("realloc", 80, pointer=HEAP + 64, result=HEAP + 512, site=site(7))
    live = {stack[2]: weights.live for stack, weights in weigh(run.events).items() if weights.live}
    assert live == {"story.c:5": 40, "story.c:7": 80}
    run.process("exec", path="/bin/true")
    assert not [weights for weights in weigh(run.events).values() if weights.live]
