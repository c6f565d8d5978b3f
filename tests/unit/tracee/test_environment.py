"""The environment as it was given: what a mapping cannot hold is kept, what was changed is exchanged where it stood."""

from __future__ import annotations

import pytest

from observer.tracee import environment

GIVEN = [b"A=1", b"B=2", b"A=3", b"alone", b"=nameless", b"C=\xff", b"D=x=y"]
AS_MAPPING = {"A": "1", "B": "2", "": "nameless", "C": "\udcff", "D": "x=y"}


@pytest.fixture(autouse=True)
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_given", lambda: GIVEN)


def test_what_nobody_changed_is_as_it_was() -> None:
    assert environment.as_given(AS_MAPPING) == GIVEN


def test_a_changed_value_takes_the_place_of_all_that_had_its_name() -> None:
    assert environment.as_given({**AS_MAPPING, "A": "9"}) == [b"A=9", *GIVEN[1:2], *GIVEN[3:]]


def test_what_is_new_stands_at_the_end_and_what_is_gone_is_left_out() -> None:
    less = {name: value for name, value in AS_MAPPING.items() if name != "B"}
    assert environment.as_given({**less, "NEW": "\udcfe"}) == [GIVEN[0], *GIVEN[2:], b"NEW=\xfe"]


def test_where_nothing_can_be_read_the_mapping_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_given", lambda: None)
    assert environment.as_given({"A": "1"}) == [b"A=1"]


@pytest.mark.parametrize(("word", "left"), [(b"LC_CTYPE=C", "C"), (b"LC_CTYPE=", ""), (b"LC_CTYPES=C", None)])
def test_the_locale_is_the_given_one_again(word: bytes, left: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_given", lambda: [word])
    monkeypatch.setattr(environment.os, "environ", {"LC_CTYPE": "C.UTF-8"})
    environment.undo_coercion()
    assert environment.os.environ.get("LC_CTYPE") == left


def test_a_locale_of_which_nothing_is_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_given", lambda: None)
    monkeypatch.setattr(environment.os, "environ", {"LC_CTYPE": "C.UTF-8"})
    environment.undo_coercion()
    assert environment.os.environ == {"LC_CTYPE": "C.UTF-8"}
