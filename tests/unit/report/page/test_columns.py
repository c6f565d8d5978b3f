"""Events by columns: sentences come back whole, and what many share is kept once."""

from __future__ import annotations

from observer.model.events import Event
from observer.report.page.columns import HOLE, KINDS, EventColumns, cut
from observer.story.breaks import Breaks
from observer.story.sentences import sentence
from tests.builders import HEAP, Script, site, story_run
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
