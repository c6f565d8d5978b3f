"""The grammar of -e."""

from __future__ import annotations

import pytest

from observer.errors import UsageError
from observer.model.selection import INSTRUMENTS, MEMORY_CALLS, Selection, parse

KNOWN = frozenset({"brk", "mmap", "munmap", "openat", "read"})
ALL_INSTRUMENTS = {"calls", "faults", "residency"}


def chosen(expression: str) -> tuple[frozenset[str] | None, set[str]]:
    selection = parse(expression, KNOWN)
    return selection.syscalls, set(selection.instruments)


def test_without_an_expression_memory_calls_and_all_instruments_are_chosen() -> None:
    default = Selection()
    assert (default.syscalls, set(default.instruments)) == (MEMORY_CALLS, ALL_INSTRUMENTS)
    assert set(INSTRUMENTS) == ALL_INSTRUMENTS


@pytest.mark.parametrize("expression", ["trace=memory", "trace=%memory", "memory", "%memory"])
def test_memory_is_the_default_however_it_is_written(expression: str) -> None:
    assert chosen(expression) == (MEMORY_CALLS, ALL_INSTRUMENTS)


def test_names_choose_system_calls_and_leave_the_instruments() -> None:
    assert chosen("trace=brk,openat") == ({"brk", "openat"}, ALL_INSTRUMENTS)


def test_a_class_and_a_name_add_up() -> None:
    assert chosen("trace=memory,read") == (MEMORY_CALLS | {"read"}, ALL_INSTRUMENTS)


@pytest.mark.parametrize("expression", ["all", "trace=all", "all,brk", "brk,all", "memory,all"])
def test_all_is_all_whatever_else_is_named(expression: str) -> None:
    assert chosen(expression)[0] is None


def test_none_chooses_no_system_call() -> None:
    assert chosen("trace=none") == (frozenset(), ALL_INSTRUMENTS)


def test_an_instrument_switches_the_others_off_and_keeps_the_default_calls() -> None:
    assert chosen("calls") == (MEMORY_CALLS, {"calls"})
    assert chosen("faults,residency") == (MEMORY_CALLS, {"faults", "residency"})


def test_an_instrument_named_twice_is_named_once() -> None:
    assert chosen("calls,calls") == chosen("calls")


def test_instruments_and_system_calls_are_chosen_together() -> None:
    assert chosen("calls,brk") == ({"brk"}, {"calls"})
    assert chosen("trace=none,faults") == (frozenset(), {"faults"})


def test_negation_takes_away_from_the_default() -> None:
    assert chosen("!brk") == (MEMORY_CALLS - {"brk"}, ALL_INSTRUMENTS)
    assert chosen("trace=!brk,mmap") == (MEMORY_CALLS - {"brk", "mmap"}, ALL_INSTRUMENTS)
    assert chosen("!faults") == (MEMORY_CALLS, {"calls", "residency"})
    assert chosen("!faults,brk") == (MEMORY_CALLS - {"brk"}, {"calls", "residency"})
    assert chosen("!all") == (frozenset(), ALL_INSTRUMENTS)


def test_the_expression_is_kept_as_it_was_written() -> None:
    assert parse("trace=!brk", KNOWN).text == "trace=!brk"


@pytest.mark.parametrize("expression", ["", "trace=", "!", "trace=!", ",", "trace=,,"])
def test_an_expression_that_names_nothing_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="names nothing") as refusal:
        parse(expression, KNOWN)
    assert "-e trace=memory" in refusal.value.remedy


@pytest.mark.parametrize("expression", ["trace=brkk", "brk, mmap", "trace=BRK", "trace=brk=1", "brk,!mmap", "file"])
def test_an_unknown_word_is_refused_and_named(expression: str) -> None:
    word = next(word for word in expression.removeprefix("trace=").split(",") if word not in KNOWN)
    with pytest.raises(UsageError) as refusal:
        parse(expression, KNOWN)
    assert f"{word!r} is neither a system call nor a class nor an instrument" in str(refusal.value)
    assert "calls, faults, residency" in refusal.value.remedy


def test_only_with_every_memory_call_can_the_address_space_be_replayed() -> None:
    assert Selection().has_all_memory_calls
    assert parse("all", KNOWN).has_all_memory_calls
    assert parse("memory,read", KNOWN).has_all_memory_calls
    assert not parse("brk,mmap", KNOWN).has_all_memory_calls
    assert not parse("!brk", KNOWN).has_all_memory_calls


FAMILIES = {"file": frozenset({"openat", "access"}), "network": frozenset({"socket"})}


def test_a_class_stands_for_its_calls() -> None:
    assert parse("trace=file,network,brk", KNOWN, FAMILIES).syscalls == {"openat", "access", "socket", "brk"}
    assert parse("trace=%file", KNOWN, FAMILIES).syscalls == FAMILIES["file"]


def test_library_is_added_to_what_runs_anyway() -> None:
    assert parse("library", KNOWN).instruments == {*INSTRUMENTS, "library"}
    assert parse("library", KNOWN).syscalls == MEMORY_CALLS
    assert parse("kernel", KNOWN).instruments == {*INSTRUMENTS, "kernel"}
    assert parse("bcc", KNOWN).instruments == {*INSTRUMENTS, "kernel", "bcc"}
    assert parse("calls,library", KNOWN).instruments == {"calls", "library"}
    assert parse("trace=all,library", KNOWN).syscalls is None


def test_the_vdso_is_watched_where_its_questions_are_asked_for() -> None:
    assert parse("trace=all", KNOWN).sees_vdso
    assert parse("trace=clock_gettime", KNOWN | {"clock_gettime"}).sees_vdso
    assert not parse("trace=memory", KNOWN).sees_vdso
