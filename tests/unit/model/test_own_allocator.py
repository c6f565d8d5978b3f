"""Which functions of a program are its allocator, as --malloc-functions says it."""

from __future__ import annotations

import pytest

from observer.errors import UsageError
from observer.model.own_allocator import parse_functions


@pytest.mark.parametrize(
    ("texts", "roles"),
    [
        (["my_malloc,my_free"], {"my_malloc": "malloc", "my_free": "free"}),
        (["mymalloc", " grab=malloc , drop=free "], {"mymalloc": "malloc", "grab": "malloc", "drop": "free"}),
        (["p_posix_memalign,p_pvalloc,p_valloc"],
         {"p_posix_memalign": "posix_memalign", "p_pvalloc": "pvalloc", "p_valloc": "valloc"}),
        (["r_reallocarray,r_realloc,c=cfree"], {"r_reallocarray": "reallocarray", "r_realloc": "realloc", "c": "cfree"}),
        (["my_malloc,my_malloc=malloc"], {"my_malloc": "malloc"}),
        (["my_malloc.constprop.0=malloc"], {"my_malloc.constprop.0": "malloc"}),
    ],
)  # fmt: skip
def test_a_name_ends_with_its_role_or_is_given_one(texts: list[str], roles: dict[str, str]) -> None:
    assert parse_functions(texts) == roles


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is no function's name"), ("my_malloc,", "'' is no function's name"), ("a b=malloc", "is no function's"),
        ("-x=malloc", "is no function's name"), ("grab", "'grab' does not end with its role"),
        ("grab=alloc", "'alloc' is no role"), ("grab=", "does not end with its role"),
        ("set=mallopt", "'mallopt' is no role"), ("new=operator new", "'operator new' is no role"),
        ("a=malloc,a=free", "a cannot be malloc and free"),
    ],
)  # fmt: skip
def test_whatever_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_functions([text])
