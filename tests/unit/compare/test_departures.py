"""The table of departures and the rules that name them: neither has what the other lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import observer.compare
from observer.model.departures import COMPARED

ROOM = Path(observer.compare.__file__).parent


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def sources() -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text()) for path in ROOM.glob("*.py")}


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
    assert named - COMPARED.keys() == set()
    assert COMPARED.keys() - named == set()
