"""The interpreter's report: whole, cut off, damaged, ended by a signal."""

from __future__ import annotations

import pytest

from observer.compare.report_lines import Done, Report, read_report
from observer.errors import BadTrace

FIRST = "op 0 3 0 0x5581000002a0 1 0 0\n"
SECOND = "op 1 4 1 0x0 2 5 12\n"


def test_each_line_is_one_operation() -> None:
    report = read_report(FIRST + SECOND + "end 2\n")
    assert report == Report((Done(0, 3, 0, 0x5581_0000_02A0, 1, 0, 0), Done(1, 4, 1, 0, 2, 5, 12)))
    assert [done.faults for done in report.operations] == [1, 7]


def test_a_child_that_died_is_an_operation_among_others() -> None:
    report = read_report(FIRST + "died 1 4 1 0x0 0 0 0\nop 3 6 0 0x0 0 0 0\nend 3\n")
    assert [done.died for done in report.operations] == [False, True, False]
    assert report.died is None


def test_a_first_process_that_died_ends_it() -> None:
    assert read_report(FIRST + "died 1\n") == Report((Done(0, 3, 0, 0x5581_0000_02A0, 1, 0, 0),), 1)


def test_nothing_but_the_end_is_a_run_without_operations() -> None:
    assert read_report("end 0\n") == Report(())


def test_one_that_stopped_names_the_operation() -> None:
    with pytest.raises(BadTrace, match="stopped: operation 7 needs a piece that was refused"):
        read_report(FIRST + "stopped 7\n")


@pytest.mark.parametrize("text", ["", FIRST, FIRST + SECOND, FIRST.rstrip()])
def test_without_an_end_it_is_cut_off(text: str) -> None:
    with pytest.raises(BadTrace, match=f"cut off: it ends after line {text.count(chr(10))}"):
        read_report(text)


@pytest.mark.parametrize(
    "line",
    [
        "op 1 4 1 0x0 2 5", "op 1 4 1 0x0 2 5 12 9", "op one 4 1 0x0 2 5 12", "op 1 4 1 0xg 2 5 12", "do 1 4 1 0x0 2 5 12",
        "", "   ", "\x00\x01", "stopped", "died", "died x", "died 1 2", "op", "op 1 4 1 0x0 2 5 " + "9" * 5000,
        "op 1 4 1 0x0 2 5 1.5",
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(BadTrace, match="line 2 of the interpreter's report is damaged"):
        read_report(FIRST + line + "\nend 2\n")


@pytest.mark.parametrize("cut", range(1, len(FIRST + SECOND + "end 2")))
def test_cut_at_any_byte_it_is_an_error(cut: int) -> None:
    text = FIRST + SECOND + "end 2"
    with pytest.raises(BadTrace):
        read_report(text[:cut])


@pytest.mark.parametrize("end", ["end 3\n", "end 1\n", "end\n", "end x\n"])
def test_an_end_that_tells_another_number_of_lines_is_damaged(end: str) -> None:
    with pytest.raises(BadTrace):
        read_report(FIRST + SECOND + end)
