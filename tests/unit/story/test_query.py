"""Choosing events: a line, or the life of one piece."""

from __future__ import annotations

from functools import partial

import pytest

from observer.errors import UsageError
from observer.model.events import Call, ChunkRef, Event
from observer.model.named import parse_event
from observer.story.by_line import steps_by_line, steps_in
from observer.story.query import at_line, life_of, lifeline, parse_line
from tests.builders import HEAP, call, ender, fault, free, giver, site, story_run, syscall


def lived(events: list[Event], part: Call) -> list[Call]:
    return lifeline(part, partial(giver, events), partial(ender, events))


def test_a_line_brings_what_happened_inside_its_calls() -> None:
    events = [
        call(0),
        syscall(1, "brk", 0, cause=0),
        call(2, site=site(30)),
        fault(3, cause=2),
        fault(4, site=site(28)),
    ]
    assert [event.n for event in at_line(events, "story.c", 28)] == [0, 1, 4]
    assert [event.n for event in at_line(events, "ada/story.c", 28)] == [0, 1, 4]
    assert not list(at_line(events, "tory.c", 28))


def test_the_life_of_a_piece_is_made_touched_and_freed() -> None:
    made = call(0, result=HEAP)
    events = [
        made,
        syscall(1, "brk", 0, cause=0),
        call(2, result=HEAP + 4096),
        fault(3, HEAP, chunk=ChunkRef(0, HEAP, 100)),
        fault(4, HEAP + 4096, chunk=ChunkRef(2, HEAP + 4096, 100)),
        free(5, HEAP),
        syscall(6, "brk", HEAP, cause=5),
        call(7, result=HEAP),
        free(8, HEAP),
    ]
    assert [event.n for event in life_of(events, lived(events, made))] == [0, 1, 3, 5, 6]


def test_a_piece_is_followed_through_realloc_from_either_end() -> None:
    made = call(0, result=HEAP)
    refused = call(1, "realloc", 1 << 60, pointer=HEAP, result=0)
    moved = call(3, "realloc", 5000, pointer=HEAP, result=HEAP + 4096)
    other, freed = call(4, result=HEAP), free(6, HEAP + 4096)
    events = [made, refused, fault(2, HEAP, chunk=ChunkRef(0, HEAP, 100)), moved, other,
              fault(5, HEAP + 4096, chunk=ChunkRef(3, HEAP + 4096, 5000)), freed, free(7, HEAP)]  # fmt: skip
    for part in (made, moved, freed):
        assert [event.n for event in life_of(events, lived(events, part))] == [0, 2, 3, 5, 6]


@pytest.mark.parametrize(
    "text", ["", "malloc", "malloc #0", "malloc #x", "nothing #3", "story.c #1", "-1", "1e3", "#2", "9" * 40]
)
def test_what_names_no_event_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no event is named"):
        parse_event(text)


def test_the_large_piece_of_the_story_lives_from_mmap_to_munmap() -> None:
    events = story_run()
    large = next(event for event in events if isinstance(event, Call) and event.size == 2097169)
    assert len(list(life_of(events, lived(events, large)))) == 1 + 1 + 1 + 22 + 1 + 1


@pytest.mark.parametrize("text", ["story.c", ":28", "story.c:x", "story.c:", "story.c:²"])
def test_what_is_no_line_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"FILE:LINE or MODULE\+0xOFFSET\n  try: --line story\.c:28"):
        parse_line(text)


def test_steps_are_counted_line_by_line() -> None:
    first, touch = steps_by_line(steps_in([call(0, steps="1-2-3-4-5"), call(1), call(2), fault(3)]))
    assert (first.place, first.calls) == ("story.c:28", {("malloc", "1-2-3-4-5"): 1, ("malloc", "1-5"): 2})
    assert (touch.place, touch.step_six) == ("story.c:29", 1)
