"""Calls as programs record them: one record each or two, what is whole of them, and what they say together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from observer.recording.records import INLINE
from observer.recording.slots import HAS_MORE, IS_MORE, MORE, has_more, unfolded, whole

Records = npt.NDArray[np.void]


def records(text: str) -> Records:
    """Return records: `a` a call with one, `b` a call that says it has two, `c` a second one; their places are in `sp`."""
    made = np.zeros(len(text), dtype=INLINE.dtype)
    made["function"] = [{"a": 5, "b": 5 | HAS_MORE, "c": IS_MORE}[letter] for letter in text]
    made["sp"] = np.arange(len(text))
    return made


def test_what_is_whole_is_known_to_its_end() -> None:
    found = {
        text: whole(records(text))
        for text in ("", "a", "aa", "bc", "abcabc", "c", "b", "ab", "abca", "aac", "bb", "bcc", "abb")
    }
    assert found == {
        "": 0, "a": 1, "aa": 2, "bc": 2, "abcabc": 6, "c": 0, "b": 0, "ab": 1, "abca": 4, "aac": 2, "bb": 0, "bcc": 2,
        "abb": 1,
    }  # fmt: skip


@given(st.text("abc", max_size=30))
def test_it_is_as_much_as_is_read_one_by_one(text: str) -> None:
    at = 0
    while text[at : at + 1] == "a" or text[at : at + 2] == "bc":
        at += 1 + (text[at] == "b")
    assert whole(records(text)) == at


@given(st.lists(st.sampled_from(["a", "bc"]), max_size=30))
def test_second_records_belong_to_those_before_them(calls: list[str]) -> None:
    made = records("".join(calls))
    second = made.view(MORE)
    [places] = np.nonzero(made["function"] == IS_MORE)
    for name, step in (("began", 1), ("ended", 2), ("a2", 3), ("stack", 4)):
        second[name][places] = 100 * places + step
    found = unfolded(made)
    starts = np.cumsum([0, *map(len, calls)])[: len(calls)]
    assert found.places.tolist() == starts.tolist()
    assert found.column("sp").tolist() == starts.tolist()
    assert found.functions.tolist() == [5] * len(calls)
    for name, step in (("began", 1), ("ended", 2), ("a2", 3), ("stack", 4)):
        expected = [
            100 * (int(start) + 1) + step if call == "bc" else 0 for start, call in zip(starts, calls, strict=True)
        ]
        assert getattr(found, name).tolist() == expected


def test_a_second_record_has_no_more_behind_it() -> None:
    assert [has_more(function) for function in (5, 5 | HAS_MORE, IS_MORE)] == [False, True, False]


def test_both_kinds_are_as_long_and_say_what_they_are_in_the_same_place() -> None:
    assert MORE.itemsize == INLINE.size
    assert MORE.fields is not None
    assert INLINE.dtype.fields is not None
    assert MORE.fields["function"][1] == INLINE.dtype.fields["function"][1]
