"""The malloc lab's trace files: read, written, and what is wrong with one."""

from __future__ import annotations

import io

import pytest

from observer.errors import BadWorkload
from observer.simulator.generate import PROFILES, generate
from observer.simulator.machine import BookMachine
from observer.simulator.rep import parse_rep, read_operations, render_rep
from observer.simulator.workload import Operation, render

HEADER = b"20000\n3\n5\n1\n"


def words(text: bytes) -> str:
    return render(parse_rep(text.splitlines(keepends=True)))


def test_each_line_is_an_operation() -> None:
    assert words(HEADER + b"a 0 512\na 1 128\nr 0 640\nf 1\nf 0\n") == (
        "malloc b0 512\nmalloc b1 128\nrealloc b0 640\nfree b1\nfree b0\n"
    )


def test_operations_know_their_lines() -> None:
    assert [operation.line for operation in parse_rep((HEADER + b"\na 0 5\n\nf 0\n").splitlines())] == [6, 8]


def test_realloc_of_a_free_id_is_malloc() -> None:
    assert words(HEADER + b"r 4 10\nr 4 20\nf 4\nr 4 30\n") == ("malloc b4 10\nrealloc b4 20\nfree b4\nmalloc b4 30\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the header has 0 numbers"),
        (b"20000\n3\n5\n", "the header has 3 numbers"),
        (b"20000 3 5 1\n", "line 1: the header has one number a line"),
        (b"20000\nthree\n", "line 2: b'three' is no the header's number"),
        (HEADER + b"a 0 512\nb 1 2\n", "line 6: b'b 1 2' is no operation"),
        (HEADER + b"a 0\n", "line 5: b'a 0' is no operation"),
        (HEADER + b"f 0 1\n", "line 5"),
        (HEADER + b"a x 1\n", "line 5: b'x' is no id"),
        (HEADER + b"a 0 -1\n", "line 5: b'-1' is no size"),
        (HEADER + b"a 0 9223372036854775808\n", "line 5"),
        (HEADER + b"a 0 " + b"9" * 3000 + b"\n", "line 5"),
        (HEADER + b"a \xff 1\n", "line 5"),
        (b"\x7fELF\x02\x01", "line 1"),
        (HEADER + b"a 0 1 " + b" " * 100_000, "line 5: longer than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(BadWorkload, match=message):
        words(text)


def test_a_file_is_read_by_its_suffix() -> None:
    assert [op.kind for op in read_operations(io.BytesIO(HEADER + b"a 0 5\n"), ".rep")] == ["malloc"]
    assert [op.kind for op in read_operations(io.BytesIO(b"fork\n"), ".workload")] == ["fork"]
    with pytest.raises(BadWorkload, match="line 1: longer than"):
        list(read_operations(io.BytesIO(b"7" * 1_000_000), ".rep"))


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_written_and_read_again_it_asks_for_the_same(profile: str) -> None:
    made = [op for op in generate(17, 300, profile) if op.kind in ("malloc", "realloc", "free")]
    held: set[str] = set()
    kept = []
    for operation in made:  # what was made by calloc or memalign is not in it
        if operation.kind == "malloc":
            held.add(operation.name)
        if operation.name in held:
            kept.append(operation)
    again = list(parse_rep(render_rep(kept).splitlines()))
    assert [(op.kind, op.numbers) for op in again] == [(op.kind, op.numbers) for op in kept]
    assert render_rep(again) == render_rep(kept)
    first, second = BookMachine(), BookMachine()
    list(first.run(kept))
    list(second.run(again))
    assert (first.totals.heap_bytes, first.totals.looked) == (second.totals.heap_bytes, second.totals.looked)


def test_the_header_counts_ids_and_operations() -> None:
    text = render_rep([Operation("memalign", "a", (64, 9)), Operation("map", "m", (4096,)), Operation("free", "a")])
    assert text == b"0\n1\n2\n1\na 0 9\nf 0\n"
