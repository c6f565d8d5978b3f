"""A workload run for real: operations, report and recorded events taken as one, or refused when they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from observer.compare.by_workload import compare_workload
from observer.compare.report_lines import Done, Report
from observer.compare.result import Comparison, Row
from observer.compare.together import Together
from observer.errors import BadTrace
from observer.glibc.parameters import Parameters
from observer.glibc.versions import VERSIONS
from observer.simulator.frame_side import FrameSide
from observer.simulator.workload import parse
from tests.builders import HEAP, MAP, PAGE, PID, Script, site
from tests.unit.compare.runs import GROWN, Run

CHILD = PID + 1
FIRST = HEAP + 0x2A0


class Played:
    """A workload's lines with the report and the events of a run that did them."""

    def __init__(self, text: str) -> None:
        self.operations = list(parse(text.encode().splitlines()))
        self.done: list[Done] = []
        self.script = Script()
        self.died: int | None = None
        self.rows: list[Row] = []
        self.depth = 0
        self.script.process("start")
        self.script.syscall("brk", 0, result=HEAP)
        self.script.fault(HEAP - PAGE, site=site(function="main"))
        self.script.syscall("madvise", 0, 0, 0)

    def did(self, address: int = 0, minor: int = 0, major: int = 0, errno: int = 0, *, died: bool = False) -> Played:
        index = len(self.done)
        self.done.append(Done(index, self.operations[index].line, self.depth, address, minor, major, errno, died))
        return self

    def malloc(self, size: int, at: int, grown: int = GROWN, **fields: Any) -> Played:
        n = self.script.call("malloc", size, result=at, site=site(None, None, "run_one"), **fields)
        self.script.syscall("brk", HEAP + grown, result=HEAP + grown, cause=n)
        self.script.fault(HEAP, cause=n, toucher="allocator")
        return self.did(at, 1)

    def touched(self, *addresses: int, reported: int | None = None, major: int = 0, **fields: Any) -> Played:
        for address in addresses:
            self.script.fault(address, site=site(None, None, fields.get("function", "write_pages")), **{
                name: value for name, value in fields.items() if name != "function"
            })  # fmt: skip
        return self.did(minor=(len(addresses) if reported is None else reported) - major, major=major)

    def compare(self, thp: str = "madvise") -> Comparison:
        run = Run()
        run.script = self.script
        run.together = together = Together(
            run.together._allocator, lambda: FrameSide(thp), Parameters(VERSIONS["2.36"], {}), on_row=self.rows.append
        )
        compare_workload(together, self.operations, Report(tuple(self.done), self.died), self.script.events)
        return together.comparison


def found(comparison: Comparison) -> list[tuple[str, str, str, str | None]]:
    return [(d.what, d.observed, d.predicted, d.rule) for d in comparison.differences]


def test_a_first_touch_takes_one_fault_a_page() -> None:
    played = Played("malloc a 20000\ntouch a 8192 4096\ntouch a 8192").malloc(20_000, FIRST)
    played.script.fault(FIRST & -PAGE)  # of the interpreter itself: no touch
    played.touched(HEAP + 0x2000 + 0x2A0, HEAP + 0x3000).touched()
    comparison = played.compare()
    faults = comparison.faults.program
    assert (faults.observed, faults.predicted, faults.agree) == (2, 2, 2)
    assert [d for d in comparison.differences if d.what == "program faults"] == []
    assert [row.what for row in played.rows] == ["malloc a 20000", "touch a 8192 4096", "touch a 8192"]
    assert [row.access for row in played.rows] == [None, "touch a 8192 4096", "touch a 8192"]
    assert [(row.site, row.told_observed) for row in played.rows[1:]] == [
        ("line 2", "2 page faults"), ("line 3", "0 page faults"),
    ]  # fmt: skip


def test_what_only_changes_a_mapping_is_no_access() -> None:
    played = Played("map m 64K\nreadonly m\nread m 0 4K").did(MAP).did().touched(MAP)
    played.compare()
    assert [row.access for row in played.rows] == [None, None, "read m 0 4096"]


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_faults_is_unexplained(count: int) -> None:
    played = Played("map m 64K\ntouch m 0 8192").did(MAP).touched(*(MAP + i * PAGE for i in range(count)))
    comparison = played.compare()
    assert found(comparison) == [("program faults", str(count), "2", None)]
    assert comparison.unexplained == 1


def test_a_fault_brought_from_the_disk_is_explained_by_what_the_kernel_counted() -> None:
    played = Played("map m 64K\ntouch m\ntouch m").did(MAP).touched(MAP).touched(MAP, major=1)
    comparison = played.compare()
    assert found(comparison) == [("program faults", "1", "0", "reclaim")]
    assert next(iter(comparison.differences)).why == "1 major faults"


def test_one_major_fault_does_not_explain_five_hundred_others() -> None:
    played = Played("map m 4M\ntouch m\ntouch m 0 4M").did(MAP).touched(MAP).touched(MAP, reported=600, major=1)
    found_without_rule = [each.what for each in played.compare(thp="never").differences if each.rule is None]
    assert found_without_rule == ["program faults", "program faults"]  # nor were 599 of them recorded


def test_faults_that_were_counted_but_not_recorded_are_a_difference() -> None:
    played = Played("map m 64K\ntouch m 0 12K").did(MAP).touched(reported=3)
    assert not played.compare().agree


