"""The departures from the book in words: a comparison's, and the story's."""

from __future__ import annotations

import pytest

from observer.model.departures import COMPARED, TOLD, Departure


@pytest.mark.parametrize("departure", COMPARED.values(), ids=list(COMPARED))
def test_each_is_named_inside_a_sentence(departure: Departure) -> None:
    assert COMPARED[departure.id] is departure
    assert len(departure.title.split()) >= 2
    assert len(departure.why.split()) >= 6
    assert not departure.why.endswith(".")  # it stands inside a sentence


def test_titles_are_told_apart() -> None:
    assert len({departure.title for departure in COMPARED.values()}) == len(COMPARED)


def test_switches_are_words_that_a_shell_takes() -> None:
    switches = {name: departure.switch for name, departure in COMPARED.items() if departure.has_switch}
    assert switches["top-pad"] == "GLIBC_TUNABLES=glibc.malloc.top_pad=0"
    assert switches["huge-pages"] == "prctl(PR_SET_THP_DISABLE)"
    assert set(switches) == {
        "top-pad", "mmap-threshold", "trim", "tcache", "fast-bins", "thread-arena", "huge-pages", "perturb",
    }  # fmt: skip
    assert all(not departure.switch for departure in COMPARED.values() if not departure.has_switch)


def test_two_tunables_stand_in_one_switch() -> None:
    departure = Departure("x", "two of them", "because", {"top_pad": "0", "mxfast": "16"})
    assert departure.switch == "GLIBC_TUNABLES=glibc.malloc.top_pad=0:glibc.malloc.mxfast=16"


@pytest.mark.parametrize("departure", TOLD.values(), ids=list(TOLD))
def test_the_story_tells_each_in_sentences(departure: Departure) -> None:
    assert TOLD[departure.id] is departure
    assert len(departure.headline.split()) >= 3
    assert departure.reason.endswith(".")


def test_what_both_know_is_one_departure() -> None:
    both = COMPARED.keys() & TOLD.keys()
    assert both == {"mmap-threshold", "thread-arena", "zero-page", "copy-on-write"}
    assert all(COMPARED[id] is TOLD[id] for id in both)
