"""What calls with the same callers came to."""

from __future__ import annotations

from observer.model.call_columns import Apart
from observer.model.events import ChunkRef, Event, Site
from observer.model.stacks import CallStack
from observer.runs.profiled import counted
from observer.story.profile import Profiled, ranked
from observer.story.weights import Weights
from tests.builders import HEAP, Script, call, fault, free, process, site
from tests.columned import RunOfEvents, weigh

INNER, OUTER = (
    Site("work", "/home/ada/story.c", 12, "story", 0x20),
    Site("main", "/home/ada/story.c", 30, "story", 0x40),
)
ELSEWHERE = Site("main", "/home/ada/story.c", 31, "story", 0x60)
UNROLLED = Site("main", "/home/ada/story.c", 30, "story", 0x50)
STACKS = {
    1: CallStack((INNER, OUTER), is_whole=True), 2: CallStack((INNER, UNROLLED), is_whole=True),
    3: CallStack((INNER, ELSEWHERE), is_whole=False),
}  # fmt: skip
"""The second is the first by name: a loop was unrolled."""


def top(events: list[Event], measure: str) -> list[Profiled]:
    found = counted(RunOfEvents(events, stacks=STACKS), apart=Apart.STACKS)
    return ranked(found.places(), measure)


def told(events: list[Event], measure: str) -> list[tuple[int | None, int, int, int]]:
    return [(each.stack, each.place.calls, each.place.asked, each.place.live) for each in top(events, measure)]


def test_calls_of_one_line_are_told_apart_by_who_called_and_not_by_where_a_compiler_put_it() -> None:
    run: list[Event] = [
        call(n, size=size, result=HEAP + 4096 * n, stack=stack, site=INNER)
        for n, (stack, size) in enumerate([(1, 100), (3, 30), (2, 50), (3, 7)])
    ]
    run.append(free(9, HEAP + 4096 * 2))
    assert told(run, "bytes") == [(1, 2, 150, 100), (3, 2, 37, 37)]
    assert told(run, "calls") == [(1, 2, 150, 100), (3, 2, 37, 37)]
    assert [each.place.text for each in top(run, "live")] == ["story.c:12", "story.c:12"]


def test_what_a_realloc_moves_is_its_own_and_one_that_fails_keeps_the_piece() -> None:
    run: list[Event] = [
        call(0, size=100, result=HEAP, stack=1),
        call(1, "realloc", 200, pointer=HEAP, result=None, stack=3, errno=12),
    ]
    assert told(run, "live") == [(1, 1, 100, 100)]
    run.append(call(2, "realloc", 200, pointer=HEAP, result=HEAP + 4096, stack=3))
    assert told(run, "live") == [(3, 2, 400, 200)]


def test_page_frames_belong_to_the_stack_of_their_piece() -> None:
    run = [
        call(0, size=5000, result=HEAP, stack=3),
        fault(1, HEAP, chunk=ChunkRef(0, HEAP, 5000), toucher="program", mapping="[heap]"),
    ]
    [only] = top(run, "resident")
    assert (only.stack, only.place.frames) == (3, 1)
    assert [each.stack for each in top(run, "faults")] == [None]


def test_calls_without_a_stack_are_told_by_their_lines_alone() -> None:
    run: list[Event] = [call(0, result=HEAP, site=site(28)), call(1, result=HEAP + 4096, site=site(29), stack=77)]
    assert [(each.stack, each.place.text) for each in top(run, "calls")] == [
        (None, "story.c:28"),
        (None, "story.c:29"),
    ]


def test_an_exec_ends_what_lives() -> None:
    run: list[Event] = [call(0, result=HEAP, stack=1), process(1, "exec", path="/bin/other")]
    assert told(run, "live") == []
    assert told(run, "bytes") == [(1, 1, 100, 0)]


def test_what_the_library_took_and_what_lived_at_the_peak_is_told_by_stack_too() -> None:
    run: list[Event] = [
        call(0, size=100, result=HEAP, stack=1), call(1, size=4096, result=HEAP + 4096, stack=3, origin="libc"),
        free(2, HEAP),
    ]  # fmt: skip
    assert [(each.stack, each.peak, each.own) for each in top(run, "peak")] == [(3, 4096, 4096), (1, 100, 0)]


def test_flame_graphs_have_all_callers_and_say_where_some_are_missing() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    run.call("malloc", 100, result=HEAP, site=INNER, stack=1, t_ns=1000, end_ns=1900)
    run.call("malloc", 10, result=HEAP + 4096, site=INNER, stack=3, t_ns=2000, end_ns=2100)
    run.call("malloc", 1, result=HEAP + 8192, site=INNER, t_ns=3000, end_ns=3100)
    inner = ("work", "story.c:12", "malloc")
    assert weigh(run.events, STACKS) == {
        ("story", "main", "story.c:30", *inner): Weights(1, 100, 900, live=100),
        ("story", "…", "main", "story.c:31", *inner): Weights(1, 10, 100, live=10),
        ("story", *inner): Weights(1, 1, 100, live=1),
    }  # fmt: skip
