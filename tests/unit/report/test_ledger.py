"""The ledger as a table."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from observer.model.ledger import Exclusion, balance
from observer.report.ledger import print_ledger
from observer.story.language import ENGLISH, KOREAN, Language
from tests.builders import ledger
from tests.unit.report.screens import screen


def test_the_ledger_fits_eighty_columns(snapshot: SnapshotAssertion) -> None:
    text = screen(lambda console: print_ledger(console, ledger()))
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert text == snapshot


def test_an_unexplained_difference_is_a_number_and_a_verdict() -> None:
    text = screen(lambda console: print_ledger(console, [balance("page faults", 8076, 8077)]))
    row = next(line for line in text.splitlines() if line.startswith("  page faults"))
    assert row.split()[-6:] == ["8,076", "8,077", "0", "0", "1", "INCONSISTENT"]
    assert "  verdict: INCONSISTENT\n" in text


def test_a_loss_makes_the_ledger_incomplete() -> None:
    text = screen(lambda console: print_ledger(console, [balance("page faults", 10, 17, lost=7)]))
    assert text.endswith("  verdict: INCOMPLETE\n")


def test_reasons_are_told_beneath() -> None:
    lines = [balance("page faults", 1, 3, excluded=(Exclusion(2, "MAP_POPULATE"),), note="a note")]
    text = screen(lambda console: print_ledger(console, lines))
    assert "    page faults: 2 excluded, MAP_POPULATE\n" in text
    assert "    page faults: a note\n" in text


def test_thousands_are_grouped_in_every_column() -> None:
    lines = [balance("page faults", 105, 2534, excluded=(Exclusion(2429, "the recorder's own"),))]
    text = screen(lambda console: print_ledger(console, lines))
    row = next(line for line in text.splitlines() if line.startswith("  page faults"))
    assert row.split()[2:] == ["105", "2,534", "0", "2,429", "0", "COMPLETE*"]


def test_huge_numbers_stay_in_their_columns() -> None:
    text = screen(lambda console: print_ledger(console, [balance("events", 1 << 60, 123456789012)]))
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_an_empty_ledger_says_so() -> None:
    assert "nothing was balanced in this run" in screen(lambda console: print_ledger(console, []))


@pytest.mark.parametrize("language", [ENGLISH, KOREAN])
@pytest.mark.parametrize("columns", [60, 66, 71])
def test_a_narrow_terminal_has_no_column_of_zeros(columns: int, language: Language) -> None:
    some = balance("page faults = minflt + majflt", 105, 2534, excluded=(Exclusion(2429, "the recorder's own"),))
    whole = [*ledger(), balance("tasks ended = tasks started", 1, 1)]
    for lines in (whole, [*whole, some]):
        text = screen(lambda console, lines=lines: print_ledger(console, lines, language), columns)
        assert max(map(cell_len, text.splitlines())) <= columns
        assert "COMPLETE" in text
    assert "excl." in screen(lambda console: print_ledger(console, [*whole, some]), columns)
    assert "excl." not in screen(lambda console: print_ledger(console, [balance("tasks", 1, 1)]), columns)
