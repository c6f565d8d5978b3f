"""What calls with the same callers came to."""

from __future__ import annotations

from observer.model.events import ChunkRef, Site
from observer.model.stacks import CallStack
from observer.story.by_stack import STACK_MEASURES, ByStack
from observer.story.weights import Weights, weigh
from tests.builders import HEAP, Script, call, fault, free, process, site

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


def told(found: ByStack, measure: str) -> list[tuple[int | None, int, int, int]]:
    return [(each.stack, each.place.calls, each.place.asked, each.place.live) for each in found.top(measure)]


def test_calls_of_one_line_are_told_apart_by_who_called_and_not_by_where_a_compiler_put_it() -> None:
    found = ByStack(STACKS)
    for n, (stack, size) in enumerate([(1, 100), (3, 30), (2, 50), (3, 7)]):
        found.add(call(n, size=size, result=HEAP + 4096 * n, stack=stack, site=INNER))
    found.add(free(9, HEAP + 4096 * 2))
    assert told(found, "bytes") == [(1, 2, 150, 100), (3, 2, 37, 37)]
    assert told(found, "calls") == [(1, 2, 150, 100), (3, 2, 37, 37)]
    assert [each.place.text for each in found.top("live")] == ["story.c:12", "story.c:12"]


def test_what_a_realloc_moves_is_its_own_and_one_that_fails_keeps_the_piece() -> None:
    found = ByStack(STACKS)
    found.add(call(0, size=100, result=HEAP, stack=1))
    found.add(call(1, "realloc", 200, pointer=HEAP, result=None, stack=3, errno=12))
    assert told(found, "live") == [(1, 1, 100, 100)]
    found.add(call(2, "realloc", 200, pointer=HEAP, result=HEAP + 4096, stack=3))
    assert told(found, "live") == [(3, 2, 400, 200)]


def test_page_frames_belong_to_the_stack_of_their_piece() -> None:
    found = ByStack(STACKS)
    found.add(call(0, size=5000, result=HEAP, stack=3))
    found.add(fault(1, HEAP, chunk=ChunkRef(0, HEAP, 5000), toucher="program", mapping="[heap]"))
    [only] = found.top("resident")
    assert (only.stack, only.place.frames) == (3, 1)
    assert "faults" not in STACK_MEASURES


def test_calls_without_a_stack_are_told_by_their_lines_alone() -> None:
    found = ByStack(STACKS)
    found.add(call(0, result=HEAP, site=site(28)))
    found.add(call(1, result=HEAP + 4096, site=site(29), stack=77))
    assert [(each.stack, each.place.text) for each in found.top("calls")] == [
        (None, "story.c:28"),
        (None, "story.c:29"),
    ]


def test_an_exec_ends_what_lives() -> None:
    found = ByStack(STACKS)
    found.add(call(0, result=HEAP, stack=1))
    found.add(process(1, "exec", path="/bin/other"))
    assert found.top("live") == []
    assert told(found, "bytes") == [(1, 1, 100, 0)]


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
