"""The workload language: what it takes, and how it says what it does not take."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.errors import BadWorkload
from observer.simulator.workload import FORMS, Operation, parse, parse_line, read_lines, render

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


def read(raw: bytes) -> tuple[list[Operation], BadWorkload | None]:
    """The operations up to the first wrong line, and what is wrong there."""
    found: list[Operation] = []
    try:
        for operation in parse(io.BytesIO(raw)):
            found.append(operation)
    except BadWorkload as error:
        return found, error
    return found, None


legal_lines = st.sampled_from(["malloc a 1", "fork", "# a comment", "", "\ttouch  a 0 4K # both", "map m 0x10K"])


@given(st.lists(st.one_of(legal_lines, st.text(max_size=40), st.binary(max_size=40).map(repr)), max_size=30))
def test_whatever_stands_in_it_an_error_names_a_line_that_is_there(lines: list[str]) -> None:
    raw = "\n".join(lines).encode("utf-8", "surrogatepass")
    found, error = read(raw)
    if error is None:
        again, none = read(render(found).encode())
        assert none is None
        assert again == [Operation(op.kind, op.name, op.numbers, line) for line, op in enumerate(found, 1)]
        return
    assert 1 <= error.line <= raw.count(b"\n") + 1
    assert 0 <= error.column <= len(raw.split(b"\n")[error.line - 1]) + 1
    assert all(operation.line < error.line for operation in found)


@pytest.mark.parametrize("kind", sorted(FORMS))
def test_each_operation_wants_its_words_and_says_which(kind: str) -> None:
    form = FORMS[kind]
    words = ["a" if role == "name" else "64" for role in form]
    assert parse_line(" ".join([kind, *words])) is not None
    with pytest.raises(BadWorkload, match=f"{kind} with {len(form) + 1} words") as caught:
        parse_line(" ".join([kind, *words, "9"]))
    assert caught.value.column == len(" ".join([kind, *words])) + 2
    needed = [word for word, role in zip(words, form, strict=True) if not role.endswith("?")]
    if needed:
        with pytest.raises(BadWorkload, match=f"{kind} with {len(needed) - 1} words") as caught:
            parse_line(" ".join([kind, *needed[:-1]]))
        assert caught.value.column == len(" ".join([kind, *needed[:-1]])) + 1
    for index in range(2, len(words) + 1):
        bad = [*words[: index - 1], "x7", *words[index:]]
        with pytest.raises(BadWorkload, match="'x7' is not a") as caught:
            parse_line(" ".join([kind, *bad]))
        assert caught.value.column == len(" ".join([kind, *bad[: index - 1]])) + 2


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0), ("007", 7), ("4K", 4096), ("2M", 2 << 20), ("3G", 3 << 30), ("0x10", 16), ("0XfFK", 255 << 10),
        ("9223372036854775807", (1 << 63) - 1), ("0x7FFFFFFFFFFFFFFF", (1 << 63) - 1), ("8589934591G", 8589934591 << 30),
    ],
)  # fmt: skip
def test_numbers(word: str, value: int) -> None:
    assert parse_line(f"malloc a {word}") == Operation("malloc", "a", (value,), 1)


@pytest.mark.parametrize(
    "word",
    ["-1", "+1", "1_0", "1.0", "1k", "1KB", "0x", "0xG", "0b1", "9223372036854775808", "8589934592G", "1e3"],
)
def test_no_numbers(word: str) -> None:
    with pytest.raises(BadWorkload) as caught:
        parse_line(f"malloc a {word}", 3)
    assert (caught.value.line, caught.value.column) == (3, 10)


@pytest.mark.parametrize("junk", [b"\x00", b"7", b"malloc a 1 ", b"\xff\xfe", b"# ", b" \t"])
def test_a_megabyte_without_line_ends_is_refused_by_its_first_part(junk: bytes) -> None:
    file = io.BytesIO(junk * ((1 << 20) // len(junk)))
    with pytest.raises(BadWorkload, match="line 1"):
        list(parse(read_lines(file)))
    assert file.tell() <= 1 << 17


def test_a_megabyte_of_lines_is_read_as_it_comes() -> None:
    file = io.BytesIO(b"touch a 0 4K   # a comment\r\n" * 40_000)
    assert sum(1 for _operation in parse(read_lines(file))) == 40_000


def test_lines_before_the_wrong_one_are_handed_on() -> None:
    lines = parse([b"fork\n", b"exit\n", b"spoon\n"])
    assert [next(lines).kind, next(lines).kind] == ["fork", "exit"]
    with pytest.raises(BadWorkload, match="line 3, column 1: 'spoon'"):
        next(lines)


def test_a_missing_word_is_missed_before_the_comment() -> None:
    with pytest.raises(BadWorkload) as caught:
        parse_line("malloc a # eight bytes")
    assert caught.value.column == 9
