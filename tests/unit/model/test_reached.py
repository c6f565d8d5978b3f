"""Places at which a recording may begin or end."""

from __future__ import annotations

import pytest

from observer.errors import UsageError
from observer.model.reached import Entered, Place, parse_place, text_of_place
from observer.model.snapshots import AtLine


@pytest.mark.parametrize(
    ("text", "place"), [
        ("work", Entered("work")), ("_ZN4Tree3addEi", Entered("_ZN4Tree3addEi")), ("memcpy@plt", Entered("memcpy@plt")),
        ("story.c:28", AtLine("story.c", 28)), ("/src/a b.c:1", AtLine("/src/a b.c", 1)),
    ],
)  # fmt: skip
def test_a_function_or_a_line_is_a_place(text: str, place: Place) -> None:
    assert parse_place("--from", text) == place
    assert text_of_place(place) == text


@pytest.mark.parametrize("text", ["", " ", "two words", "story.c:", "story.c:0", ":12", "dir/name", "a:b", "f()::g"])
def test_anything_else_is_refused_with_what_to_try(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_place("--until", text)
    assert "--until work, or --until story.c:28" in str(refused.value)
