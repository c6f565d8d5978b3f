"""A comparison on the terminal names who predicted: the book, or the model of a real allocator."""

from __future__ import annotations

import io

import pytest

from observer.compare.result import Comparison, Difference, Row
from observer.report.comparison import tell_comparison
from observer.report.screen import make_console
from tests.builders import HEAP, call


def told(allocator: str) -> str:
    out = io.StringIO()
    comparison = Comparison(allocator)
    comparison.differences.append(
        Difference(17, "allocator page", "not touched", "one comes in", "kernel-side", "unseen")
    )
    row = Row(17, "malloc(100)", "story.c:28", (call(17, result=HEAP),), "heap+0x0", "the same", ("kernel-side",))
    tell_comparison(make_console(out), comparison, [row], [])
    return out.getvalue()


@pytest.mark.parametrize(("allocator", "name"), [("book", "the book"), ("glibc", "the model of glibc")])
def test_the_column_the_departures_and_the_examples_name_who_predicted(allocator: str, name: str) -> None:
    text = told(allocator)
    heading = next(line for line in text.splitlines() if "operation" in line)
    assert heading.split("observed")[1].strip() == name
    assert f"what {name} leaves out" in text
    assert f"not touched; {name}: one comes in" in " ".join(text.split())


def test_the_book_is_not_named_beside_another_allocator() -> None:
    aligned = told("glibc").partition("What agrees")[0]
    assert "the book" not in aligned
