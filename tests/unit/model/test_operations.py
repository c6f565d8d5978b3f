"""The allocator family, as its C prototypes have it."""

from __future__ import annotations

import pytest

from observer.model.operations import ALLOCATING, FAMILY, OPERATIONS


def test_the_numbers_that_spools_carry_never_change() -> None:
    assert [operation.name for operation in FAMILY][:13] == [
        "malloc", "calloc", "realloc", "free", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "valloc",
        "pvalloc", "malloc_trim", "malloc_usable_size", "cfree",
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
    ],
)
def test_arguments_stand_where_the_prototype_has_them(name: str, arguments: dict[str, int]) -> None:
    assert OPERATIONS[name].arguments == arguments


def test_only_realloc_and_its_kin_both_give_and_take_back() -> None:
    assert {o.name for o in FAMILY if o.allocates and o.releases} == {"realloc", "reallocarray"}
    assert {o.name for o in FAMILY if o.releases and not o.allocates} == {"free", "cfree"}


def test_asking_and_trimming_allocate_nothing() -> None:
    assert {o.name for o in FAMILY} - ALLOCATING == {"free", "cfree", "malloc_trim", "malloc_usable_size"}


def test_what_takes_back_is_told_which_pointer() -> None:
    assert [o.name for o in FAMILY if o.releases and o.arguments.get("pointer") != 0] == []
