"""The workload language: what it takes, and how it says what it does not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.errors import BadWorkload
from observer.simulator.workload import FORMS, Operation, parse, parse_line, render

names = st.sampled_from(["a", "b2", "_", "A_long_name_9"])
numbers = st.integers(0, (1 << 63) - 1)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    kind = draw(st.sampled_from(sorted(FORMS)))
    form = FORMS[kind]
    if not form:
        return Operation(kind)
    roles = form[1:]
    least = sum(not role.endswith("?") for role in roles)
    count = draw(st.integers(least, len(roles)))
    return Operation(kind, draw(names), tuple(draw(numbers) for _ in range(count)))


@given(st.lists(operations(), max_size=20))
def test_text_and_operations_are_each_others_image(given_operations: list[Operation]) -> None:
    text = render(given_operations)
    parsed = [Operation(op.kind, op.name, op.numbers) for op in parse(text.encode().splitlines(keepends=True))]
    assert parsed == given_operations
    assert render(parsed) == text


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("frobnicate a", 1, "one of malloc"),
        ("malloc a", 9, "malloc NAME SIZE"),
        ("malloc a 1 2", 12, "malloc NAME SIZE"),
        ("malloc 1a 7", 8, "letters"),
        ("  malloc a ten", 12, "a number"),
        ("malloc a 99999999999999999999", 10, "at most"),
    ],
)
def test_an_error_names_its_column_and_what_was_expected(text: str, column: int, words: str) -> None:
    with pytest.raises(BadWorkload) as caught:
        parse_line(text, 7)
    assert (caught.value.line, caught.value.column) == (7, column)
    assert "line 7" in str(caught.value)
    assert words in str(caught.value)


def test_binary_junk_is_an_error_not_a_traceback() -> None:
    with pytest.raises(BadWorkload, match="line 1, column 2: not plain text"):
        list(parse([b"\x7f\xff\x00"]))
    with pytest.raises(BadWorkload, match="line 1: longer than"):
        list(parse([b"a" * 100_000]))
