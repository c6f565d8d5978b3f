"""When heaps are walked, as --snapshot says it."""

from __future__ import annotations

import pytest

from observer.errors import UsageError
from observer.model.events import Site
from observer.model.snapshots import AtLine, EveryNth, parse_when


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("every 7 calls", EveryNth(7)), ("every 1 call", EveryNth(1)), (" every  1,009 calls ", EveryNth(1009)),
        ("line story.c:28", AtLine("story.c", 28)), ("line ./a b/c:d.c:3", AtLine("./a b/c:d.c", 3)),
    ],
)  # fmt: skip
def test_a_moment_is_a_number_of_calls_or_a_line(text: str, when: EveryNth | AtLine) -> None:
    assert parse_when(text) == when
    assert parse_when(str(when)) == when


@pytest.mark.parametrize(
    "text",
    ["", "every", "every 0 calls", "every -7 calls", "every 7", "every 7 frees", "every ٧ calls", "line story.c",
     "line story.c:0", "line :5", "line story.c:x", "story.c:28", "every 9999999999999999 calls"],
)  # fmt: skip
def test_whatever_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"'every 100 calls' or --snapshot 'line story\.c:28'"):
        parse_when(text)


@pytest.mark.parametrize(
    ("file", "line", "hits"),
    [("story.c", 28, True), ("./story.c", 28, True), ("ada/story.c", 28, True), ("/home/ada/story.c", 28, True),
     ("ory.c", 28, False), ("story.c", 29, False)],
)  # fmt: skip
def test_a_line_is_met_by_the_end_of_its_path(file: str, line: int, hits: bool) -> None:
    assert AtLine(file, line).is_at(Site(file="/home/ada/story.c", line=28)) is hits
    assert not AtLine(file, line).is_at(Site())
