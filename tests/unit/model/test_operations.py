"""The allocator family, as its C prototypes have it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from observer.model.operations import ALLOCATING, FAMILY, FREEING, OPERATIONS, OPERATORS, RESIZING


def test_the_numbers_that_spools_carry_never_change() -> None:
    assert [operation.name for operation in FAMILY][:16] == [
        "malloc", "calloc", "realloc", "free", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "valloc",
        "pvalloc", "malloc_trim", "malloc_usable_size", "cfree", "operator new", "operator new (aligned)",
        "operator delete",
    ]  # fmt: skip


def test_every_operation_is_found_by_its_name() -> None:
    assert {name: operation.name for name, operation in OPERATIONS.items()} == {o.name: o.name for o in FAMILY}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("malloc", {"size": 0}),
        ("calloc", {"count": 0, "size": 1}),
        ("realloc", {"pointer": 0, "size": 1}),
        ("reallocarray", {"pointer": 0, "count": 1, "size": 2}),
        ("posix_memalign", {"slot": 0, "alignment": 1, "size": 2}),
        ("aligned_alloc", {"alignment": 0, "size": 1}),
        ("free", {"pointer": 0}),
        ("operator new", {"size": 0}),
        ("operator new (aligned)", {"size": 0, "alignment": 1}),
    ],
)
def test_arguments_stand_where_the_prototype_has_them(name: str, arguments: dict[str, int]) -> None:
    assert OPERATIONS[name].arguments == arguments


def test_only_realloc_and_its_kin_both_give_and_take_back() -> None:
    assert {o.name for o in FAMILY if o.allocates and o.releases} == {"realloc", "reallocarray"}
    assert {o.name for o in FAMILY if o.releases and not o.allocates} == FREEING
    assert {"free", "cfree", "operator delete"} == FREEING


def test_asking_and_trimming_allocate_nothing() -> None:
    assert {o.name for o in FAMILY} - ALLOCATING - FREEING == {"malloc_trim", "malloc_usable_size", "mallopt"}


def test_what_takes_back_is_told_which_pointer() -> None:
    assert [o.name for o in FAMILY if o.releases and o.arguments.get("pointer") != 0] == []


DEMANGLED = """
operator delete(void*) operator delete(void*, std::align_val_t) operator delete(void*, std::align_val_t, std::nothrow_t const&)
operator delete(void*, std::nothrow_t const&) operator delete(void*, unsigned long)
operator delete(void*, unsigned long, std::align_val_t) operator new(unsigned long)
operator new(unsigned long, std::align_val_t) operator new(unsigned long, std::align_val_t, std::nothrow_t const&)
operator new(unsigned long, std::nothrow_t const&)
"""
"""All replaceable operators for single objects (C++17, header new)."""


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="c++filt is not installed")
def test_every_replaceable_operator_of_cpp_has_a_symbol() -> None:
    shown = subprocess.run(["c++filt", *OPERATORS], capture_output=True, text=True, check=True).stdout.splitlines()
    named = dict(zip(shown, OPERATORS.values(), strict=True))
    single = set(re.findall(r"operator (?:new|delete)\(.*?\)", DEMANGLED))
    assert {form for form in named if "[]" not in form} >= single
    assert {form.replace("[]", "") for form in named if "[]" in form} >= single
    for form, operation in named.items():
        assert form.startswith(operation.partition(" (")[0])
        assert ("align_val_t" in form and "new" in form) == (operation == "operator new (aligned)")


def test_what_takes_a_piece_and_gives_one_resizes() -> None:
    assert {"realloc", "reallocarray"} == RESIZING
    assert RESIZING <= ALLOCATING
    assert not RESIZING & FREEING