def test_a_small_mapping_that_was_refused_is_a_difference() -> None:
    assert not Played("map m 64K").did(0, errno=12).compare().agree


def test_populate_that_brought_nothing_in_is_a_difference() -> None:
    assert not Played("populate m 64K").did(MAP, minor=0).compare().agree


def test_huge_pages_and_the_zero_page_are_named() -> None:
    start = MAP & -(2 << 20)
    played = Played("map m 2M\ntouch m 0 2M").did(start).touched(start)
    assert found(played.compare("always")) == [("program faults", "1 faults", "512 pages touched first", "huge-pages")]
    played = Played("map m 64K\nread m\ntouch m").did(MAP).touched(MAP, function="read_pages").touched(MAP)
    assert found(played.compare()) == [("program faults", "1 faults", "0 pages touched first", "zero-page")]


def test_a_file_brings_its_neighbours() -> None:
    played = Played("file m 64K\nread m 0 64K").did(MAP).touched(MAP, function="read_pages")
    assert found(played.compare()) == [("program faults", "1 faults", "16 pages touched first", "fault-around")]


def with_child(text: str, child_touch: Callable[[Played], Played]) -> Played:
    played = Played(text).did(MAP).touched(MAP, MAP + PAGE)
    played.script.process("fork", child=CHILD)
    played.did()
    played.depth = 1
    child_touch(played)
    return played


def test_a_child_copies_what_it_writes_and_the_parent_goes_on() -> None:
    played = with_child(
        "map m 64K\ntouch m 0 8K\nfork\ntouch m\nexit\ntouch m 4K\ntouch m",
        lambda p: p.touched(MAP, pid=CHILD, tid=CHILD).did(),
    )
    played.depth = 0
    played.touched(MAP + PAGE).touched(MAP)
    assert found(played.compare()) == [("program faults", "1 faults", "0 pages touched first", "copy-on-write")] * 3


def test_a_child_that_dies_has_no_exit() -> None:
    played = with_child(
        "map m 64K\ntouch m 0 8K\nfork\nreadonly m\ntouch m\nexit\ntouch m 8K", lambda p: p.did().did(died=True)
    )
    played.script.signal("SIGSEGV", pid=CHILD, tid=CHILD, code=2, address=MAP)
    played.depth = 0
    played.done.append(Done(6, 7, 0, 0, 1, 0, 0))
    played.script.fault(MAP + 2 * PAGE, site=site(None, None, "write_pages"))
    comparison = played.compare()
    assert comparison.agree
    assert played.rows[-2].told_observed == played.rows[-2].told_predicted == "SIGSEGV, SEGV_ACCERR"


@pytest.mark.parametrize(
    ("text", "code", "predicted"),
    [("readonly m", 1, "SEGV_ACCERR"), ("unmap m", 2, "SEGV_MAPERR"), ("writable m", 2, "none")],
)
def test_a_death_for_another_reason_is_unexplained(text: str, code: int, predicted: str) -> None:
    played = Played(f"map m 64K\n{text}\ntouch m").did(MAP).did()
    played.died = 2
    played.script.signal("SIGSEGV", code=code, address=MAP)
    comparison = played.compare()
    observed = {1: "SEGV_MAPERR", 2: "SEGV_ACCERR"}[code]
    assert found(comparison) == [("signal", observed, predicted, None)]
    assert comparison.unexplained == 1


def test_a_death_for_the_same_reason_agrees() -> None:
    played = Played("map m 64K\nnoaccess m\nread m").did(MAP).did()
    played.died = 2
    played.script.signal("SIGSEGV", code=2, address=MAP)
    assert played.compare().agree


def test_a_survivor_of_a_forbidden_access_is_unexplained() -> None:
    played = Played("map m 64K\nreadonly m\ntouch m").did(MAP).did().touched()
    comparison = played.compare()
    assert found(comparison)[0] == ("signal", "none", "SEGV_ACCERR", None)
    assert comparison.unexplained >= 1


def left_over() -> Played:
    played = Played("malloc a 100").malloc(100, FIRST)
    played.script.call("malloc", 7, result=FIRST + 112)
    return played


def another_address() -> Played:
    played = Played("malloc a 100")
    played.script.call("malloc", 100, result=FIRST + 16)
    return played.did(FIRST, 1)


def another_call() -> Played:
    played = Played("calloc a 1 100")
    played.script.call("malloc", 100, result=FIRST)
    return played.did(FIRST, 1)


def no_call() -> Played:
    return Played("malloc a 100").did(FIRST, 1)


def no_beginning() -> Played:
    played = Played("malloc a 100")
    played.script = Script()
    played.script.syscall("madvise", 0, 0, 0)
    return played.malloc(100, FIRST)


def no_fork() -> Played:
    return Played("fork").did()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (left_over, "1 allocator calls are left over"), (another_address, "malloc at 0x5581"), (another_call, "seen: malloc"),
        (no_call, "the call of line 1 was not seen"), (no_fork, "a fork was not seen"),
        (no_beginning, "the program's beginning was not seen"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said(make: Callable[[], Played], words: str) -> None:
    with pytest.raises(BadTrace, match=words):
        make().compare()


@pytest.mark.parametrize("died", [True, False])
def test_a_report_of_another_workload_does_not_fit(died: bool) -> None:
    played = Played("map m 64K").did(MAP)
    if died:
        played.died = 99
    else:
        played.done.append(Done(99, 1, 0, 0, 0, 0, 0))
    with pytest.raises(BadTrace):
        played.compare()
