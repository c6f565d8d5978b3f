"""The table of departures and the rules that name them: neither has what the other lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import observer.compare
from observer.compare.departures import DEPARTURES, Departure

ROOM = Path(observer.compare.__file__).parent


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def sources() -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text()) for path in ROOM.glob("*.py") if path.stem != "departures"}


def named_rules() -> set[str]:
    """The ids that the sources name: as an Explanation's first argument, or as what `rule` and `rule_of` give."""
    found: set[str] = set()
    for tree in sources().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Explanation":
                found.update(strings(node.args[0]))
            elif isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "rule" for target in node.targets):
                values = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else []
                found.update(v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))
            elif isinstance(node, ast.FunctionDef) and node.name == "rule_of":
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        value = inner.value.body if isinstance(inner.value, ast.IfExp) else inner.value
                        found.update(strings(value))
    return found


def test_the_rules_name_departures_of_the_table_and_every_departure_has_a_rule() -> None:
    named = named_rules()
    assert len(named) > 15
    assert named - DEPARTURES.keys() == set()
    assert DEPARTURES.keys() - named == set()


@pytest.mark.parametrize("departure", DEPARTURES.values(), ids=list(DEPARTURES))
def test_each_is_told_in_words(departure: Departure) -> None:
    assert DEPARTURES[departure.id] is departure
    assert len(departure.title.split()) >= 2
    assert len(departure.why.split()) >= 6
    assert not departure.why.endswith(".")  # it stands inside a sentence


def test_titles_are_told_apart() -> None:
    assert len({departure.title for departure in DEPARTURES.values()}) == len(DEPARTURES)


def test_switches_are_words_that_a_shell_takes() -> None:
    switches = {name: departure.switch for name, departure in DEPARTURES.items() if departure.has_switch}
    assert switches["top-pad"] == "GLIBC_TUNABLES=glibc.malloc.top_pad=0"
    assert switches["huge-pages"] == "prctl(PR_SET_THP_DISABLE)"
    assert set(switches) == {
        "top-pad", "mmap-threshold", "trim", "tcache", "fast-bins", "thread-arena", "huge-pages", "perturb",
    }  # fmt: skip
    assert all(not departure.switch for departure in DEPARTURES.values() if not departure.has_switch)


def test_two_tunables_stand_in_one_switch() -> None:
    departure = Departure("x", "two of them", "because", {"top_pad": "0", "mxfast": "16"})
    assert departure.switch == "GLIBC_TUNABLES=glibc.malloc.top_pad=0:glibc.malloc.mxfast=16"
