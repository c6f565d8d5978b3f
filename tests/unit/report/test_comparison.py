"""A comparison on the terminal names who predicted: the book, or the model of a real allocator."""

from __future__ import annotations

import io

import msgspec
import pytest

from observer.compare.differences import Difference
from observer.compare.result import Comparison, Row
from observer.compare.rows import Aligned
from observer.report.comparison import tell_comparison, write_comparison
from observer.report.screen import make_console
from tests.builders import HEAP, call


def told(allocator: str) -> str:
    out = io.StringIO()
    comparison = Comparison(allocator)
    comparison.differences.append(
        Difference(17, "allocator page", "not touched", "one comes in", "kernel-side", "unseen")
    )
    row = Row(17, "malloc(100)", "story.c:28", (call(17, result=HEAP),), "heap+0x0", "the same", ("kernel-side",))
    aligned = Aligned()
    aligned.add(row)
    aligned.finish()
    tell_comparison(make_console(out), comparison, aligned, [])
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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_what_it_would_be_of_a_plain_list(count: int) -> None:
    comparison = Comparison("book", unexplained=count)
    comparison.notes.append('with "differences": [] in it')
    for n in range(count):
        comparison.differences.append(Difference(n, "served", '"a"\n', "b", None, None))
    out = io.BytesIO()
    write_comparison(comparison, out)
    plain = msgspec.json.encode(comparison, enc_hook=list)
    assert out.getvalue() == msgspec.json.format(plain) + b"\n"
    assert len(msgspec.json.decode(out.getvalue())["differences"]) == count
