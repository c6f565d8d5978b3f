"""A question about one call or one line is answered from few rows as it would be from all of them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import msgspec
import pytest

from observer.model.events import Call, Event, Fault, Site, Syscall
from observer.model.named import Nth
from observer.story.absence import nothing_at_line
from observer.story.query import at_line, life_of, lifeline
from observer.trace import reader
from observer.trace.reader import Trace
from tests.builders import HEAP, PID, Script, ender, giver, library, story_run
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of

OTHER = PID + 1


def lives_of_pieces() -> list[Event]:
    """Pieces that are freed, moved, kept, lost in a call that never returned, and given to another thread."""
    run = Script()
    run.process("start", path="/home/ada/story")
    first = run.call("malloc", 100, result=HEAP + 0x2A0)
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000, cause=first)
    run.fault(HEAP, cause=first, toucher="allocator")
    run.call("malloc_usable_size", None, pointer=HEAP + 0x2A0, result=104)
    run.call("malloc", 30, result=HEAP + 0x310, tid=OTHER)
    moved = run.call("realloc", 5000, pointer=HEAP + 0x2A0, result=HEAP + 0x1000)
    run.syscall("brk", HEAP + 0x42000, result=HEAP + 0x42000, cause=moved)
    run.free(HEAP + 0x310)
    run.syscall("munmap", HEAP + 0x42000, 4096)
    run.fault(HEAP + 0x2000)
    run.call("malloc", 100, result=HEAP + 0x2A0)
    run.call("malloc", 1 << 40, result=None, end_ns=None, tid=OTHER)
    run.signal("SIGSEGV", tid=OTHER)
    run.process("exit", status=0)
    return run.events


def placed(events: list[Event]) -> list[Event]:
    """Return *events* with the places that a replay gives to what happens in a call: that of the call."""
    sites = {event.n: event.site for event in events if isinstance(event, Call)}
    return [
        msgspec.structs.replace(event, site=sites[event.cause])
        if isinstance(event, Syscall | Fault) and event.cause is not None
        else event
        for event in events
    ]


@pytest.fixture(params=[story_run, lives_of_pieces])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> Trace:
    events = placed(request.param())
    return trace_of([part_of([*events, library(len(events))])], tmp_path)[0]


def test_the_life_of_each_piece(trace: Trace) -> None:
    whole = list(trace.events())
    calls = [event for event in whole if isinstance(event, Call)]
    assert calls
    for call in calls:
        line = lifeline(call, trace.giver, trace.ender)
        assert line == lifeline(call, partial(giver, whole), partial(ender, whole))
        asked = list(trace.events(None, trace.about_pieces(line)))
        assert list(life_of(asked, line)) == list(life_of(whole, line))
        assert len(asked) < len(whole)


def test_an_event_is_found_by_what_it_is_in_every_run(trace: Trace) -> None:
    calls = [event for event in trace.events() if isinstance(event, Call)]
    for op in ("malloc", "free"):
        numbers = [call.n for call in calls if call.op == op]
        assert [trace.nth(Nth(op, "", 0, i + 1)) for i in range(len(numbers))] == numbers
        assert trace.nth(Nth(op, "", 0, len(numbers) + 1)) is None
    at_28 = [event.n for event in calls if event.site is not None and event.site.line == 28]
    assert [trace.nth(Nth("", "story.c", 28, i + 1)) for i in range(len(at_28))] == at_28


def test_what_each_line_caused(trace: Trace) -> None:
    whole = list(trace.events())
    sites = {site for event in whole if isinstance(site := getattr(event, "site", None), Site) and site.line}
    assert sites
    for site in sites:
        for name in (site.file or "", (site.file or "").rsplit("/", 1)[-1], "other.c"):
            asked = trace.events(None, trace.about_line(name, site.line or 0))
            assert list(at_line(asked, name, site.line or 0)) == list(at_line(whole, name, site.line or 0))


def test_places_without_a_line_are_asked_for_by_their_names(trace: Trace) -> None:
    whole = list(trace.events())
    names = {site.text for event in whole if isinstance(site := getattr(event, "site", None), Site) and not site.line}
    assert names
    for name in (*names, "nowhere+0x10"):
        asked = trace.events(None, trace.about_line(name, 0))
        assert list(at_line(asked, name, 0)) == list(at_line(whole, name, 0))
        assert sum(trace.count_at_line(name, 0).values()) == len(list(at_line(whole, name, 0)))


def test_what_moves_the_break_is_always_among_them(trace: Trace) -> None:
    asked = list(trace.events(None, trace.about_line("nowhere.c", 1)))
    assert not [event for event in asked if isinstance(event, Call | Fault)]
    moving = [
        event
        for event in trace.events()
        if getattr(event, "name", "") == "brk" or event.__struct_config__.tag == "process"
    ]
    assert asked == moving


def test_how_many_events_of_each_kind_a_line_caused(trace: Trace) -> None:
    whole = list(trace.events())
    for name, line in (("story.c", 28), ("story.c", 29), ("nowhere.c", 1)):
        told = Counter(event.__struct_config__.tag for event in at_line(whole, name, line))
        assert trace.count_at_line(name, line) == told


def test_why_a_line_has_no_events_needs_few_of_them(trace: Trace) -> None:
    whole, few = list(trace.events()), list(trace.at_each_line())
    assert len(few) < len(whole)
    for name, line in (("story.c", 1), ("story.c", 99999), ("stori.c", 28), ("x", 3)):
        assert vars(nothing_at_line(few, name, line)) == vars(nothing_at_line(whole, name, line))


@pytest.mark.parametrize("most", [0, 1])
def test_places_that_are_too_many_to_keep_are_read_row_by_row(
    trace: Trace, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    whole = list(trace.events())
    monkeypatch.setattr(reader, "_MOST_SITES", most)
    assert list(trace.events()) == whole
