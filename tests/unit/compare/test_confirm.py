"""Experiments: a mechanism switched off, and its differences gone or not."""

from __future__ import annotations

from observer.compare.confirm import Experiment, judge, switchable
from observer.compare.differences import Difference
from observer.compare.result import Comparison
from observer.model.departures import COMPARED


def with_rules(*rules: str | None) -> Comparison:
    comparison = Comparison("book")
    for n, rule in enumerate(rules):
        comparison.differences.append(Difference(n, "served", "a", "b", rule, "why"))
    return comparison


def test_what_was_found_and_has_a_switch_can_be_tried_in_the_tables_order() -> None:
    found = with_rules("tcache", None, "layout", "top-pad", "tcache", "zero-page")
    assert [departure.id for departure in switchable(found)] == ["top-pad", "tcache"]
    assert switchable(with_rules(None, "layout")) == []


def test_differences_that_vanish_are_confirmed_and_others_untouched() -> None:
    found = with_rules("tcache", None, "top-pad", "tcache")
    experiment = judge(found, COMPARED["tcache"], with_rules("top-pad", None, None))
    assert experiment == Experiment("tcache", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0", 2, 0)
    assert experiment.confirmed
    assert [difference.confirmed for difference in found.differences] == [True, None, None, True]


def test_one_that_stays_refutes_all() -> None:
    found = with_rules("tcache", "tcache", "trim")
    experiment = judge(found, COMPARED["tcache"], with_rules("tcache"))
    assert (experiment.before, experiment.after, experiment.confirmed) == (2, 1, False)
    assert [difference.confirmed for difference in found.differences] == [False, False, None]
