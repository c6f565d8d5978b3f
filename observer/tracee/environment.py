"""The environment that we were started with: the program is to find the same, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

__all__ = ["as_given", "undo_coercion"]

_COERCED: Final = "LC_CTYPE"
_GIVEN: Final = "/proc/self/environ"


def undo_coercion() -> None:
    """Give LC_CTYPE back the value that it had when this process began, or none.

    In the locale C or POSIX the interpreter sets it to C.UTF-8 for itself and all who inherit it (PEP 538). Its own
    locale stays as it is.
    """
    given = _given()
    if given is None:
        return
    prefix = os.fsencode(f"{_COERCED}=")
    value = next((word.removeprefix(prefix) for word in given if word.startswith(prefix)), None)
    if value is None:
        os.environ.pop(_COERCED, None)
    else:
        os.environ[_COERCED] = os.fsdecode(value)


def as_given(environment: Mapping[str, str]) -> list[bytes]:
    """Return *environment* as the strings that execve(2) takes, in the order and form that we were given them.

    What a mapping cannot hold comes along, too: a name that stands there twice, a string without "=". What differs from
    the given is exchanged, what is new is put behind it, and what *environment* lacks is left out.
    """
    rest = dict(environment)
    first: dict[str, str] = {}
    words = []
    for word in _given() or ():
        name, is_pair, value = os.fsdecode(word).partition("=")
        if not is_pair:
            words.append(word)
            continue
        wanted = environment.get(name)
        is_first = name not in first
        if wanted is not None and wanted == first.setdefault(name, value):
            words.append(word)
        elif wanted is not None and is_first:
            words.append(os.fsencode(f"{name}={wanted}"))
        rest.pop(name, None)
    return words + [os.fsencode(f"{name}={value}") for name, value in rest.items()]


def _given() -> list[bytes] | None:
    """Return the strings that execve(2) gave this process, whatever setenv(3) did later (proc(5)).

    None where they may not be read: an interpreter with file capabilities may not read its own,
    and without /proc there is nothing to read.
    """
    try:
        with open(_GIVEN, "rb", buffering=0) as file:
            return [word for word in file.readall().split(b"\0") if word]
    except (PermissionError, FileNotFoundError):
        return None
