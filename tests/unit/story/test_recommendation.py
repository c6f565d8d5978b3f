"""Which allocator is recommended, and when none is."""

from __future__ import annotations

import pytest

from observer.story.recommendation import recommend
from tests.unit.trials import MIB, trial

QUICK = (0.20, 0.21, 0.22, 0.21, 0.20)


def test_the_quicker_one_is_named_with_its_price() -> None:
    advice = recommend([trial(), trial("tcmalloc", QUICK, 13 * MIB)])
    assert advice.choice == {"time": "tcmalloc", "memory": "glibc"}
    assert advice.why["time"] == "tcmalloc: 0.21 s against 0.41 s with glibc (spread 10 ms), at 1.3 times the memory"
    assert advice.why["memory"] == "glibc: 10 MiB at the peak; the next, tcmalloc, needs 13 MiB"
    assert advice.conclusion == "Take tcmalloc where time counts; otherwise stay with glibc."


def test_the_smaller_one_is_named_with_its_price() -> None:
    advice = recommend([trial(), trial("musl", (0.8, 0.81, 0.82, 0.8, 0.8), 5 * MIB)])
    assert advice.why["memory"] == "musl: 5 MiB at the peak against 10 MiB with glibc, in 2.0 times the time"
    assert advice.conclusion == "Take musl where memory counts; otherwise stay with glibc."


def test_one_that_is_best_at_both_is_taken_without_a_but() -> None:
    assert recommend([trial(), trial("mimalloc", QUICK, 5 * MIB)]).conclusion == "Take mimalloc."


def test_two_winners_are_told_apart() -> None:
    advice = recommend([trial(), trial("tcmalloc", QUICK, 13 * MIB), trial("musl", peak=5 * MIB)])
    assert advice.conclusion == "Take tcmalloc where time counts, musl where memory does."


def test_the_best_of_several_better_ones_wins() -> None:
    others = [trial("jemalloc", (0.3,) * 5, 6 * MIB), trial("mimalloc", QUICK, 7 * MIB)]
    assert recommend([trial(), *others]).choice == {"time": "mimalloc", "memory": "jemalloc"}


@pytest.mark.parametrize(
    "times",
    [
        (0.30, 0.50, 0.30, 0.50, 0.29),  # within the spread
        (0.395, 0.405, 0.415, 0.405, 0.395),  # less than a twentieth
        (0.30, 0.30, 0.30, 0.45, 0.45),  # quicker in three rounds of five
    ],
)
def test_what_may_be_chance_is_no_reason(times: tuple[float, ...]) -> None:
    advice = recommend([trial(), trial("tcmalloc", times)])
    assert advice.choice == {"time": "glibc", "memory": "glibc"}
    assert advice.conclusion == "No difference that matters here: stay with glibc."


def test_less_than_a_millisecond_is_no_reason() -> None:
    small = [trial(times=(0.0015,) * 5), trial("tcmalloc", (0.0007,) * 5)]
    assert recommend(small).choice["time"] == "glibc"


def test_a_few_pages_are_no_reason() -> None:
    assert recommend([trial(peak=2 * MIB), trial("musl", peak=2 * MIB - 200 * 1024)]).choice["memory"] == "glibc"


def test_two_runs_say_nothing_about_time() -> None:
    advice = recommend([trial(times=(0.4, 0.4)), trial("tcmalloc", (0.1, 0.1))])
    assert advice.choice["time"] == "glibc"
    assert advice.why["time"] == "fewer than 3 runs of each say nothing about time"


def test_worse_alternatives_are_a_reason_to_stay() -> None:
    advice = recommend([trial(times=QUICK, peak=5 * MIB), trial("tcmalloc"), trial("jemalloc", peak=9 * MIB)])
    assert advice.why["time"] == "glibc: 0.21 s; the next, tcmalloc, needs 0.41 s"
    assert advice.why["memory"] == "glibc: 5 MiB at the peak; the next, jemalloc, needs 9 MiB"
    assert advice.conclusion == "Stay with glibc."


def test_one_under_which_the_program_fails_is_not_recommended() -> None:
    advice = recommend([trial(), trial("jemalloc", QUICK, MIB, "SIGSEGV")])
    assert advice.choice == {"time": "glibc", "memory": "glibc"}


def test_alone_it_stays() -> None:
    advice = recommend([trial("its own")])
    assert advice.choice == {"time": "its own", "memory": "its own"}
    assert advice.conclusion == "No difference that matters here: stay with its own."
