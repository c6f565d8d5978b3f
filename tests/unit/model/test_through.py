"""Which functions are seen through, by their names."""

from __future__ import annotations

import pytest

from observer.errors import UsageError
from observer.model.through import Through


@pytest.mark.parametrize(
    "function",
    ["_Znwm", "_ZnamRKSt9nothrow_t", "_ZdlPvm", "xmalloc", "g_malloc0", "sqlite3Malloc", "sqlite3DbMallocRawNN",
     "PyObject_Malloc", "__rust_alloc", "_ZNSt15__new_allocatorIiE8allocateEmPKv"],
)  # fmt: skip
def test_wrappers_that_everybody_knows_are_seen_through(function: str) -> None:
    assert Through().has(function)


@pytest.mark.parametrize(
    "function", [None, "", "main", "malloc", "my_malloc", "xmalloc2", "make_Znwm", "sqlite3_step", "PyList_New"]
)
def test_others_are_not(function: str | None) -> None:
    assert not Through().has(function)


def test_those_that_are_named_are_too_and_patterns_name_several() -> None:
    through = Through(["my_malloc", "pool_*", "my_malloc"])
    assert through.names == ("my_malloc", "pool_*")
    assert [through.has(name) for name in ("my_malloc", "pool_get", "pool", "my_malloc2")] == [True, True, False, False]


def test_operators_may_be_named_as_they_are_written() -> None:
    assert Through(["operator new[]"]).has("_Znaj")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="--through needs the name"):
        Through([""])
