"""File names as text: a name is bytes that may hold anything, a trace is UTF-8, a terminal obeys what it is sent."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

__all__ = ["as_name", "as_text", "safe"]

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


def _is_harmless(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] not in "CZ"
