"""Tables of a TOML file taken apart with errors that name the file, the place in it and what is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from observer.errors import BadLab
from observer.files import open_regular

__all__ = ["LANGUAGES", "Table", "Text", "read_table"]

LANGUAGES: Final = ("en", "ko")
_LARGEST: Final = 1 << 20  # bytes
_Kind = TypeVar("_Kind", int, str, bool)
_NAMES: Final[dict[type, str]] = {int: "a whole number", str: "a text", bool: "true or false"}


class Text(NamedTuple):
    """A text in English and in Korean."""

    en: str
    ko: str

    def of(self, language: str) -> str:
        """Return it in *language*, `en` or `ko`."""
        return self.ko if language == "ko" else self.en


def read_table(path: Path) -> Table:
    """Return the whole of the TOML file at *path*; raises BadLab when it cannot be read."""
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise BadLab(f"cannot read {path}", f"it has more than {_LARGEST:,} bytes")
        return Table(path, "", tomllib.loads(content.decode()))
    except OSError as error:
        raise BadLab(f"cannot read {path}", error.strerror or "") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadLab(f"{path} is no TOML", str(error)) from error


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the file *path*; `place` names it for messages."""

    path: Path
    place: str
    content: dict[str, Any]

    def error(self, what: str) -> BadLab:
        """Return the error that says *what* is wrong here."""
        return BadLab(f"{self.path}{f', {self.place}' if self.place else ''}: {what}")

    def only(self, known: Collection[str]) -> None:
        """Raise BadLab when there is a key that is not *known*."""
        for key in self.content:
            if key not in known:
                raise self.error(f"there is no key {key!r}; there is {', '.join(sorted(known))}")

    def take(self, key: str, kind: type[_Kind], default: _Kind | None = None) -> _Kind:
        """Return what *key* holds, which must be of *kind*; without a *default* it must be there."""
        value = self.content.get(key, default)
        if value is None:
            raise self.error(f"{key} is missing")
        if type(value) is not kind:
            raise self.error(f"{key} is {value!r}, and must be {_NAMES[kind]}")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return the list of texts that *key* holds; none, if it is not there."""
        value = self.content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.error(f"{key} is {value!r}, and must be a list of texts")
        return tuple(value)

    def text(self, key: str) -> Text:
        """Return the text that *key* holds in every language."""
        inner = self.table(key, f"{self.place} {key}".strip())
        inner.only(LANGUAGES)
        return Text(*(inner.take(language, str) for language in LANGUAGES))

    def table(self, key: str, place: str = "") -> Table:
        """Return the table that *key* holds; an empty one, if it is not there."""
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} is {value!r}, and must be a table")
        return Table(self.path, place or f"[{key}]", value)

    def tables(self, key: str, named_by: str) -> list[Table]:
        """Return the tables of the list *key*; each is called by what its key *named_by* holds."""
        values = self.content.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.error(f"{key} must be a list of tables, [[{key}]]")
        return [Table(self.path, f"{key} {value.get(named_by, at + 1)!r}", value) for at, value in enumerate(values)]
