"""Identities of the ledger and their verdicts."""

from __future__ import annotations

import msgspec
import pytest

from observer.model.ledger import FAILING, Exclusion, LedgerLine, balance, headline, unverifiable, worst


def verdict(seen: int, expected: int, *, lost: int = 0, excluded: tuple[int, ...] = (), cannot_verify: str = "") -> str:
    parts = tuple(Exclusion(count, "a reason") for count in excluded)
    return balance("page faults", seen, expected, lost=lost, excluded=parts, cannot_verify=cannot_verify).verdict


def test_equal_sides_are_complete() -> None:
    assert verdict(23, 23) == "COMPLETE"
    assert verdict(0, 0) == "COMPLETE"


def test_a_difference_without_a_reason_is_inconsistent() -> None:
    line = balance("page faults", 17, 23)
    assert (line.unexplained, line.verdict) == (6, "INCONSISTENT")


def test_more_seen_than_there_was_is_inconsistent_too() -> None:
    line = balance("page faults", 24, 23)
    assert (line.unexplained, line.verdict) == (-1, "INCONSISTENT")


def test_a_counted_reason_excuses_exactly_its_count() -> None:
    assert verdict(17, 23, excluded=(4, 2)) == "COMPLETE WITH EXCLUSIONS"
    assert verdict(17, 23, excluded=(4, 1)) == "INCONSISTENT"
    assert verdict(17, 23, excluded=(4, 3)) == "INCONSISTENT"


def test_a_negative_reason_excuses_what_was_seen_in_excess() -> None:
    assert verdict(24, 23, excluded=(-1,)) == "COMPLETE WITH EXCLUSIONS"


def test_a_loss_explains_a_difference_but_not_away() -> None:
    assert verdict(17, 23, lost=6) == "INCOMPLETE"
    assert verdict(17, 23, lost=5) == "INCONSISTENT"
    assert verdict(17, 23, lost=4, excluded=(2,)) == "INCOMPLETE"


def test_a_loss_that_nothing_misses_is_inconsistent() -> None:
    assert verdict(23, 23, lost=1) == "INCONSISTENT"


def test_reasons_that_count_nothing_are_dropped() -> None:
    line = balance("page faults", 23, 23, excluded=(Exclusion(0, "none"), Exclusion(0, "nor here")))
    assert (line.excluded, line.verdict) == ((), "COMPLETE")


def test_reasons_that_cancel_out_are_still_reasons() -> None:
    assert verdict(23, 23, excluded=(1, -1)) == "COMPLETE WITH EXCLUSIONS"


def test_what_cannot_be_verified_is_a_verdict_only_for_a_difference() -> None:
    assert verdict(23, 23, cannot_verify="nobody waited") == "COMPLETE"
    assert verdict(22, 23, cannot_verify="nobody waited") == "UNVERIFIABLE"


def test_the_note_of_an_unverifiable_line_is_its_reason() -> None:
    assert balance("rusage", 1, 2, cannot_verify="nobody waited", note="a note").note == "nobody waited"
    assert balance("rusage", 2, 2, cannot_verify="nobody waited", note="a note").note == "a note"


def test_an_identity_without_a_witness_has_no_sides() -> None:
    line = unverifiable("live bytes", "the heap was not walked")
    assert (line.seen, line.expected, line.unexplained, line.verdict) == (None, None, 0, "UNVERIFIABLE")
    assert line.note == "the heap was not walked"


@pytest.mark.parametrize(
    ("verdicts", "gravest"),
    [
        ([(1, 1, 0)], "COMPLETE"),
        ([(1, 1, 0), (1, 2, 1)], "INCOMPLETE"),
        ([(1, 2, 1), (1, 3, 0), (1, 1, 0)], "INCONSISTENT"),
    ],
)
def test_the_gravest_verdict_stands_for_all(verdicts: list[tuple[int, int, int]], gravest: str) -> None:
    assert worst(tuple(balance("x", seen, expected, lost=lost) for seen, expected, lost in verdicts)) == gravest


def test_verdicts_rise_from_complete_to_inconsistent() -> None:
    rising = (
        balance("a", 1, 1), balance("b", 1, 2, excluded=(Exclusion(1, "why"),)), balance("c", 1, 2, lost=1),
        balance("d", 1, 2),
    )  # fmt: skip
    assert [worst(rising[: i + 1]) for i in range(4)] == [line.verdict for line in rising]
    assert [line.verdict in FAILING for line in rising] == [False, False, True, True]


def test_a_line_without_a_witness_does_not_hide_the_others() -> None:
    without = unverifiable("live bytes", "the heap was not walked")
    assert worst((without, balance("a", 1, 1))) == "COMPLETE"
    assert worst((balance("a", 1, 2), without)) == "INCONSISTENT"
    assert worst((without, without)) == "UNVERIFIABLE"


def test_the_headline_counts_the_lines_without_a_witness() -> None:
    without = unverifiable("live bytes", "the heap was not walked")
    assert headline((balance("a", 1, 2, lost=1),)) == "INCOMPLETE"
    assert headline((balance("a", 1, 1), without)) == "COMPLETE; 1 line UNVERIFIABLE"
    assert headline((without, balance("a", 1, 2), without)) == "INCONSISTENT; 2 lines UNVERIFIABLE"
    assert headline((without, without)) == "UNVERIFIABLE"


def test_an_empty_ledger_verifies_nothing() -> None:
    assert worst(()) == "UNVERIFIABLE"


def test_a_line_has_no_other_verdict() -> None:
    line = msgspec.json.encode(balance("a", 1, 1))
    assert msgspec.json.decode(line, type=LedgerLine).verdict == "COMPLETE"
    with pytest.raises(msgspec.ValidationError, match="verdict"):
        msgspec.json.decode(line.replace(b"COMPLETE", b"fine"), type=LedgerLine)
