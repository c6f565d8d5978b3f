"""Something beside the models, as a value: which model, which trace, and the experiments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from observer.errors import UsageError
from observer.model.departures import Departure
from observer.model.events import Event
from observer.model.machine import Meta
from observer.runs import compared as module
from observer.runs.compared import Setting, compared, experiments
from observer.runs.target import Target
from tests.builders import HEAP, Script, in_libc, machine, meta

RUN = meta(machine=machine(libc_version="2.36"))


def one_call() -> list[Event]:
    """A program that allocates once: more is asked for than the book would."""
    run = Script()
    run.process("start", path="/home/ada/story")
    n = run.call("malloc", 100, result=HEAP + 0x2A0)
    run.syscall("brk", 0, result=HEAP, cause=n)
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000, cause=n)
    run.fault(HEAP, toucher="allocator", cause=n, site=in_libc("_int_malloc"))
    run.process("exit", status=0)
    return run.events


class OneCall:
    """Stands where a trace on disk would."""

    opened: list[Path]
    meta: Meta

    def events(self) -> Iterator[Event]:
        return iter(one_call())

    @classmethod
    def open(cls, directory: Path) -> OneCall:
        cls.opened.append(directory)
        return cls()


@pytest.fixture(autouse=True)
def trace(monkeypatch: pytest.MonkeyPatch) -> type[OneCall]:
    OneCall.opened, OneCall.meta = [], RUN
    monkeypatch.setattr(module, "Trace", OneCall)
    return OneCall


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """The runs that were made: where to, and without what."""
    runs: list[tuple[Path, str]] = []

    def record(target: Target, directory: Path, report: Path, departure: Departure | None = None) -> Meta:
        assert report == Path("scratch/report")
        runs.append((directory, departure.id if departure else ""))
        return RUN

    monkeypatch.setattr(module, "record_target", record)
    return runs


PROGRAM = Setting(Target(("./story",)), Path("scratch"))
TRACE = Setting(Target(trace=Path("story.trace")), Path("scratch"))


def test_a_trace_is_compared_as_it_is(trace: type[OneCall], made: list[tuple[Path, str]]) -> None:
    found = compared(TRACE)
    assert (trace.opened, made) == ([Path("story.trace")], [])
    assert (found.comparison.allocator, found.comparison.calls.total) == ("book", 1)
    assert [entry.row.what for entry in found.aligned.entries] == ["malloc(100)"]
    assert "top-pad" in found.aligned.entries[0].row.rules


def test_a_program_is_recorded_first_and_that_is_told(trace: type[OneCall], made: list[tuple[Path, str]]) -> None:
    told: list[Meta] = []
    compared(replace(PROGRAM, on_recorded=told.append))
    assert made == [(Path("scratch/trace"), "")]
    assert trace.opened == [Path("scratch/trace")]
    assert told == [RUN]
    compared(replace(PROGRAM, directory=Path("kept.trace")))
    assert made[1:] == [(Path("kept.trace"), "")]


def test_a_list_that_nobody_will_see_is_not_kept() -> None:
    for allocator in ("book", "glibc"):
        found = compared(replace(TRACE, most_entries=0, allocator=allocator))
        assert (found.aligned.entries, found.aligned.left_out, found.questions.chosen(9)) == ([], 0, [])
        found = compared(replace(TRACE, most_entries=0, asks=True, allocator=allocator))
        assert [question.text for question in found.questions.chosen(9)] == [
            "malloc(100) at story.c:28: will it enter the kernel? [y/n]"
        ]


def test_who_watches_is_handed_every_event_and_told_how_many_there_are() -> None:
    watched: list[int] = []

    def watch(events: Iterator[Event], total: int) -> Iterator[Event]:
        watched.append(total)
        for event in events:
            watched.append(event.n)
            yield event

    compared(replace(TRACE, watch=watch))
    assert watched == [RUN.outcome.events, *(event.n for event in one_call())]


def test_each_mechanism_that_was_found_is_switched_off_once(made: list[tuple[Path, str]]) -> None:
    told: list[Meta] = []
    setting = replace(TRACE, directory=Path("kept.trace"), on_recorded=told.append)
    comparison = compared(setting).comparison
    outcomes = experiments(setting, comparison)
    assert [outcome.rule for outcome in outcomes] == [rule for _directory, rule in made]
    assert "top-pad" in [outcome.rule for outcome in outcomes]
    assert made == [(Path("scratch") / rule, rule) for _directory, rule in made]
    assert len(told) == len(made)
    # The second run is the same here: nothing vanished.
    assert {difference.confirmed for difference in comparison.differences if difference.rule == "top-pad"} == {False}


def test_the_exact_model_predicts_every_pointer() -> None:
    found = compared(replace(TRACE, allocator="glibc"))
    assert (found.comparison.allocator, found.comparison.calls.agree) == ("glibc", 1)


def test_the_exact_model_must_be_known(trace: type[OneCall]) -> None:
    trace.meta = meta(machine=machine(libc="", libc_version=""))
    with pytest.raises(UsageError, match="no glibc that names its release: none was seen"):
        compared(replace(TRACE, allocator="glibc"))
    assert compared(replace(TRACE, allocator="glibc", release="2.36")).comparison.calls.agree == 1
    assert compared(TRACE).comparison.calls.total == 1


@pytest.mark.parametrize("allocator", ["book", "glibc"])
def test_a_program_for_i386_is_refused(trace: type[OneCall], allocator: str) -> None:
    trace.meta = meta(machine=machine(libc_version="2.36", program_bits=32))
    with pytest.raises(UsageError, match="this one is for i386"):
        compared(replace(TRACE, allocator=allocator))
