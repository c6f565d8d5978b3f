"""What differs between machines stands in one place: page sizes, and numbers of an architecture."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from observer.arch.known import ARCHITECTURES
from tests.architecture.house import Module, modules

AUDITS = frozenset(known.calls.audit for known in ARCHITECTURES)


def named_numbers(module: Module) -> Iterator[tuple[str, int]]:
    """Names at any level that are assigned a number, and parameters that have one as their default."""
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from pairs(target, node.value)
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            for argument, default in zip(positional[::-1], node.defaults[::-1], strict=False):
                yield from pairs(ast.Name(argument.arg), default)
            for argument, given in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                yield from pairs(ast.Name(argument.arg), given)


def pairs(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, int]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for part, given in zip(target.elts, value.elts, strict=False):
            yield from pairs(part, given)
    elif isinstance(target, ast.Name) and isinstance(value, ast.Constant) and type(value.value) is int:
        yield target.id.lower(), value.value


def test_no_page_is_taken_for_one_of_4_kib() -> None:
    found = {
        (m.name, name) for m in modules() for name, number in named_numbers(m) if "page" in name and number == 4096
    }
    assert found == set()


def test_only_an_architecture_has_its_audit_value() -> None:
    numbers = {
        (module.name, node.value)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in AUDITS
    }
    assert {name for name, _number in numbers} - {"observer.arch.known"} == {
        "observer.arch.aarch64",
        "observer.arch.i386",
        "observer.arch.x86_64",
    }
