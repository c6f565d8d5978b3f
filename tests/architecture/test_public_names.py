"""What a module publishes is named, exists and is explained."""

from __future__ import annotations

import ast

from tests.architecture.house import Module, map_of_the_house, modules, rooms

DRAWERS = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"})
PUBLIC = [module for module in modules() if module.is_public]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def unexplained(module: Module) -> list[str]:
    """Published functions and classes, and their public methods, without a docstring."""
    bare = []
    for name in module.published or ():
        node = module.definitions.get(name)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not ast.get_docstring(node):
            bare.append(f"{module.name}.{name}")
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, FUNCTIONS) and not part.name.startswith("_")]
            bare += [f"{module.name}.{name}.{part.name}" for part in methods if not ast.get_docstring(part)]
    return bare


def test_every_public_module_says_what_it_is_for() -> None:
    assert [module.name for module in PUBLIC if not ast.get_docstring(module.tree)] == []


def test_every_public_module_with_code_lists_what_it_publishes() -> None:
    assert [module.name for module in PUBLIC if module.room and module.has_code and not module.published] == []


def test_what_is_published_exists_and_is_listed_once() -> None:
    listed = [(module, module.published or ()) for module in PUBLIC]
    assert [f"{module.name}.{name}" for module, names in listed for name in set(names) - set(module.definitions)] == []
    assert [module.name for module, names in listed if len(names) != len(set(names))] == []


def test_what_is_published_is_explained() -> None:
    assert [name for module in PUBLIC for name in unexplained(module)] == []


def test_no_module_is_a_drawer_for_leftovers() -> None:
    assert [module.name for module in modules() if DRAWERS & set(module.name.split("."))] == []


def test_the_map_of_the_house_names_every_room() -> None:
    assert set(rooms()) - set(map_of_the_house()) == set()
