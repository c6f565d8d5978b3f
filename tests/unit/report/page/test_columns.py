"""Events by columns: sentences come back whole, and what many share is kept once."""

from __future__ import annotations

from observer.model.events import Event, Site
from observer.model.stacks import CallStack
from observer.report.page.columns import HOLE, KINDS, EventColumns, cut
from observer.story.breaks import Breaks
from observer.story.sentences import sentence
from tests.builders import HEAP, Script, call, site, story_run
from tests.unit.report.page.test_packed import unpacked


def columns_of(events: list[Event]) -> EventColumns:
    columns = EventColumns(sentence)
    for event in events:
        columns.take(event)
    return columns


def test_sentences_come_back_whole() -> None:
    data, breaks = columns_of(story_run()).data(), Breaks()
    numbers, told = data["numbers"].split("\n"), unpacked(data["columns"]["told"])
    assert len(numbers) == len(told) == len(story_run())
    for event, template, values in zip(story_run(), told, numbers, strict=True):
        words = data["tables"]["told"][template]
        for value in values.split("\t") if values else []:
            words = words.replace(HOLE, value, 1)
        assert words == sentence(event, breaks.follow(event))
    assert len(data["tables"]["told"]) < 40


def test_columns_hold_what_the_events_hold() -> None:
    events = story_run()
    data = columns_of(events).data()
    columns = {name: unpacked(text, rising=name in ("n", "t", "at")) for name, text in data["columns"].items()}
    call = next(event.n for event in events if event.__struct_config__.tag == "call")
    assert columns["n"] == [event.n for event in events]
    assert columns["t"] == [event.t_ns for event in events]
    assert [KINDS[kind] for kind in columns["kind"]] == [event.__struct_config__.tag for event in events]
    assert columns["cause"][call + 1] == call
    assert columns["at"][call] == HEAP + 0x2A0
    assert data["tables"]["step"][columns["step"][call]] == "1-2-3-4-5"
    assert data["tables"]["step"][columns["step"][call + 1]] == "2-3-4"
    assert data["tables"]["ring"][columns["ring"][call + 1]] == "3→0→3"
    assert sum(columns["six"]) == 1 + 2 + 17 + 118 + 23


def test_a_brk_between_those_that_are_taken_is_known_all_the_same() -> None:
    run = Script()
    run.syscall("brk", 0, result=HEAP)
    n = run.call("malloc", 100, result=HEAP, site=site())
    run.syscall("brk", HEAP + 4096, result=HEAP + 4096, cause=n)
    columns = EventColumns(sentence)
    columns.watch(run.events[0])
    columns.watch(run.events[1])
    columns.take(run.events[2])
    assert columns.data()["tables"]["told"][0].startswith(f"brk: the break moves up by {HOLE} KiB")
    assert columns.data()["tables"]["step"] == ["2-3-4"]


def test_text_is_cut_and_made_harmless() -> None:
    assert cut("a\x1b[31m\u2028\x01") == "a\\x1b[31m\\u2028\\x01"
    assert cut("x" * 1007, 7) == "xxxxxxx… (+1,000)"


def test_callers_are_kept_once_and_what_is_not_shown_is_said() -> None:
    places = [Site(file="a.c", line=number) for number in range(1, 41)]
    stacks = {
        1: CallStack((places[0], places[1]), True),
        2: CallStack((places[1],), False),
        3: CallStack(tuple(places), True),
    }
    events = [call(n, stack=stack) for n, stack in enumerate((1, 2, 1, 3, None, 4))]
    columns = EventColumns(sentence, stacks)
    for event in events:
        columns.take(event)
    data = columns.data()
    ends = unpacked(data["chains"]["ends"], rising=True)
    callers = unpacked(data["chains"]["callers"])
    chains = [callers[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    told = [[columns.sites[place].text if place >= 0 else "…" for place in chain] for chain in chains]
    assert told == [
        ["a.c:1", "a.c:2"], ["a.c:2", "…"], [*(f"a.c:{number}" for number in range(1, 25)), "…"],
    ]  # fmt: skip
    assert unpacked(data["columns"]["stack"]) == [0, 1, 0, 2, -1, -1]
