"""File names as text: a name is bytes that may hold anything, a trace is UTF-8, a terminal obeys what it is sent."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from typing import Final

__all__ = ["as_name", "as_text", "safe", "typed"]

_ODD: Final = re.compile(rb"\\x([89a-f][0-9a-f])")


def as_text(name: str) -> str:
    r"""Return *name* as UTF-8 text, its bytes that are none written as \xff.

    >>> as_text("/tmp/\udcff")
    '/tmp/\\xff'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_name(text: str) -> str:
    r"""Return the name that `as_text` wrote as *text*.

    >>> as_name("/tmp/\\xff")
    '/tmp/\udcff'
    """
    raw = text.encode("utf-8", "surrogateescape")
    return os.fsdecode(_ODD.sub(lambda found: bytes.fromhex(found[1].decode()), raw))


def safe(text: str) -> str:
    r"""Return *text* with every character escaped that could steer a terminal: controls, bidi marks, lone surrogates.

    >>> safe("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else repr(char)[1:-1] for char in text)


def typed(path: str | os.PathLike[str]) -> str:
    r"""Return *path* as it is typed into a shell, steering no terminal and taken for no option.

    >>> typed("a trace"), typed("-x"), typed("it's\x1b"), typed("\udcff")
    ("'a trace'", './-x', "$'it\\'s\\x1b'", "$'\\xff'")
    """
    name = os.fspath(path)
    if name.startswith("-"):
        name = os.path.join(os.curdir, name)
    if all(map(_is_harmless, name)):
        return shlex.quote(name)
    escaped = "".join(_in_dollar_quotes(char) for char in name)
    return f"$'{escaped}'"


def _in_dollar_quotes(char: str) -> str:
    if not _is_harmless(char):
        # In UTF-8 whatever the locale is: what only a bidi mark's number says is its bytes in a name.
        return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
    return f"\\{char}" if char in "\\'" else char


def _is_harmless(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"
