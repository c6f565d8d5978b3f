"""The languages of the terminal: what is used is there in both, and nothing is there that nobody uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

import observer
from observer.model.departures import TOLD
from observer.story.departures import Occurrence
from observer.story.language import ENGLISH, KOREAN, LANGUAGES, Language
from observer.story.terminal_phrases import COUNTED_IN_KOREAN, TERMINAL_PHRASES

HOUSE = Path(observer.__file__).parent
SHOWING = [
    *sorted((HOUSE / "report").glob("*.py")),
    *(HOUSE / "cli" / name for name in ("moments.py", "progress.py")),
    HOUSE / "story" / "names.py",
]
WORDS = {"say": str, "template": str, "fact": str, "label": str, "choose": dict}
LABELS = ("crashed", "rule_broken", "rules_broken", "departures_label", "faults")
ROWS = ("calls", "none", "departures", "faults", "lost_label", "syscalls_label")


def literals(node: ast.expr) -> Iterator[str]:
    """The strings that an argument may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*literals(node.body), *literals(node.orelse))


def asked_for(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for path in SHOWING:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if name in names:
                    yield name, node


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_phrase_that_is_asked_for_is_there(language: Language) -> None:
    asked = [(how, name) for how, node in asked_for(*WORDS) for name in literals(node.args[0])]
    assert len({name for _how, name in asked}) > 101
    assert [name for how, name in asked if not isinstance(language.phrases.get(name), WORDS[how])] == []


def test_everything_that_is_counted_has_a_way_to_count_it_in_korean() -> None:
    nouns = {noun for _how, node in asked_for("counted") for noun in literals(node.args[1])}
    assert len(nouns) > 5
    assert nouns - set(COUNTED_IN_KOREAN) == set()


def test_no_phrase_is_there_that_nobody_uses() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SHOWING)
    assert [name for name in TERMINAL_PHRASES["en"] if f'"{name}"' not in text and f"'{name}'" not in text] == []


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_labels_fit_into_their_columns(language: Language) -> None:
    labels = [*LABELS, *(name for name in TERMINAL_PHRASES["en"] if name.endswith("_label"))]
    rows = [*ROWS, *(name for name in TERMINAL_PHRASES["en"] if name.endswith("_row"))]
    assert {name: words for name in labels if cell_len(words := language.template(name)) > 13} == {}
    assert {name: words for name in rows if cell_len(words := language.template(name)) > 19} == {}


def test_a_phrase_is_filled_and_its_particles_suit() -> None:
    assert ENGLISH.say("title_exit", 3) == "ended with status 3"
    assert KOREAN.say("title_exit", 3) == "상태 3으로 끝남"
    assert KOREAN.say("title_exit", 1) == "상태 1로 끝남"
    assert KOREAN.say("departure_seen", "{0}", "9") == "{0}번 (사건 9)"


def test_a_word_that_no_phrase_chooses_stands_for_itself() -> None:
    assert KOREAN.choose("touchers", "loader") == "로더"
    assert KOREAN.choose("fault_places", "vvar") == "vvar"


def test_every_departure_is_told_in_both() -> None:
    for id, told in TOLD.items():
        found = Occurrence(id, told.headline, told.reason, (7,), 1)
        assert ENGLISH.departure(found) == (told.headline, told.reason)
        assert not set(KOREAN.departure(found)) & set(ENGLISH.departure(found))
