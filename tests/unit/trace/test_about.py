"""A question about one call or one line is answered from few rows as it would be from all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.model.events import Call, Event, Fault, Site
from observer.story.query import at_line, life_of
from observer.trace.reader import Trace
from tests.builders import HEAP, PID, Script, library, story_run
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


@pytest.fixture(params=[story_run, lives_of_pieces])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> Trace:
    events = request.param()
    return trace_of([part_of([*events, library(len(events))])], tmp_path)[0]


def test_the_life_of_each_piece(trace: Trace) -> None:
    whole = list(trace.events())
    calls = [event for event in whole if isinstance(event, Call)]
    assert calls
    for call in calls:
        asked = list(trace.events(None, trace.about_piece(call)))
        assert list(life_of(asked, call)) == list(life_of(whole, call))
        assert len(asked) < len(whole)


def test_what_each_line_caused(trace: Trace) -> None:
    whole = list(trace.events())
    sites = {site for event in whole if isinstance(site := getattr(event, "site", None), Site) and site.line}
    assert sites
    for site in sites:
        for name in (site.file or "", (site.file or "").rsplit("/", 1)[-1], "other.c"):
            asked = trace.events(None, trace.about_line(name, site.line or 0))
            assert list(at_line(asked, name, site.line or 0)) == list(at_line(whole, name, site.line or 0))


def test_what_moves_the_break_is_always_among_them(trace: Trace) -> None:
    asked = list(trace.events(None, trace.about_line("nowhere.c", 1)))
    assert not [event for event in asked if isinstance(event, Call | Fault)]
    moving = [
        event
        for event in trace.events()
        if getattr(event, "name", "") == "brk" or event.__struct_config__.tag == "process"
    ]
    assert asked == moving
